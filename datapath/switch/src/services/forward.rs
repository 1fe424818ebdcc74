//! Finds where a frame goes.
//!
//! Reads the table of stations. Remembers nothing. A station that is not known, or whose port or
//! tunnel was withdrawn since, is flooded to, as is every group.

use crate::{DropReason, Exit, Marks, NOWHERE, Packet, Service, Tunnel, Turn, Verdict};
use tables::{Location, Station};
use wire::ethernet::{Ethernet, is_group, is_link_local_control};

/// Chooses the exit: one port, one tunnel, or all of the network.
pub struct Forward;

impl Service for Forward {
    const NAME: &'static str = "forward";

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        if packet.exit != Exit::Undecided {
            return Verdict::Next; // it was answered, and the answer knows where to go
        }
        let Some(network) = turn.config.network(packet.vnet) else {
            return Verdict::Drop(DropReason::NoPort);
        };
        let Ok((ethernet, _)) = Ethernet::parse(packet.frame.bytes()) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        let destination = ethernet.destination();
        packet.exit = Exit::Flood;
        if is_group(destination) {
            if is_link_local_control(destination) {
                return Verdict::Drop(DropReason::LinkLocal); // a peer may not have dropped it
            }
            turn.seen = turn.seen.with(Marks::FLOODED);
            return Verdict::Next;
        }
        let station = Station::new(network.vnet, destination);
        let location = match turn.state.found {
            Some((found, at, location)) if found == station && at == turn.now => location,
            _ => {
                let location = turn.state.fdb.lookup(turn.now, station);
                turn.state.found = Some((station, turn.now, location));
                location
            }
        };
        match location {
            Some(Location::Port { slot, generation }) => {
                let current = turn
                    .config
                    .port(slot)
                    .is_some_and(|p| p.generation == generation);
                if current && turn.config.network_of_port(slot) == packet.vnet {
                    if packet.origin.port == slot {
                        return Verdict::Drop(DropReason::SamePort);
                    }
                    packet.exit = Exit::Port(slot);
                }
            }
            Some(Location::Peer { slot, generation }) => {
                let current = |t: &Tunnel| t.generation == generation && t.network == packet.vnet;
                if turn.config.tunnel(slot).is_some_and(current) {
                    if packet.origin.tunnel != NOWHERE {
                        return Verdict::Drop(DropReason::SplitHorizon);
                    }
                    packet.exit = Exit::Tunnel(slot);
                }
            }
            None => {}
        }
        if packet.exit == Exit::Flood {
            turn.seen = turn.seen.with(Marks::FLOODED);
        }
        Verdict::Next
    }
}
