//! Finishes the checksums that a guest has left to its network card.
//!
//! A guest on a veth or tap believes that the next card computes TCP and UDP checksums: it leaves
//! the sum of the pseudo-header in the field. Behind a tunnel no card will ever see the field, so
//! the receiver would drop every segment: ping works and TCP does not.
//!
//! Reads and changes the frame. Remembers nothing. Comes behind `Guard`, on guests' frames only.
//! It looks at the payload only if the field is just that sum, which a finished checksum is once
//! in 65,536; and then changes nothing if the whole sum holds.

use crate::{Cell, Headers, Marks, Packet, Service, Turn, Verdict};
use wire::checksum;
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;
use wire::l4::{self, Finding, Protocol};

/// Computes what the guest did not.
pub struct Complete;

impl Service for Complete {
    const NAME: &'static str = "complete";
    const WANTS: Marks = Marks::SUMMED;

    #[inline]
    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        if packet.headers.marks.any(Marks::SUMMED) && is_unfinished(packet) {
            let headers = packet.headers;
            let segment = headers.segment_mut(packet.frame.bytes_mut());
            l4::complete(Protocol(headers.protocol), segment);
            let (port, vnet) = (packet.origin.port, packet.vnet);
            turn.counters.both(port, vnet, Cell::Completed, 1);
        }
        Verdict::Next
    }
}

/// Whether the checksum of the TCP segment or UDP datagram is unfinished.
#[inline]
fn is_unfinished(packet: &Packet) -> bool {
    let headers = &packet.headers;
    let bytes = packet.frame.bytes();
    let at = if headers.protocol == Protocol::TCP.0 {
        16
    } else {
        6
    };
    let field = bytes.get(usize::from(headers.l4) + at..);
    let Some(field) = field.and_then(|field| field.first_chunk::<2>()) else {
        return false;
    };
    let pseudo = if headers.marks.any(Marks::IPV4) {
        pseudo_v4(headers, bytes)
    } else {
        pseudo_v6(headers, bytes)
    };
    // Nearly every finished one differs: the payload is not looked at.
    pseudo == Some(u16::from_be_bytes(*field)) && finding(packet)
}

/// The same, with all that is to be looked at.
#[cold]
fn finding(packet: &Packet) -> bool {
    let headers = &packet.headers;
    let bytes = packet.frame.bytes();
    let (ip, segment) = (headers.packet(bytes), headers.segment(bytes));
    let pseudo = if headers.marks.any(Marks::IPV4) {
        pseudo_v4(headers, bytes)
    } else {
        pseudo_v6(headers, bytes)
    };
    let is_sound = Ipv4::parse(ip).is_ok() || Ipv6::parse(ip).is_ok();
    let finding = |pseudo| l4::finding(Protocol(headers.protocol), pseudo, segment);
    is_sound && pseudo.map(finding) == Some(Ok(Finding::Unfinished))
}

/// The sum of the pseudo-header of an IPv4 packet's segment.
#[inline]
fn pseudo_v4(headers: &Headers, bytes: &[u8]) -> Option<u16> {
    let ip = bytes.get(usize::from(headers.l3)..)?.first_chunk::<20>()?;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *ip;
    let len = headers.end.wrapping_sub(headers.l4);
    Some(checksum::pseudo_v4(
        [s0, s1, s2, s3].into(),
        [d0, d1, d2, d3].into(),
        headers.protocol,
        len,
    ))
}

/// The same, of an IPv6 packet.
fn pseudo_v6(headers: &Headers, bytes: &[u8]) -> Option<u16> {
    let (ip, _) = Ipv6::parse(headers.packet(bytes)).ok()?;
    let len = u32::from(headers.end.wrapping_sub(headers.l4));
    Some(checksum::pseudo_v6(
        ip.source(),
        ip.destination(),
        headers.protocol,
        len,
    ))
}
