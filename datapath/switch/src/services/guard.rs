//! Keeps each guest to its own addresses, its own network, and its rate.
//!
//! Reads the port's program. Remembers how much the port has sent. Comes first, so that no
//! service behind it asks whether a guest may speak for itself; and finds the headers of the
//! frame, for all of them.

mod addresses;

use crate::{Cell, DropReason, Headers, Marks, Packet, Service, Turn, Verdict};
use program::Speaks;
use wire::ethernet::{Ethernet, is_link_local_control};

/// What not every guest may send, or cannot be seen not to be that.
const WATCHED: Marks = Marks::DHCP_SERVER
    .with(Marks::FROM_ROUTER)
    .with(Marks::UNREADABLE);

/// Drops what a guest sends in another's name, or too much of; says which network the rest
/// belongs to.
pub struct Guard;

impl Service for Guard {
    const NAME: &'static str = "guard";

    /// The kernel, or another core, wrote the frame last: its headers are far away.
    #[inline]
    fn ahead(_turn: &Turn<'_>, packet: &Packet) {
        core::hint::black_box(packet.frame.bytes().first().copied());
    }

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let slot = packet.origin.port;
        let Some(guest) = turn.config.guest(slot) else {
            return Verdict::Drop(DropReason::NoPort); // its program was just withdrawn
        };
        let bytes = packet.frame.len() as u64;
        packet.vnet = guest.network;
        turn.counters.vnet(guest.network, Cell::Received, 1);
        turn.counters
            .vnet(guest.network, Cell::ReceivedBytes, bytes);

        let Ok((ethernet, _)) = Ethernet::parse(packet.frame.bytes()) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        match guest.speaks {
            Speaks::As(mac) if ethernet.source() != mac.0 => {
                return Verdict::Drop(DropReason::Spoofed);
            }
            _ => {}
        }
        if is_link_local_control(ethernet.destination()) {
            return Verdict::Drop(DropReason::LinkLocal);
        }
        packet.headers = Headers::of(packet.frame.bytes());
        let marks = packet.headers.marks;
        turn.seen = turn.seen.with(marks);
        if marks.any(WATCHED) {
            // What it says may be what it may not (RFC 7113 §2, RFC 7610 §3).
            let may_say_all = guest.serves_dhcp && guest.routes && guest.addresses.is_none();
            if marks.any(Marks::UNREADABLE) && !may_say_all {
                return Verdict::Drop(DropReason::Unreadable);
            }
            if marks.any(Marks::DHCP_SERVER) && !guest.serves_dhcp {
                return Verdict::Drop(DropReason::ServedDhcp);
            }
            if marks.any(Marks::FROM_ROUTER) && !guest.routes {
                return Verdict::Drop(DropReason::RouterAdvert);
            }
        }
        if let Some(own) = &guest.addresses
            && let Err(reason) = addresses::check(own, packet)
        {
            return Verdict::Drop(reason);
        }
        if let Some(rate) = &guest.from_guest
            && let Some(port) = turn.state.ports.get_mut(usize::from(slot))
            && !port.from_guest.take(turn.now, rate, bytes)
        {
            return Verdict::Drop(DropReason::RateFromGuest);
        }
        Verdict::Next
    }
}
