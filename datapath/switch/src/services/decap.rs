//! Takes the envelope off what comes from a peer, and finds its network by key and peer.
//!
//! Reads the endpoint and the tunnels. Remembers the number each tunnel's last packet had, what
//! routers say of the way, and fragments whose others have not come. Comes first on the way in,
//! since nothing is known of a peer's packet before its headers are read.
//!
//! A packet whose network has its home at another worker is handed over as it came: that worker
//! reads its headers again, so that there is one way in and not two.

mod fragments;
mod icmp;
mod marks;
mod outer;

pub(crate) use fragments::{WHOLE_LEN, expire};

use crate::config::peer_key;
use crate::{Cell, Config, DropReason, Headers, NOWHERE, Packet, Service, Turn, Verdict};
use outer::{Outer, Unwrapped};
use program::{Sequence, Vnet};
use std::net::IpAddr;
use wire::ethernet::Ethernet;

/// Unwraps GRE that is ours; drops the rest, each for its own reason.
pub struct Decap;

impl Service for Decap {
    const NAME: &'static str = "decap";

    /// The kernel, or another core, wrote the frame last: its headers are far away, the outer ones in
    /// one line, the inner ones partly in the next.
    #[inline]
    fn ahead(_turn: &Turn<'_>, packet: &Packet) {
        let bytes = packet.frame.bytes();
        core::hint::black_box((bytes.first().copied(), bytes.get(64).copied()));
    }

    #[inline]
    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        match outer::read(turn.config, packet.frame.bytes()) {
            Ok(Outer::Gre(unwrapped)) => accept(turn, packet, &unwrapped),
            Ok(Outer::Fragment) => fragments::hold(turn, packet),
            Ok(Outer::About) => icmp::heed(turn, packet),
            Err(reason) => Verdict::Drop(reason),
        }
    }
}

/// Finds the network of what was read, and leaves of the frame what was wrapped.
#[inline]
fn accept(turn: &mut Turn<'_>, packet: &mut Packet, unwrapped: &Unwrapped) -> Verdict {
    let config = turn.config;
    let Some(slot) = tunnel_of(turn, unwrapped) else {
        return stranger(turn, packet, unwrapped);
    };
    let Some(tunnel) = config.tunnel(slot) else {
        return Verdict::Drop(DropReason::UnknownPeer);
    };
    let Some(network) = config.network(tunnel.network) else {
        return Verdict::Drop(DropReason::UnknownKey);
    };
    if network.home != turn.worker {
        return Verdict::HandOver(network.home);
    }
    came_in(turn, packet, tunnel.network, unwrapped.inner);
    if (unwrapped.sequence.is_some() || tunnel.sequence == Sequence::Ordered)
        && let Err(reason) = order(turn, packet, slot, unwrapped.sequence, tunnel.sequence)
    {
        return Verdict::Drop(reason);
    }
    packet.origin.tunnel = slot;
    packet.frame.strip(unwrapped.front);
    packet.frame.truncate(unwrapped.inner);
    if unwrapped.inner < Ethernet::LEN {
        return Verdict::Drop(DropReason::Malformed);
    }
    packet.headers = Headers::of(packet.frame.bytes());
    turn.seen = turn.seen.with(packet.headers.marks);
    marks::hand_on(turn, packet, unwrapped.tos, tunnel.dscp)
}

/// The slot of the tunnel that it came through.
#[inline]
fn tunnel_of(turn: &mut Turn<'_>, unwrapped: &Unwrapped) -> Option<u16> {
    let (IpAddr::V4(remote), Some(key)) = (unwrapped.remote, unwrapped.key) else {
        return turn.config.tunnel_of(unwrapped.remote, unwrapped.key);
    };
    let from = peer_key(remote, key);
    match turn.state.came {
        Some((last, slot)) if last == from => Some(slot),
        _ => {
            let slot = turn.config.tunnel_of(unwrapped.remote, unwrapped.key)?;
            turn.state.came = Some((from, slot));
            Some(slot)
        }
    }
}

/// Counts that a packet of the network in slot `vnet` came in.
#[inline]
fn came_in(turn: &Turn<'_>, packet: &mut Packet, vnet: u16, inner: usize) {
    packet.vnet = vnet;
    turn.counters.vnet(vnet, Cell::Received, 1);
    turn.counters.vnet(vnet, Cell::ReceivedBytes, inner as u64);
}

/// What comes by no tunnel of ours: says why not.
#[cold]
fn stranger(turn: &Turn<'_>, packet: &mut Packet, unwrapped: &Unwrapped) -> Verdict {
    let Some(key) = unwrapped.key else {
        return Verdict::Drop(DropReason::NoKey);
    };
    match turn.config.network_of(Vnet(key)) {
        Some(slot) => {
            came_in(turn, packet, slot, unwrapped.inner);
            Verdict::Drop(DropReason::UnknownPeer)
        }
        None => Verdict::Drop(DropReason::UnknownKey),
    }
}

/// How many numbers a packet may be late.
const LATEST: u32 = 1000;

/// Notes the number of a packet (RFC 2890 §2.2); refuses it if it is not in order, where that is
/// asked for.
#[inline(never)]
fn order(
    turn: &mut Turn<'_>,
    packet: &Packet,
    slot: u16,
    number: Option<u32>,
    wanted: Sequence,
) -> Result<(), DropReason> {
    let ordered = wanted == Sequence::Ordered;
    let Some(number) = number else {
        return Err(DropReason::NoSequence);
    };
    let Some(state) = turn.state.tunnels.get_mut(usize::from(slot)) else {
        return Err(DropReason::NoPort);
    };
    // The first one that is heard may have any number: the peer may have sent for long.
    let expected = state.expected.unwrap_or(number);
    let ahead = number.wrapping_sub(expected);
    let (port, vnet) = (packet.origin.port, packet.vnet);
    if ahead >= 1 << 31 {
        // A peer that was started again begins anew (as RFC 3550 appendix A.1 finds out): so late
        // that no way is so slow, and the next number comes next.
        let begun = state.begun.replace(number.wrapping_add(1));
        if begun == Some(number) && ahead.wrapping_neg() > LATEST {
            (state.expected, state.begun) = (Some(number.wrapping_add(1)), None);
            turn.counters.both(port, vnet, Cell::SequenceRestart, 1);
            return Ok(());
        }
        turn.counters.both(port, vnet, Cell::SequenceLate, 1);
        return if ordered {
            Err(DropReason::OutOfOrder)
        } else {
            Ok(())
        };
    }
    state.expected = Some(number.wrapping_add(1));
    if ahead > 0 {
        turn.counters
            .both(port, vnet, Cell::SequenceGap, u64::from(ahead));
    }
    Ok(())
}

/// The slot of the network that `tunnel` belongs to; [`NOWHERE`] if it is not there.
fn network_of_tunnel(config: &Config, tunnel: u16) -> u16 {
    config
        .tunnel(tunnel)
        .map_or(NOWHERE, |tunnel| tunnel.network)
}
