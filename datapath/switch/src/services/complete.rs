//! Finishes the checksums that a guest has left to its network card.
//!
//! A guest on a veth or tap believes that the next card computes TCP and UDP checksums: it leaves
//! the sum of the pseudo-header in the field. Behind a tunnel no card will ever see the field, so
//! the receiver would drop every segment: ping works and TCP does not.
//!
//! Reads and changes the frame. Remembers nothing. Comes behind `Guard`, on guests' frames only.
//! It looks at the payload only if the field is just that sum, which a finished checksum is once
//! in 65,536; and then changes nothing if the whole sum holds.

use crate::{Cell, Marks, Packet, Service, Turn, Verdict};
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
    let (ip, segment) = (headers.packet(bytes), headers.segment(bytes));
    let protocol = Protocol(headers.protocol);
    let field = protocol
        .checksum_at()
        .and_then(|at| segment.get(at..)?.first_chunk::<2>());
    let Some(field) = field else {
        return false;
    };
    let pseudo = if headers.marks.any(Marks::IPV4) {
        pseudo_v4(ip, protocol, segment.len())
    } else {
        pseudo_v6(ip, protocol, segment.len())
    };
    // Nearly every finished one differs: the payload is not looked at.
    pseudo.is_some_and(|pseudo| {
        u16::from_be_bytes(*field) == pseudo && finding(ip, protocol, pseudo, segment)
    })
}

/// The same, with all that is to be looked at.
#[cold]
fn finding(ip: &[u8], protocol: Protocol, pseudo: u16, segment: &[u8]) -> bool {
    let is_sound = Ipv4::parse(ip).is_ok() || Ipv6::parse(ip).is_ok();
    is_sound && l4::finding(protocol, pseudo, segment) == Ok(Finding::Unfinished)
}

/// The sum of the pseudo-header of an IPv4 packet's segment of `len` bytes.
#[inline]
fn pseudo_v4(ip: &[u8], protocol: Protocol, len: usize) -> Option<u16> {
    let (source, rest) = ip.get(12..20)?.split_first_chunk::<4>()?;
    let (source, destination) = ((*source).into(), (*rest.first_chunk::<4>()?).into());
    let len = u16::try_from(len).ok()?;
    Some(checksum::pseudo_v4(source, destination, protocol.0, len))
}

/// The same, of an IPv6 packet.
#[inline]
fn pseudo_v6(ip: &[u8], protocol: Protocol, len: usize) -> Option<u16> {
    let (ip, _) = Ipv6::parse(ip).ok()?;
    let len = u32::try_from(len).ok()?;
    Some(checksum::pseudo_v6(
        ip.source(),
        ip.destination(),
        protocol.0,
        len,
    ))
}
