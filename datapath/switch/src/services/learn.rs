//! Remembers where each station was last heard.
//!
//! Reads the network's program. Writes the table of stations. Comes before `Forward`, so that a
//! station's own frame is enough to be found by.

use crate::{Cell, DropReason, NOWHERE, Packet, Service, Turn, Verdict};
use tables::{Learned, Location, Station};
use wire::ethernet::{Ethernet, is_group};

/// Notes the source of every frame.
pub struct Learn;

impl Service for Learn {
    const NAME: &'static str = "learn";

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let Some(network) = turn.config.network(packet.vnet) else {
            return Verdict::Drop(DropReason::NoPort);
        };
        let Ok((ethernet, _)) = Ethernet::parse(packet.frame.bytes()) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        let source = ethernet.source();
        if is_group(source) || source == [0; 6] {
            return Verdict::Drop(DropReason::BadSource);
        }
        let Some(location) = location(turn, packet) else {
            return Verdict::Drop(DropReason::NoPort);
        };
        let station = Station::new(network.vnet, source);
        let cell = match turn
            .state
            .fdb
            .learn(turn.now, station, location, network.idle)
        {
            Learned::Known => return Verdict::Next,
            Learned::New => Cell::Learned,
            Learned::Moved { .. } => Cell::Moved,
            Learned::Full => Cell::NotLearned, // it will be flooded to, at its own cost
        };
        turn.counters.both(packet.origin.port, packet.vnet, cell, 1);
        Verdict::Next
    }
}

/// Where `packet` came from, as the table of stations keeps it.
#[inline]
fn location(turn: &Turn<'_>, packet: &Packet) -> Option<Location> {
    if packet.origin.tunnel == NOWHERE {
        let slot = packet.origin.port;
        let generation = turn.config.port(slot)?.generation;
        return Some(Location::Port { slot, generation });
    }
    let slot = packet.origin.tunnel;
    let generation = turn.config.tunnel(slot)?.generation;
    Some(Location::Peer { slot, generation })
}
