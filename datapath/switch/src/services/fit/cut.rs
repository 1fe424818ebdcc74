//! Cuts an inner IPv4 packet into fragments (RFC 791 §3.2, RFC 7588 §4).

use crate::services::sibling;
use crate::{Cell, DropReason, Headers, Marks, Packet, Turn, Verdict};
use wire::fragment::Pieces;

/// In an IPv4 fragment field's first byte: do not fragment.
const DONT_FRAGMENT: u8 = 0x40;

/// Whether `packet` is IPv4, and allows to be cut.
pub(super) fn may_be_cut(packet: &Packet) -> bool {
    let headers = &packet.headers;
    let flags = headers.packet(packet.frame.bytes()).get(6);
    headers.marks.any(Marks::IPV4)
        && !headers.marks.any(Marks::UNREADABLE)
        && flags.is_some_and(|flags| flags & DONT_FRAGMENT == 0)
}

/// Cuts `packet` into pieces of at most `mtu` bytes. It becomes the first of them; the others
/// follow as copies.
pub(super) fn cut(turn: &mut Turn<'_>, packet: &mut Packet, mtu: usize) -> Verdict {
    let l3 = usize::from(packet.headers.l3);
    let Ok(mut pieces) = Pieces::new(packet.headers.packet(packet.frame.bytes()), mtu) else {
        return Verdict::Drop(DropReason::TooBig);
    };
    let Some(first) = pieces.next() else {
        return Verdict::Drop(DropReason::TooBig);
    };
    for piece in pieces {
        let payload = piece.payload();
        let bytes = packet.frame.bytes();
        let payload = &bytes[l3 + payload.start..l3 + payload.end];
        sibling(turn, packet, &[&bytes[..l3], piece.header(), payload]);
    }
    let bytes = packet.frame.bytes_mut();
    bytes[l3..l3 + first.header().len()].copy_from_slice(first.header());
    packet.frame.truncate(l3 + first.total_len());
    let kept = packet.headers.marks.only(Marks::FLOODED);
    packet.headers = Headers::of(packet.frame.bytes());
    packet.headers.marks = packet.headers.marks.with(kept);
    let (port, vnet) = (packet.origin.port, packet.vnet);
    turn.counters.both(port, vnet, Cell::Fragmented, 1);
    Verdict::Next
}
