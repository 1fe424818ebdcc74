//! Remembers where each station was last heard.
//!
//! Reads the limits of network and port. Writes the table of stations. Comes before `Forward`, so
//! that a station's own frame is enough to be found by.
//!
//! A guest that invents addresses fills what its own port may have, and no more. A station that is
//! heard here and there by turns stays where it is for a while: two guests with one address, or a
//! loop, cost an event, and not everybody's table.

use crate::state::{Happening, Move, network_at};
use crate::{Cell, DropReason, NOWHERE, Packet, Service, State, Turn, Verdict};
use tables::fdb::Change;
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
        let State {
            fdb, heard, found, ..
        } = &*turn.state;
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
        learn(turn, packet, station, location);
        Verdict::Next
    }
}

/// Why the table did not change as it might have.
enum Refusal {
    PortFull,
    NetworkFull,
    Held(Location),
    Stays,
}

/// Writes into the table that `station` was heard at `location`, if it may.
fn learn(turn: &mut Turn<'_>, packet: &Packet, station: Station, location: Location) {
    let Some(network) = turn.config.network(packet.vnet) else {
        return;
    };
    let mut refusal = None;
    let State {
        fdb,
        ports,
        networks,
        moves,
        ..
    } = &mut *turn.state;
    let limit = turn
        .config
        .guest(packet.origin.port)
        .map(|guest| guest.stations);
    let admit = |change| {
        let port = ports.get(usize::from(packet.origin.port));
        let known = networks
            .get(usize::from(packet.vnet))
            .map_or(0, |n| n.stations);
        if port
            .zip(limit)
            .is_some_and(|(port, limit)| port.stations >= limit)
        {
            refusal = Some(Refusal::PortFull);
            return false;
        }
        let owner = network.owners.get(&station.mac());
        if packet.origin.tunnel == NOWHERE && owner.is_some_and(|slot| *slot != packet.origin.port)
        {
            refusal = Some(Refusal::Stays); // a program says whose it is
            return false;
        }
        match change {
            Change::New if known >= network.stations => refusal = Some(Refusal::NetworkFull),
            Change::New => {}
            Change::Moved { from } => {
                match moves.heard_elsewhere(turn.now, station, (from, location)) {
                    Move::Moves => {}
                    Move::StaysFromNow => refusal = Some(Refusal::Held(from)),
                    Move::Stays => refusal = Some(Refusal::Stays),
                }
            }
        }
        refusal.is_none()
    };
    let place = fdb.place(station);
    let learned = fdb.learn_if(turn.now, &place, location, network.idle, admit);
    if matches!(refusal, Some(Refusal::PortFull | Refusal::NetworkFull))
        && let Some(silent) = turn.state.fdb.silent(turn.now, &place)
    {
        // It counts against itself: it was known, and is silent for too long already.
        turn.state.fdb.forget_station(station);
        turn.state.count_out(turn.config, station, silent);
        return learn(turn, packet, station, location);
    }
    if learned != Learned::Known {
        turn.state.found = None;
        changed(turn, packet, station, location, learned, refusal);
    }
}

/// Counts what has changed, or has not, and tells who may want to know.
#[inline(never)]
fn changed(
    turn: &mut Turn<'_>,
    packet: &Packet,
    station: Station,
    location: Location,
    learned: Learned,
    refusal: Option<Refusal>,
) {
    let (config, mac) = (turn.config, station.mac());
    let (cell, happening) = match (learned, refusal) {
        (Learned::Known, _) => return,
        (Learned::New { replaced }, _) => {
            if let Some((station, location)) = replaced {
                turn.state.count_out(config, station, location);
            }
            turn.state.count_in(packet.vnet, location);
            (Cell::Learned, None)
        }
        (Learned::Moved { from }, _) => {
            turn.state.count_away(config, from);
            turn.state.count_at(location);
            let to = location;
            // From where nobody is any more, it had to move.
            let moved = network_at(config, from).is_some();
            let happening = Happening::StationMoved { mac, from, to };
            (Cell::Moved, moved.then_some(happening))
        }
        (Learned::Full, _) => (Cell::NotLearned, None),
        (Learned::Refused, Some(Refusal::PortFull)) => {
            let port = packet.origin.port;
            let state = turn.state.ports.get_mut(usize::from(port));
            let told = state.is_none_or(|state| core::mem::replace(&mut state.told_full, true));
            (
                Cell::PortFull,
                (!told).then_some(Happening::PortFull { port }),
            )
        }
        (Learned::Refused, Some(Refusal::NetworkFull)) => {
            let state = turn.state.networks.get_mut(usize::from(packet.vnet));
            let told = state.is_none_or(|state| core::mem::replace(&mut state.told_full, true));
            (Cell::NetworkFull, (!told).then_some(Happening::NetworkFull))
        }
        (Learned::Refused, Some(Refusal::Held(at))) => {
            let heard = location;
            let happening = Happening::StationHeld { mac, at, heard };
            (Cell::MoveHeld, Some(happening))
        }
        (Learned::Refused, _) => (Cell::MoveHeld, None),
    };
    if matches!(learned, Learned::Full | Learned::Refused) {
        turn.state.heard = None; // each of its frames is counted
    }
    turn.counters.both(packet.origin.port, packet.vnet, cell, 1);
    if let Some(happening) = happening {
        turn.note(packet.vnet, happening);
    }
}

/// Where `packet` came from, as the table of stations keeps it.
#[inline]
pub(super) fn location(turn: &Turn<'_>, packet: &Packet) -> Option<Location> {
    if packet.origin.tunnel == NOWHERE {
        let slot = packet.origin.port;
        let generation = turn.config.port(slot)?.generation;
        return Some(Location::Port { slot, generation });
    }
    let slot = packet.origin.tunnel;
    let generation = turn.config.tunnel(slot)?.generation;
    Some(Location::Peer { slot, generation })
}
