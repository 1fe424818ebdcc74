//! Tells a sender that its packet is too big.
//!
//! In a network that is nothing but Ethernet no router has an address to say it from. It is said
//! from the address that the packet was for: a sender takes what it hears of its packet from any
//! router on the way, and checks the packet that is quoted, not who quotes it (RFC 5927 §4); its
//! own filters know that address, and the way there leads to us.

use super::room;
use crate::{DropReason, Exit, Headers, Marks, NOWHERE, Packet, Turn, Verdict};
use core::net::{Ipv4Addr, Ipv6Addr};
use tables::Rate;
use wire::ethernet::{Ethernet, is_group};
use wire::icmp;
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;

/// How often one port, or one peer of a network, is told: RFC 1812 §4.3.2.8 and RFC 4443 §2.4 (f) ask for a
/// limit. A sender has to be told once for each destination.
const RATE: Rate = Rate {
    per_second: 100,
    burst: 100,
};

/// The least that every IPv6 way has to carry (RFC 8200 §5).
pub(super) const LEAST_V6: usize = 1280;

/// Room for what is said, behind Ethernet.
const ROOM: usize = 1280;

/// Makes `packet` the answer to itself: no more than `mtu` bytes of it fit.
pub(super) fn answer(turn: &mut Turn<'_>, packet: &mut Packet, mtu: usize) -> Verdict {
    let bytes = packet.frame.bytes();
    let Ok((ethernet, _)) = Ethernet::parse(bytes) else {
        return Verdict::Drop(DropReason::Malformed);
    };
    let original = packet.headers.packet(bytes);
    // Of several copies each may fit or not: who is flooded to is not known to be there.
    let unanswerable = packet.headers.marks.any(Marks::FLOODED.with(Marks::ANSWER));
    if is_group(ethernet.destination()) || unanswerable {
        return Verdict::Drop(DropReason::TooBig);
    }
    let (from, to) = (ethernet.destination(), ethernet.source());
    let exit = match packet.origin.tunnel {
        NOWHERE => Exit::Port(packet.origin.port),
        tunnel => Exit::Tunnel(tunnel),
    };
    // The answer has to fit the way back: it quotes less if that is small.
    let l3 = usize::from(packet.headers.l3);
    let room = match room(turn, packet, exit) {
        Ok(room) => room.saturating_sub(l3).min(ROOM),
        Err(reason) => return Verdict::Drop(reason),
    };
    let mut said = [0; ROOM];
    let said = &mut said[..room];
    let len = if packet.headers.marks.any(Marks::IPV4) {
        v4(said, original, mtu)
    } else if packet.headers.marks.any(Marks::IPV6) {
        v6(said, original, mtu)
    } else {
        None
    };
    let Some(len) = len.filter(|len| *len > 0 && from != [0; 6]) else {
        return Verdict::Drop(DropReason::TooBig);
    };
    let told = match packet.origin.tunnel {
        NOWHERE => {
            let port = turn.state.ports.get_mut(usize::from(packet.origin.port));
            port.map(|port| &mut port.answers)
        }
        tunnel => {
            let tunnel = turn.state.tunnels.get_mut(usize::from(tunnel));
            tunnel.map(|tunnel| &mut tunnel.answers)
        }
    };
    if !told.is_some_and(|told| told.take(turn.now, &RATE, 1)) {
        return Verdict::Drop(DropReason::TooBigUntold);
    }
    packet.frame.truncate(l3);
    if packet.frame.append(&said[..len]).is_err() {
        return Verdict::Drop(DropReason::TooBig);
    }
    let bytes = packet.frame.bytes_mut();
    bytes[..6].copy_from_slice(&to);
    bytes[6..12].copy_from_slice(&from);
    packet.headers = Headers::of(bytes);
    packet.make_answer();
    packet.exit = exit;
    Verdict::Next
}

fn v4(said: &mut [u8], original: &[u8], mtu: usize) -> Option<usize> {
    let mtu = u16::try_from(mtu).ok()?;
    if !icmp::may_be_answered_v4(original) {
        return None;
    }
    let (ip, _) = Ipv4::parse(original).ok()?;
    let (from, to): (Ipv4Addr, Ipv4Addr) = (ip.destination(), ip.source());
    Some(icmp::too_big_v4(said, original, from, to, mtu))
}

fn v6(said: &mut [u8], original: &[u8], mtu: usize) -> Option<usize> {
    // Less than every way has to carry must not be asked for: the sender could do nothing.
    let mtu = u32::try_from(mtu.max(LEAST_V6)).ok()?;
    if original.len() <= LEAST_V6 || !icmp::may_be_answered_v6(original) {
        return None;
    }
    let (ip, _) = Ipv6::parse(original).ok()?;
    let (from, to): (Ipv6Addr, Ipv6Addr) = (ip.destination(), ip.source());
    Some(icmp::too_big_v6(said, original, from, to, mtu))
}
