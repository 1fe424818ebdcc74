//! Remembers where each station was last heard.
//!
//! Reads the network's program. Writes the table of stations. Comes before `Forward`, so that a
//! station's own frame is enough to be found by.

use crate::{Cell, DropReason, NOWHERE, Packet, Service, State, Turn, Verdict};
use tables::{Learned, Location, Station};
use wire::ethernet::{Ethernet, is_group};

/// Notes the source of every frame.
pub struct Learn;

impl Service for Learn {
    const NAME: &'static str = "learn";

    #[inline]
    fn ahead(turn: &Turn<'_>, packet: &Packet) {
        let Some(network) = turn.config.network(packet.vnet) else {
            return;
        };
        let Ok((ethernet, _)) = Ethernet::parse(packet.frame.bytes()) else {
            return;
        };
        let State { fdb, heard, found } = &*turn.state;
        let source = Station::new(network.vnet, ethernet.source());
        if heard.is_none_or(|(heard, ..)| heard != source) {
            fdb.touch(&fdb.place(source));
        }
        // What `Forward` reads, which comes next.
        let destination = Station::new(network.vnet, ethernet.destination());
        if found.is_none_or(|(found, ..)| found != destination) {
            fdb.touch(&fdb.place(destination));
        }
    }

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
        let heard = Some((station, location, turn.now));
        if turn.state.heard == heard {
            return Verdict::Next;
        }
        turn.state.heard = heard;
        let cell = match turn
            .state
            .fdb
            .learn(turn.now, station, location, network.idle)
        {
            Learned::Known => return Verdict::Next,
            Learned::New => Cell::Learned,
            Learned::Moved { .. } => Cell::Moved,
            Learned::Full => {
                turn.state.heard = None; // each of its frames is counted
                Cell::NotLearned // it will be flooded to, at its own cost
            }
        };
        turn.state.found = None;
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
