//! Makes one packet of a flooded frame for each of its exits.
//!
//! Reads the network's ports and tunnels. Remembers nothing. Comes before `Fit` and `Encap`, so
//! that each copy is judged and wrapped for its own exit.
//!
//! Split horizon: what came from a peer goes to no peer, since every host has a tunnel to every
//! other host of the network.

use super::sibling;
use crate::{DropReason, Exit, Marks, NOWHERE, Packet, Service, Turn, Verdict};

/// Copies what goes to more than one exit. The frame itself takes the first.
pub struct Flood;

impl Service for Flood {
    const NAME: &'static str = "flood";
    const WANTS: Marks = Marks::FLOODED;
    const MAKES: bool = true;

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        if packet.exit != Exit::Flood {
            return Verdict::Next;
        }
        let Some(network) = turn.config.network(packet.vnet) else {
            return Verdict::Drop(DropReason::NoPort);
        };
        let tunnels: &[u16] = if packet.origin.tunnel == NOWHERE {
            &network.tunnels
        } else {
            &[]
        };
        let ports = network
            .ports
            .iter()
            .filter(|slot| **slot != packet.origin.port);
        let exits = ports.map(|slot| Exit::Port(*slot));
        let mut exits = exits.chain(tunnels.iter().map(|slot| Exit::Tunnel(*slot)));

        let Some(first) = exits.next() else {
            return Verdict::Drop(DropReason::Alone);
        };
        packet.headers.marks = packet.headers.marks.with(Marks::FLOODED);
        for exit in exits {
            packet.exit = exit;
            sibling(turn, packet, &[packet.frame.bytes()]);
        }
        packet.exit = first;
        Verdict::Next
    }
}
