//! What one worker remembers.

mod counts;
mod events;
mod moves;

pub(crate) use counts::{network_at, sweep};
pub use events::{Event, Happening};
pub(crate) use moves::Move;

use crate::{Config, Limits};
use core::time::Duration;
use events::Events;
use moves::Moves;
use tables::{Bucket, Fdb, Instant, Location, Neighbours, Reassembly, Station};

/// How long the fragments of a packet wait for each other. Identifications of 16 bits come round
/// within a second at 65,000 packets in pieces a second, and would then join pieces of two
/// packets (RFC 4963); RFC 791's 15 s and RFC 8200's 60 s are what a host may do at most.
const FRAGMENTS_WAIT: Duration = Duration::from_secs(1);

/// What one worker remembers. Shared with nobody; gone when the worker is.
pub struct State {
    /// The stations it has heard, and where.
    pub fdb: Fdb,
    /// The IP addresses it has heard, and whose they are.
    pub neighbours: Neighbours,
    /// Outer packets of which not all fragments have come.
    pub(crate) fragments: Reassembly,
    /// By slot.
    pub(crate) ports: Box<[PortState]>,
    /// By slot.
    pub(crate) networks: Box<[NetworkState]>,
    /// By slot.
    pub(crate) tunnels: Box<[TunnelState]>,
    /// What happened that somebody may want to know.
    pub(crate) events: Events,
    /// Stations that moved lately.
    pub(crate) moves: Moves,
    /// Tunnels whose MTU a router has lowered; without any, nobody has to look.
    pub(crate) lowered: u32,
    /// What tells our fragments of one packet from those of the next.
    pub(crate) identification: u32,
    /// By whom and with which key the last packet came over IPv4, and the slot of its tunnel: a
    /// peer's packets come in a row.
    pub(crate) came: Option<(u64, u16)>,
    /// The station heard last, where, and when: frames of one station come in a row.
    pub(crate) heard: Option<(Station, Location, Instant)>,
    /// The station looked up last, when, and where it was found; none once any was learned since.
    pub(crate) found: Option<(Station, Instant, Option<Location>)>,
    /// When the tables were swept last, and how far.
    pub(crate) swept: Swept,
}

/// What is remembered of one port.
#[derive(Clone, Debug)]
pub(crate) struct PortState {
    /// How many stations are known behind it.
    pub(crate) stations: u32,
    /// How many addresses were heard behind it.
    pub(crate) neighbours: u32,
    /// Whether somebody was told that it is full.
    pub(crate) told_full: bool,
    /// What it has flooded: broadcasts, other groups, stations not heard.
    pub(crate) storm: [Bucket; 3],
    /// What it has sent.
    pub(crate) from_guest: Bucket,
    /// What it was sent.
    pub(crate) to_guest: Bucket,
    /// What it was told of packets that do not fit.
    pub(crate) answers: Bucket,
}

impl PortState {
    const NEW: Self = Self {
        stations: 0,
        neighbours: 0,
        told_full: false,
        storm: [Bucket::FULL; 3],
        from_guest: Bucket::FULL,
        to_guest: Bucket::FULL,
        answers: Bucket::FULL,
    };
}

/// What is remembered of one network.
#[derive(Clone, Debug)]
pub(crate) struct NetworkState {
    /// How many of its stations are known.
    pub(crate) stations: u32,
    /// How many of its addresses were heard.
    pub(crate) neighbours: u32,
    /// Whether somebody was told that it is full.
    pub(crate) told_full: bool,
    /// What was told of it.
    pub(crate) events: Bucket,
}

impl NetworkState {
    const NEW: Self = Self {
        stations: 0,
        neighbours: 0,
        told_full: false,
        events: Bucket::FULL,
    };
}

/// What is remembered of one tunnel.
#[derive(Clone, Debug)]
pub(crate) struct TunnelState {
    /// The number of the next packet that is sent.
    pub(crate) next: u32,
    /// The number that is expected next, once one has come.
    pub(crate) expected: Option<u32>,
    /// The number that would follow the last late one: two in a row mean that the peer began anew.
    pub(crate) begun: Option<u32>,
    /// The largest outer packet that gets through, as a router said, in bytes, and until when that
    /// is believed.
    pub(crate) lowered: Option<(usize, Instant)>,
    /// What its guests were told of packets that do not fit.
    pub(crate) answers: Bucket,
}

impl TunnelState {
    const NEW: Self = Self {
        next: 0,
        expected: None,
        begun: None,
        lowered: None,
        answers: Bucket::FULL,
    };
}

/// How far the sweep has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) at: Instant,
    pub(crate) stations: usize,
    pub(crate) neighbours: usize,
    pub(crate) tunnels: usize,
}

impl State {
    /// A state that remembers as much as `limits` allow. `seed` makes its hashes its own.
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            fdb: Fdb::new(limits.stations, seed),
            neighbours: Neighbours::new(limits.neighbours, seed),
            fragments: Reassembly::new(limits.fragmented, Self::room(limits), FRAGMENTS_WAIT),
            ports: vec![PortState::NEW; limits.ports].into(),
            networks: vec![NetworkState::NEW; limits.networks].into(),
            tunnels: vec![TunnelState::NEW; limits.tunnels].into(),
            events: Events::new(),
            moves: Moves::new(),
            lowered: 0,
            #[allow(clippy::cast_possible_truncation)] // any number will do
            identification: (seed >> 7) as u32,
            came: None,
            heard: None,
            found: None,
            swept: Swept::default(),
        }
    }

    /// Bytes of an outer packet that may come in fragments, behind its IP header.
    fn room(limits: &Limits) -> usize {
        limits.longest() - crate::services::WHOLE_LEN
    }

    /// Bytes of memory that a state with these limits takes.
    pub fn bytes_for(limits: &Limits) -> usize {
        Fdb::bytes_for(limits.stations)
            + Neighbours::bytes_for(limits.neighbours)
            + Reassembly::bytes_for(limits.fragmented, Self::room(limits))
            + limits.ports * size_of::<PortState>()
            + limits.networks * size_of::<NetworkState>()
            + limits.tunnels * size_of::<TunnelState>()
    }

    /// Forgets what was remembered under slots that belong to somebody else from now on.
    pub fn adopt(&mut self, config: &Config) {
        self.came = None;
        if config.fresh_ports.contains(&config.underlay) {
            // What came in by another port than this is not in its ledger.
            let end = Instant::from_nanos(u64::MAX);
            self.fragments.expire(end, &mut |_| {});
        }
        for slot in &config.fresh_ports {
            if let Some(port) = self.ports.get_mut(usize::from(*slot)) {
                *port = PortState::NEW;
            }
        }
        for slot in &config.fresh_networks {
            if let Some(network) = self.networks.get_mut(usize::from(*slot)) {
                *network = NetworkState::NEW;
            }
        }
        for slot in &config.fresh_tunnels {
            if let Some(tunnel) = self.tunnels.get_mut(usize::from(*slot)) {
                self.lowered -= u32::from(tunnel.lowered.is_some());
                *tunnel = TunnelState::NEW;
            }
        }
    }

    /// A number that no other packet of ours has had lately: of `workers`, this one is `worker`.
    pub(crate) fn identify(&mut self, worker: u16, workers: u16) -> u32 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
            .wrapping_mul(u32::from(workers.max(1)))
            .wrapping_add(u32::from(worker))
    }

    /// What happened since the last time somebody asked, as much as `into` has room for.
    pub fn tell(&mut self, into: &mut Vec<Event>) {
        self.events.drain_into(into);
    }

    /// Fragments that wait for the others of their packet: in no ledger yet.
    pub fn fragments_held(&self) -> u32 {
        self.fragments.held()
    }

    /// How many things happened that were not told yet.
    pub fn untold(&self) -> usize {
        self.events.waiting()
    }

    /// The largest outer packet that gets through the tunnel in `slot`, as a router said lately.
    #[inline]
    pub fn lowered(&self, slot: u16, now: Instant) -> Option<usize> {
        if self.lowered == 0 {
            return None;
        }
        let (mtu, until) = self.tunnels.get(usize::from(slot))?.lowered?;
        (now < until).then_some(mtu)
    }
}
