//! Makes one packet of a flooded frame for each of its exits.
//!
//! Reads the network's ports and tunnels. Remembers nothing. Comes before `Fit` and `Encap`, so
//! that each copy is judged and wrapped for its own exit.
//!
//! Split horizon: what came from a peer goes to no peer, since every host has a tunnel to every
//! other host of the network.

use crate::{Cell, DropReason, Exit, NOWHERE, Packet, Service, Turn, Verdict};

/// Copies what goes to more than one exit. The frame itself takes the first.
pub struct Flood;

impl Service for Flood {
    const NAME: &'static str = "flood";

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
        packet.exit = first;
        for exit in exits {
            copy(turn, packet, exit);
        }
        Verdict::Next
    }
}

/// Makes a copy of `packet` that leaves by `exit`.
fn copy(turn: &mut Turn<'_>, packet: &Packet, exit: Exit) {
    let (port, vnet) = (packet.origin.port, packet.vnet);
    turn.counters.both(port, vnet, Cell::Copied, 1);
    if turn.copies.room() == 0 {
        return turn.counters.dropped(port, vnet, DropReason::FloodLimit);
    }
    let Some(mut frame) = turn.pool.take() else {
        return turn.counters.dropped(port, vnet, DropReason::NoFrame);
    };
    if frame.fill(packet.frame.bytes()).is_err() {
        turn.pool.give(frame);
        return turn.counters.dropped(port, vnet, DropReason::TooBig);
    }
    let copy = Packet {
        frame,
        origin: packet.origin,
        vnet,
        exit,
        verdict: Verdict::Next,
    };
    if let Err(copy) = turn.copies.push(copy) {
        turn.pool.give(copy.frame);
        turn.counters.dropped(port, vnet, DropReason::FloodLimit);
    }
}
