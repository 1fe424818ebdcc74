//! How many stations and addresses each port and network has, kept as they come and go.

use super::{State, Swept};
use crate::state::Happening;
use crate::{Cell, Config, NOWHERE, Turn};
use core::time::Duration;
use tables::neighbours::Neighbour;
use tables::{Location, Rate, Station};

/// How often the tables are swept. A table of the size that is the default is swept within a few
/// seconds: for so long a station that is silent for too long may still count.
const SWEEP_AGAIN: Duration = Duration::from_millis(1);

/// Buckets of stations that one sweep looks at.
const STATIONS: usize = 32;

/// Buckets of addresses that one sweep looks at.
const NEIGHBOURS: usize = 32;

/// Events that are noted of one network: what happens often in one must not hide what happens
/// in another.
const EVENTS: Rate = Rate {
    per_second: 5,
    burst: 20,
};

/// Tunnels that one sweep looks at.
const TUNNELS: usize = 64;

/// Whether `location` is one of those that `config` has, and not who had its slot before; if it
/// is, the slot of its network.
pub(crate) fn network_at(config: &Config, location: Location) -> Option<u16> {
    match location {
        Location::Port { slot, generation } => {
            let port = config.port(slot)?;
            (port.generation == generation).then(|| config.network_of_port(slot))
        }
        Location::Peer { slot, generation } => {
            let tunnel = config.tunnel(slot)?;
            (tunnel.generation == generation).then_some(tunnel.network)
        }
    }
    .filter(|slot| *slot != NOWHERE)
}

impl State {
    /// A station came to be known at `location`, in the network in slot `network`.
    pub(crate) fn count_in(&mut self, network: u16, location: Location) {
        if let Some(network) = self.networks.get_mut(usize::from(network)) {
            network.stations += 1;
        }
        self.count_at(location);
    }

    /// A station that was known elsewhere came to `location`.
    pub(crate) fn count_at(&mut self, location: Location) {
        if let Location::Port { slot, .. } = location
            && let Some(port) = self.ports.get_mut(usize::from(slot))
        {
            port.stations += 1;
        }
    }

    /// `station` is no more known at `location`.
    pub(crate) fn count_out(&mut self, config: &Config, station: Station, location: Location) {
        let slot = config.network_of(station.vnet()).unwrap_or(NOWHERE);
        if let Some(network) = self.networks.get_mut(usize::from(slot)) {
            // What an earlier network of that number has left behind is not in the count.
            network.stations = network.stations.saturating_sub(1);
            network.told_full = false;
        }
        self.count_away(config, location);
    }

    /// A station that is known elsewhere now has left `location`.
    pub(crate) fn count_away(&mut self, config: &Config, location: Location) {
        if let Location::Port { slot, .. } = location
            && network_at(config, location).is_some()
            && let Some(port) = self.ports.get_mut(usize::from(slot))
        {
            port.stations = port.stations.saturating_sub(1);
            port.told_full = false;
        }
    }

    /// `heard` is no more known.
    pub(crate) fn count_neighbour_out(&mut self, config: &Config, heard: &Neighbour) {
        let slot = config.network_of(heard.vnet).unwrap_or(NOWHERE);
        if let Some(network) = self.networks.get_mut(usize::from(slot)) {
            network.neighbours = network.neighbours.saturating_sub(1);
        }
        self.count_neighbour_away(config, heard.location);
    }

    /// An address that is known elsewhere now has left `location`.
    pub(crate) fn count_neighbour_away(&mut self, config: &Config, location: Location) {
        if let Location::Port { slot, .. } = location
            && network_at(config, location).is_some()
            && let Some(port) = self.ports.get_mut(usize::from(slot))
        {
            port.neighbours = port.neighbours.saturating_sub(1);
        }
    }
}

/// Takes out of the tables what is too old, or stands behind what was withdrawn: a slice of them,
/// so that a turn stays short.
pub(crate) fn sweep(turn: &mut Turn<'_>) {
    if turn.now.since(turn.state.swept.at) < SWEEP_AGAIN {
        return;
    }
    let (now, config) = (turn.now, turn.config);
    let Swept {
        stations,
        neighbours,
        tunnels,
        ..
    } = turn.state.swept;
    // What was swept out, and is counted once the table is free again.
    let mut gone = [None; STATIONS * 4];
    let mut count = 0;
    let keep = |_: Station, location| network_at(config, location).is_some();
    turn.state
        .fdb
        .sweep(now, stations, STATIONS, keep, |station, location| {
            if let Some(place) = gone.get_mut(count) {
                *place = Some((station, location));
                count += 1;
            }
        });
    for (station, location) in gone.into_iter().flatten() {
        turn.state.count_out(config, station, location);
    }
    let mut gone = [None; NEIGHBOURS * 8];
    let mut count = 0;
    let keep = |location| network_at(config, location).is_some();
    turn.state.neighbours.sweep(
        now,
        neighbours,
        NEIGHBOURS,
        |heard| keep(heard.location),
        |heard| {
            if let Some(place) = gone.get_mut(count) {
                *place = Some(*heard);
                count += 1;
            }
        },
    );
    for heard in gone.into_iter().flatten() {
        turn.state.count_neighbour_out(config, &heard);
    }
    sweep_tunnels(turn, tunnels);
    let next = |from: usize, by: usize, all: usize| if from + by < all { from + by } else { 0 };
    turn.state.swept = Swept {
        at: now,
        stations: next(stations, STATIONS, turn.state.fdb.buckets()),
        neighbours: next(neighbours, NEIGHBOURS, turn.state.neighbours.buckets()),
        tunnels: next(tunnels, TUNNELS, turn.state.tunnels.len()),
    };
}

/// Forgets what routers said long ago.
fn sweep_tunnels(turn: &mut Turn<'_>, from: usize) {
    if turn.state.lowered == 0 {
        return;
    }
    let end = (from + TUNNELS).min(turn.state.tunnels.len());
    for slot in from..end {
        let state = &mut turn.state.tunnels[slot];
        if state.lowered.is_none_or(|(_, until)| turn.now < until) {
            continue;
        }
        state.lowered = None;
        turn.state.lowered -= 1;
        let slot = u16::try_from(slot).unwrap_or(NOWHERE);
        if let Some(tunnel) = turn.config.tunnel(slot) {
            turn.note(tunnel.network, Happening::MtuForgotten { tunnel: slot });
        }
    }
}

impl Turn<'_> {
    /// Notes that something happened in the network in slot `vnet`.
    pub(crate) fn note(&mut self, vnet: u16, what: Happening) {
        let Some(network) = self.config.network(vnet) else {
            return;
        };
        let state = self.state.networks.get_mut(usize::from(vnet));
        let told = state.is_some_and(|state| state.events.take(self.now, &EVENTS, 1));
        if !told || !self.state.events.note(self.now, network.vnet, what) {
            self.counters.vnet(vnet, Cell::EventsLost, 1);
        }
    }
}
