//! The envelope of tunnels that want more than most: IPv6, UDP, a VLAN, a checksum, numbers, a
//! don't-fragment bit that depends, fragments.

use crate::config::OUTER_MAX;
use crate::services::sibling;
use crate::{Cell, DropReason, Marks, Packet, Tunnel, Turn, Verdict, Way};
use program::{DontFragment, Sequence};
use wire::checksum;
use wire::flow;
use wire::fragment::{FragmentRepr, Pieces};
use wire::gre;
use wire::ipv4::Ipv4Repr;
use wire::ipv6::{Ipv6, Ipv6Repr};
use wire::l4::Protocol;

/// The ports that GRE in UDP is sent from: the upper quarter (RFC 8086 §3.2.1).
const EPHEMERAL: u16 = 0xc000;

/// In an IPv4 fragment field's first byte: do not fragment.
const DONT_FRAGMENT: u8 = 0x40;

/// Puts the outer headers of `way`, one of `tunnel`'s, in front of `packet`.
#[inline(never)]
pub(super) fn wrap(
    turn: &mut Turn<'_>,
    packet: &mut Packet,
    slot: u16,
    tunnel: &Tunnel,
    way: &Way,
) -> Verdict {
    let len = usize::from(way.len);
    let mut outer: [u8; OUTER_MAX] = way.outer;
    let hash = flow::hash(packet.frame.bytes());
    let inner = packet.frame.len();
    let v4 = way.is_v4();
    let ip = usize::from(way.ip_at);
    if v4 {
        let more = turn.state.identify(turn.worker.0, turn.config.workers);
        #[allow(clippy::cast_possible_truncation)] // 16 bits are what there is
        ipv4(&mut outer[ip..], packet, way, len - ip + inner, more as u16);
    } else {
        ipv6(&mut outer[ip..], packet, way, len - ip + inner, hash);
    }
    if tunnel.sequence != Sequence::None
        && let Some(state) = turn.state.tunnels.get_mut(usize::from(slot))
    {
        outer[len - 4..len].copy_from_slice(&state.next.to_be_bytes());
        state.next = state.next.wrapping_add(1);
    }
    if !packet.frame.prepend_bytes(&outer[..len]) {
        return Verdict::Drop(DropReason::NoHeadroom);
    }
    let gre_at = usize::from(way.gre_at);
    gre::complete(&mut packet.frame.bytes_mut()[gre_at..]);
    if way.is_in_udp() {
        udp(&mut packet.frame.bytes_mut()[ip..], v4, hash);
    }
    if packet.headers.marks.any(Marks::CUT) {
        let room = turn.state.lowered(slot, turn.now).unwrap_or(tunnel.mtu);
        return cut(turn, packet, ip, v4, room.min(tunnel.mtu), way.port);
    }
    Verdict::Send(way.port)
}

/// Writes into an IPv4 header what was missing.
#[allow(clippy::cast_possible_truncation)] // a frame is shorter than 64 KiB
fn ipv4(ip: &mut [u8], packet: &Packet, way: &Way, total: usize, identification: u16) {
    let inner = packet.headers.packet(packet.frame.bytes());
    let is_v4 = packet.headers.marks.any(Marks::IPV4);
    ip[1] |= packet.headers.tos & way.tos_mask;
    ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    if packet.headers.marks.any(Marks::CUT) {
        ip[6] &= !DONT_FRAGMENT; // we are about to
    } else if way.df == DontFragment::Copy && (!is_v4 || inner.get(6).is_none_or(|b| b & 0x40 != 0))
    {
        ip[6] |= DONT_FRAGMENT;
    }
    if ip[6] & DONT_FRAGMENT == 0 {
        ip[4..6].copy_from_slice(&identification.to_be_bytes());
    }
    let checksum = checksum::of(&ip[..Ipv4Repr::LEN]);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Writes into an IPv6 header what was missing; the flow label is the inner flow's (RFC 6438 §3).
#[allow(clippy::cast_possible_truncation)] // a frame is shorter than 64 KiB
fn ipv6(ip: &mut [u8], packet: &Packet, way: &Way, total: usize, hash: u32) {
    let tos = u32::from(packet.headers.tos & way.tos_mask);
    // A label of 0 would say that there is none (RFC 6437 §2).
    let label = (hash & 0x000f_ffff).max(1);
    let first = u32::from_be_bytes([ip[0], ip[1], ip[2], ip[3]]) | tos << 20 | label;
    ip[..4].copy_from_slice(&first.to_be_bytes());
    ip[4..6].copy_from_slice(&((total - Ipv6Repr::LEN) as u16).to_be_bytes());
}

/// Writes what was missing into the UDP header of a packet that starts with its IP header.
///
/// Over IPv4 the checksum is left out: GRE has its own where one is wanted (RFC 8086 §5.2). Over
/// IPv6 nothing else guards the addresses, so it is there (RFC 8200 §8.1).
#[allow(clippy::cast_possible_truncation)] // a frame is shorter than 64 KiB
fn udp(packet: &mut [u8], v4: bool, hash: u32) {
    let at = if v4 { Ipv4Repr::LEN } else { Ipv6Repr::LEN };
    let (ip, datagram) = packet.split_at_mut(at);
    let len = datagram.len();
    let port = EPHEMERAL | (hash ^ hash >> 16) as u16;
    datagram[..2].copy_from_slice(&port.to_be_bytes());
    datagram[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    if v4 {
        return;
    }
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&ip[8..24]);
    destination.copy_from_slice(&ip[24..40]);
    let pseudo = checksum::pseudo_v6(
        source.into(),
        destination.into(),
        Protocol::UDP.0,
        len as u32,
    );
    let checksum = !checksum::add(pseudo, checksum::sum(datagram));
    datagram[6..8].copy_from_slice(&checksum::for_udp(checksum).to_be_bytes());
}

/// Cuts a packet with its outer headers into fragments of at most `mtu` bytes; the IP header
/// starts at `ip`. It becomes the first of them; the others follow as copies.
fn cut(
    turn: &mut Turn<'_>,
    packet: &mut Packet,
    ip: usize,
    v4: bool,
    mtu: usize,
    port: u16,
) -> Verdict {
    packet.verdict = Verdict::Send(port);
    let done = if v4 {
        cut_v4(turn, packet, ip, mtu)
    } else {
        cut_v6(turn, packet, ip, mtu)
    };
    if !done {
        return Verdict::Drop(DropReason::TooBig);
    }
    let (from, vnet) = (packet.origin.port, packet.vnet);
    turn.counters.both(from, vnet, Cell::Fragmented, 1);
    Verdict::Send(port)
}

fn cut_v4(turn: &mut Turn<'_>, packet: &mut Packet, ip: usize, mtu: usize) -> bool {
    let Ok(mut pieces) = Pieces::new(&packet.frame.bytes()[ip..], mtu) else {
        return false; // it says that it must not be
    };
    let Some(first) = pieces.next() else {
        return false;
    };
    for piece in pieces {
        let bytes = packet.frame.bytes();
        let payload = piece.payload();
        let payload = &bytes[ip + payload.start..ip + payload.end];
        sibling(turn, packet, &[&bytes[..ip], piece.header(), payload]);
    }
    let header = first.header();
    packet.frame.bytes_mut()[ip..ip + header.len()].copy_from_slice(header);
    packet.frame.truncate(ip + first.total_len());
    true
}

/// The same over IPv6: each piece has a header more (RFC 8200 §4.5), which the first has to make
/// room for.
fn cut_v6(turn: &mut Turn<'_>, packet: &mut Packet, ip: usize, mtu: usize) -> bool {
    const HEADERS: usize = Ipv6Repr::LEN + FragmentRepr::LEN;
    let identification = turn.state.identify(turn.worker.0, turn.config.workers);
    let bytes = packet.frame.bytes();
    let payload_at = ip + Ipv6::LEN;
    let Some(header) = bytes.get(..payload_at) else {
        return false;
    };
    let mut front = [0; OUTER_MAX + FragmentRepr::LEN];
    let front = &mut front[..payload_at + FragmentRepr::LEN];
    front[..payload_at].copy_from_slice(header);
    let next = Protocol(front[ip + 6]);
    front[ip + 6] = Protocol::FRAGMENT.0;
    let step = mtu.saturating_sub(HEADERS) / 8 * 8;
    let total = bytes.len() - payload_at;
    if step == 0 {
        return false;
    }
    for offset in (0..total).step_by(step).rev() {
        let end = (offset + step).min(total);
        let len = u16::try_from(FragmentRepr::LEN + end - offset).unwrap_or(u16::MAX);
        front[ip + 4..ip + 6].copy_from_slice(&len.to_be_bytes());
        let fragment = FragmentRepr {
            next,
            offset: u16::try_from(offset).unwrap_or(u16::MAX),
            more: end < total,
            identification,
        };
        front[payload_at..].copy_from_slice(&fragment.emit());
        if offset > 0 {
            let payload = &packet.frame.bytes()[payload_at + offset..payload_at + end];
            sibling(turn, packet, &[front, payload]);
            continue;
        }
        packet.frame.truncate(payload_at + end);
        packet.frame.strip(payload_at);
        return packet.frame.prepend_bytes(front);
    }
    false
}
