//! Finishes the checksums that a guest has left to its network card.
//!
//! A guest on a veth or tap believes that the next card computes TCP and UDP checksums: it leaves
//! the sum of the pseudo-header in the field. Behind a tunnel no card will ever see the field, so
//! the receiver would drop every segment: ping works and TCP does not.
//!
//! Reads and changes the frame. Remembers nothing. Comes behind `Guard`, on guests' frames only.
//! It looks at the payload only if the field is just that sum, which a finished checksum is once
//! in 65,536; and then changes nothing if the whole sum holds.

use crate::{Cell, Packet, Service, Turn, Verdict};
use wire::checksum;
use wire::ethernet::{EtherType, Ethernet, payload_behind_tags};
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;
use wire::l4::{self, Finding, Protocol};

/// Computes what the guest did not.
pub struct Complete;

impl Service for Complete {
    const NAME: &'static str = "complete";

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        if let Some(unfinished) = unfinished(packet.frame.bytes()) {
            let Unfinished {
                protocol,
                start,
                len,
            } = unfinished;
            let segment = &mut packet.frame.bytes_mut()[start..start + len];
            l4::complete(protocol, segment);
            let (port, vnet) = (packet.origin.port, packet.vnet);
            turn.counters.both(port, vnet, Cell::Completed, 1);
        }
        Verdict::Next
    }
}

/// Where the segment lies whose checksum is unfinished.
struct Unfinished {
    protocol: Protocol,
    start: usize,
    len: usize,
}

/// Looks for an unfinished checksum in `frame`. What cannot be read has none.
fn unfinished(frame: &[u8]) -> Option<Unfinished> {
    let (ethernet, payload) = Ethernet::parse(frame).ok()?;
    let (ethertype, packet) = payload_behind_tags(ethernet.ethertype(), payload).ok()?;
    let (protocol, pseudo, segment) = match ethertype {
        EtherType::IPV4 => segment_v4(packet)?,
        EtherType::IPV6 => segment_v6(packet)?,
        _ => return None,
    };
    let at = protocol.checksum_at()?;
    let field = segment.get(at..at + 2)?;
    if u16::from_be_bytes([field[0], field[1]]) != pseudo {
        return None; // nearly every finished one: the payload is not looked at
    }
    if l4::finding(protocol, pseudo, segment) != Ok(Finding::Unfinished) {
        return None;
    }
    let start = segment.as_ptr() as usize - frame.as_ptr() as usize;
    Some(Unfinished {
        protocol,
        start,
        len: segment.len(),
    })
}

/// The TCP or UDP segment of an IPv4 packet that is whole, with the sum of its pseudo-header.
fn segment_v4(packet: &[u8]) -> Option<(Protocol, u16, &[u8])> {
    let (ip, segment) = Ipv4::parse(packet).ok()?;
    let protocol = ip.protocol();
    if ip.is_fragment() || !is_summed(protocol) {
        return None;
    }
    let len = u16::try_from(segment.len()).ok()?;
    let pseudo = checksum::pseudo_v4(ip.source(), ip.destination(), protocol.0, len);
    Some((protocol, pseudo, segment))
}

/// The same, of an IPv6 packet.
fn segment_v6(packet: &[u8]) -> Option<(Protocol, u16, &[u8])> {
    let (ip, payload) = Ipv6::parse(packet).ok()?;
    let upper = ip.upper_layer(payload).ok()?;
    if upper.fragment.is_some() || !is_summed(upper.protocol) {
        return None;
    }
    let len = u32::try_from(upper.bytes.len()).ok()?;
    let pseudo = checksum::pseudo_v6(ip.source(), ip.destination(), upper.protocol.0, len);
    Some((upper.protocol, pseudo, upper.bytes))
}

/// Whether a network card computes its checksum.
fn is_summed(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::TCP | Protocol::UDP)
}
