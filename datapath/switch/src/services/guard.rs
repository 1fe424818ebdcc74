//! Keeps each guest to its own address, and to its own network.
//!
//! Reads the port's program. Remembers nothing. Comes first, so that no service behind it asks
//! whether a guest may speak for itself.

use crate::{Cell, DropReason, Packet, Role, Service, Turn, Verdict};
use program::Speaks;
use wire::ethernet::{Ethernet, is_link_local_control};

/// Drops what a guest sends in another station's name; says which network the rest belongs to.
pub struct Guard;

impl Service for Guard {
    const NAME: &'static str = "guard";

    /// The kernel, or another core, wrote the frame last: its headers are far away.
    #[inline]
    fn ahead(_turn: &Turn<'_>, packet: &Packet) {
        core::hint::black_box(packet.frame.bytes().first().copied());
    }

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let port = turn.config.port(packet.origin.port);
        let Some(Role::Guest { network, speaks }) = port.map(|port| port.role) else {
            return Verdict::Drop(DropReason::NoPort); // its program was just withdrawn
        };
        packet.vnet = network;
        turn.counters.vnet(network, Cell::Received, 1);
        turn.counters
            .vnet(network, Cell::ReceivedBytes, packet.frame.len() as u64);

        let Ok((ethernet, _)) = Ethernet::parse(packet.frame.bytes()) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        match speaks {
            Speaks::As(mac) if ethernet.source() != mac.0 => {
                return Verdict::Drop(DropReason::Spoofed);
            }
            _ => {}
        }
        if is_link_local_control(ethernet.destination()) {
            return Verdict::Drop(DropReason::LinkLocal);
        }
        Verdict::Next
    }
}
