//! Puts outer packets together that came in fragments.
//!
//! The fragments of one packet may come in by several queues, so they all go to the worker that
//! its identification names. What they carry is copied into a table; the last to come carries
//! the whole packet on, as if it had come so.

use super::outer::ip_at;
use crate::services::Decap;
use crate::{Cell, DropReason, Packet, Service, Turn, Verdict, WorkerId};
use std::net::IpAddr;
use tables::reassembly::{Evicted, Fragment, Held, Why};
use wire::ethernet::{EtherType, Ethernet, EthernetRepr};
use wire::ipv4::{Ipv4, Ipv4Repr};
use wire::ipv6::{Ipv6, Ipv6Repr};
use wire::l4::Protocol;

/// Bytes in front of a packet that was put together, at most.
pub(crate) const WHOLE_LEN: usize = EthernetRepr::LEN + Ipv6Repr::LEN;

/// Time to live in the header of a packet that was put together. Nobody looks at it.
const HOPS: u8 = 64;

/// Keeps what `packet`, a fragment, carries, or goes on with the whole, if the others are here.
#[inline(never)]
pub(super) fn hold(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
    let port = packet.origin.port;
    let Some(fragment) = read(packet.frame.bytes()) else {
        return Verdict::Drop(DropReason::FragmentMalformed);
    };
    if !turn.config.peers.contains(&fragment.source) {
        return Verdict::Drop(DropReason::UnknownPeer);
    }
    let worker = home(fragment.identification, turn.config.workers);
    if worker != turn.worker {
        return Verdict::HandOver(worker);
    }
    let (source, destination) = (fragment.source, fragment.destination);
    let counters = turn.counters;
    let mut evicted = |evicted: Evicted| forget(counters, port, &evicted);
    let ended = |reason, others: u32| {
        counters.drops(port, packet.vnet, reason, u64::from(others));
        Verdict::Drop(reason)
    };
    let (payload, tos) = match turn.state.fragments.add(turn.now, &fragment, &mut evicted) {
        Held::Waiting => return Verdict::Held,
        Held::Duplicate => return Verdict::Drop(DropReason::FragmentDuplicate),
        Held::Malformed => return Verdict::Drop(DropReason::FragmentMalformed),
        Held::Refused => return Verdict::Drop(DropReason::FragmentRefused),
        Held::Overlap { fragments } => return ended(DropReason::FragmentOverlap, fragments),
        Held::TooBig { fragments } => return ended(DropReason::FragmentTooBig, fragments),
        Held::EcnMixed { fragments } => return ended(DropReason::EcnDropped, fragments),
        Held::Whole {
            payload,
            fragments,
            tos,
        } => {
            let merged = u64::from(fragments.saturating_sub(1));
            counters.port(port, Cell::Merged, merged);
            (payload, tos)
        }
    };
    // It may be longer than the buffer that its last fragment came in.
    let Some(frame) = turn.pool.take_for(WHOLE_LEN + payload.len()) else {
        return Verdict::Drop(DropReason::NoFrame);
    };
    turn.pool.give(core::mem::replace(&mut packet.frame, frame));
    packet.frame.clear();
    let done = packet.frame.append(payload).is_ok();
    if !done || !envelop(packet, source, destination, tos) {
        return Verdict::Drop(DropReason::FragmentTooBig);
    }
    Decap::decide(turn, packet)
}

/// Which worker puts a packet together.
fn home(identification: u32, workers: u16) -> WorkerId {
    let spread = u64::from(identification.wrapping_mul(0x9e37_79b9));
    WorkerId(u16::try_from((spread * u64::from(workers)) >> 32).unwrap_or(0))
}

/// What `bytes`, an outer packet that is a fragment, says of itself.
fn read(bytes: &[u8]) -> Option<Fragment<'_>> {
    let (at, ethertype) = ip_at(bytes).ok()?;
    if ethertype == EtherType::IPV4 {
        let (ip, payload) = Ipv4::parse(&bytes[at..]).ok()?;
        return Some(Fragment {
            source: ip.source().into(),
            destination: ip.destination().into(),
            protocol: ip.protocol().0,
            identification: u32::from(ip.identification()),
            offset: usize::from(ip.fragment_offset()),
            more: ip.more_fragments(),
            tos: ip.tos(),
            payload,
        });
    }
    let (ip, payload) = Ipv6::parse(&bytes[at..]).ok()?;
    let upper = ip.upper_layer(payload).ok()?;
    let part = upper.fragment?;
    Some(Fragment {
        source: ip.source().into(),
        destination: ip.destination().into(),
        protocol: upper.protocol.0,
        identification: part.identification,
        offset: usize::from(part.offset),
        more: part.more,
        tos: ip.traffic_class(),
        payload: upper.bytes,
    })
}

/// Puts Ethernet and IP in front of what was put together.
fn envelop(packet: &mut Packet, source: IpAddr, destination: IpAddr, tos: u8) -> bool {
    let len = packet.frame.len();
    let ethernet = |ethertype| {
        EthernetRepr {
            destination: [0; 6],
            source: [0; 6],
            ethertype,
        }
        .emit()
    };
    let Ok(payload_len) = u16::try_from(len) else {
        return false;
    };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Repr {
                source,
                destination,
                protocol: Protocol::GRE,
                ttl: HOPS,
                tos,
                identification: 0,
                dont_fragment: true,
                payload_len,
            };
            packet.frame.prepend_bytes(&header.emit())
                && packet.frame.prepend_bytes(&ethernet(EtherType::IPV4))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Repr {
                source,
                destination,
                next: Protocol::GRE,
                hop_limit: HOPS,
                traffic_class: tos,
                flow_label: 0,
                payload_len,
            };
            packet.frame.prepend_bytes(&header.emit())
                && packet.frame.prepend_bytes(&ethernet(EtherType::IPV6))
        }
        _ => false,
    }
}

/// Counts fragments that are kept no longer.
fn forget(counters: &crate::Counters, port: u16, evicted: &Evicted) {
    let reason = match evicted.why {
        Why::Full => DropReason::FragmentLimit,
        Why::Late => DropReason::FragmentLate,
    };
    counters.drops(port, crate::NOWHERE, reason, u64::from(evicted.fragments));
}

/// Forgets fragments whose others did not come.
pub(crate) fn expire(turn: &mut Turn<'_>) {
    let (counters, port) = (turn.counters, turn.config.underlay);
    let mut gone = |evicted: Evicted| forget(counters, port, &evicted);
    turn.state.fragments.expire(turn.now, &mut gone);
}

const _: () = assert!(WHOLE_LEN > Ethernet::LEN);
