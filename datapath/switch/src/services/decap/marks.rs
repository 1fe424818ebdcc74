//! Hands on to the inner packet what happened to the outer one: congestion, and perhaps its class.

use crate::{Cell, DropReason, Marks, Packet, Turn, Verdict};
use program::Dscp;
use wire::ecn::{self, Ecn};
use wire::ipv4::Ipv4;

/// Writes into the inner packet what its outer type of service, `tos`, asks for: ECN as RFC 6040
/// §4.2 says, and DSCP in the uniform model of RFC 2983 §4. What is not IP has no place for it.
#[inline]
pub(super) fn hand_on(turn: &mut Turn<'_>, packet: &mut Packet, tos: u8, dscp: Dscp) -> Verdict {
    if Ecn::from_tos(tos) == Ecn::NotEct && dscp != Dscp::Uniform {
        return Verdict::Next; // nobody says anything
    }
    write(turn, packet, tos, dscp)
}

#[inline(never)]
fn write(turn: &Turn<'_>, packet: &mut Packet, tos: u8, dscp: Dscp) -> Verdict {
    let headers = packet.headers;
    if !headers.marks.any(Marks::IPV4.with(Marks::IPV6)) || headers.marks.any(Marks::UNREADABLE) {
        return Verdict::Next;
    }
    let (inner, outer) = (Ecn::from_tos(headers.tos), Ecn::from_tos(tos));
    if ecn::is_dangerous(inner, outer) {
        let (port, vnet) = (packet.origin.port, packet.vnet);
        turn.counters.both(port, vnet, Cell::EcnOdd, 1);
    }
    let Some(ecn) = ecn::decapsulated(inner, outer) else {
        return Verdict::Drop(DropReason::EcnDropped);
    };
    let class = match dscp {
        Dscp::Uniform => tos,
        Dscp::Pipe(_) => headers.tos,
    };
    let said = ecn.in_tos(class);
    if said == headers.tos {
        return Verdict::Next;
    }
    let ip = &mut packet.frame.bytes_mut()[usize::from(headers.l3)..];
    if headers.marks.any(Marks::IPV4) {
        if Ipv4::parse(ip).is_err() {
            return Verdict::Next; // whoever it is for will drop it as it is
        }
        ecn::set_tos_v4(ip, said);
    } else {
        ecn::set_traffic_class_v6(ip, said);
    }
    packet.headers.tos = said;
    Verdict::Next
}
