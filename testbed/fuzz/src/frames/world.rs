//! One worker without a thread.

use super::judge::Judge;
use super::scene::{LIMITS, SCENES, Scene};
use super::told::Told;
use crate::made;
use core::net::IpAddr;
use core::ops::AddAssign;
use core::time::Duration;
use frame::{Frame, FramePool, Region};
use program::{Mac, Vnet};
use std::collections::BTreeMap;
use switch::path::{arrived, depart, inbound, outbound, tend};
use switch::{
    Batch, Cell, Config, Counters, DropReason, Ledger, Marks, Packet, Role, State, Turn, Verdict,
    WorkerId,
};
use tables::{Instant, Location};
use wire::{Ipv4, Ipv6, Protocol, icmp};

/// Addresses that may be heard behind a port, for each of its stations.
const ADDRESSES_A_STATION: usize = 4;

/// What became of the frames of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Came in.
    pub received: u64,
    /// Left, copies and answers among them.
    pub sent: u64,
    /// Ended here, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What else was counted, by name; and `answered` and `merged`.
    pub noted: BTreeMap<&'static str, u64>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
        for (reason, count) in other.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
        for (name, count) in other.noted {
            *self.noted.entry(name).or_default() += count;
        }
    }
}

/// One worker without a thread.
pub(super) struct World {
    scene: &'static Scene,
    state: State,
    counters: Counters,
    pool: FramePool,
    /// What waits for the next turn, by the number of its port.
    waiting: Vec<(u16, Batch)>,
    copies: Batch,
    now: Instant,
    judge: Judge,
    tally: Tally,
    /// Frames that were dropped before its time.
    lost: u64,
}

impl World {
    /// One in which scene `number` is in force.
    pub(super) fn new(number: u8) -> Self {
        let scene = &SCENES[usize::from(number) % SCENES.len()];
        Self {
            scene,
            state: State::new(&LIMITS, 7),
            counters: Counters::new(&LIMITS),
            pool: FramePool::new(Region::heap(LIMITS.frames)),
            waiting: (scene.slots.iter())
                .map(|slot| (*slot, Batch::new(32)))
                .collect(),
            copies: Batch::new(8),
            now: Instant::START,
            judge: Judge::default(),
            tally: Tally::default(),
            lost: frame::lost(),
        }
    }

    pub(super) fn wait(&mut self, quarters: u8) {
        self.now = self.now + Duration::from_millis(250) * u32::from(quarters);
    }

    /// Queues a frame; if there is no buffer for it, what waits is decided first.
    pub(super) fn receive(&mut self, told: &Told) {
        let Some(bytes) = told.frame().or_else(|| about(self.scene, told)) else {
            return;
        };
        if self.pool.free() == 0 {
            self.turn();
        }
        let mut frame = self.pool.take().expect("a turn brings all home");
        if frame.fill(&bytes).is_err() {
            self.pool.give(frame); // no device would bring so long a frame
            return;
        }
        let port = usize::from(told.port) % self.waiting.len();
        let (slot, batch) = &mut self.waiting[port];
        let pushed = batch.push(Packet::new(frame, *slot));
        assert!(pushed.is_ok(), "a batch has room for all frames there are");
        self.tally.received += u64::from(usize::from(*slot) < LIMITS.ports);
    }

    /// Decides what waits, and looks at every frame that leaves.
    pub(super) fn turn(&mut self) {
        let (scene, before) = (self.scene, self.lost());
        let config = &scene.config;
        let mut gone = Vec::new();
        let mut turn = Turn {
            now: self.now,
            worker: WorkerId(0),
            config,
            state: &mut self.state,
            counters: &self.counters,
            pool: &mut self.pool,
            copies: &mut self.copies,
            seen: Marks::NONE,
        };
        tend(&mut turn);
        for (slot, batch) in &mut self.waiting {
            for packet in &*batch {
                arrived(&turn, packet);
            }
            match config.port(*slot).map(|port| &port.role) {
                Some(Role::Guest(_)) => outbound(&mut turn, batch),
                Some(Role::Underlay) => inbound(&mut turn, batch),
                None => {
                    for packet in batch.iter_mut() {
                        packet.verdict = Verdict::Drop(DropReason::NoPort);
                    }
                }
            }
            let judge = &mut self.judge;
            depart(&mut turn, batch, |turn, packet| {
                judge.look(scene, turn.state, turn.now, &packet);
                let (port, vnet) = (packet.origin.port, packet.vnet);
                let became = if packet.is_answer() {
                    Cell::Answered
                } else {
                    Cell::Sent
                };
                turn.counters.both(port, vnet, became, 1);
                gone.push(packet.frame);
            });
        }
        self.judge.rest(self.lost() > before);
        self.settle(gone);
        self.look_at_tables();
    }

    /// Copies and pieces for which there was no room.
    fn lost(&self) -> u64 {
        let reasons = [DropReason::NoFrame, DropReason::FloodLimit];
        let ports = self.counters.ports.iter();
        ports
            .map(|ledger| reasons.map(|reason| ledger.dropped(reason)))
            .map(|[frame, flood]| frame + flood)
            .sum()
    }

    /// What must hold of frames and ledgers after a turn. Returns how many fragments are held.
    fn settle(&mut self, gone: Vec<Frame>) -> u64 {
        self.tally.sent += gone.len() as u64;
        assert_eq!(
            self.pool.free() + gone.len(),
            self.pool.made(),
            "a buffer is missing"
        );
        for frame in gone {
            self.pool.give(frame);
        }
        let mut held = 0;
        for (slot, ledger) in (0..).zip(&self.counters.ports) {
            let left = remainder(ledger);
            // Only the underlay brings parts of what nobody has looked at yet.
            let most = if slot == self.scene.config.underlay {
                i128::MAX
            } else {
                0
            };
            assert!(
                (0..=most).contains(&left),
                "port {slot} does not balance: {left}"
            );
            held += u64::try_from(left).expect("it is not negative");
        }
        for (slot, ledger) in self.counters.vnets.iter().enumerate() {
            assert_eq!(remainder(ledger), 0, "network {slot} does not balance");
        }
        held
    }

    /// What must hold of what is remembered.
    fn look_at_tables(&mut self) {
        let config = &self.scene.config;
        let fdb = &self.state.fdb;
        let mut behind: BTreeMap<u16, usize> = BTreeMap::new();
        let mut within: BTreeMap<Vnet, usize> = BTreeMap::new();
        for entry in fdb.entries(self.now, 0, fdb.buckets()) {
            let (vnet, mac) = (entry.station.vnet(), entry.station.mac());
            assert!(Mac(mac).is_station(), "{mac:02x?} was learned");
            assert_eq!(vnet_of(config, entry.location), Some(vnet), "elsewhere");
            *within.entry(vnet).or_default() += 1;
            if let Location::Port { slot, .. } = entry.location {
                *behind.entry(slot).or_default() += 1;
            }
        }
        for (vnet, known) in within {
            let network = config
                .network_of(vnet)
                .and_then(|slot| config.network(slot));
            let most = network.expect("it is there").stations as usize;
            assert!(
                known <= most,
                "{known} stations of {vnet}, and {most} may be"
            );
        }
        for (slot, known) in behind {
            let most = self.scene.stations[&slot];
            assert!(
                known <= most,
                "{known} stations behind {slot}, and {most} may be"
            );
        }
        let neighbours = &self.state.neighbours;
        let mut behind: BTreeMap<u16, usize> = BTreeMap::new();
        for entry in neighbours.entries(self.now, 0, neighbours.buckets()) {
            let heard = entry.neighbour;
            assert!(!heard.address.is_unspecified() && heard.mac[0] & 1 == 0);
            assert_eq!(
                vnet_of(config, heard.location),
                Some(heard.vnet),
                "elsewhere"
            );
            if let Location::Port { slot, .. } = heard.location {
                *behind.entry(slot).or_default() += 1;
            }
        }
        for (slot, known) in behind {
            let most = self.scene.stations[&slot].saturating_mul(ADDRESSES_A_STATION);
            assert!(
                known <= most,
                "{known} addresses behind {slot}, and {most} may be"
            );
        }
        let mut events = Vec::with_capacity(64);
        self.state.tell(&mut events);
        let known = |vnet| config.network_of(vnet).is_some();
        assert!(events.iter().all(|event| known(event.vnet)), "{events:?}");
    }

    /// Lets what waits for others be given up, and counts.
    pub(super) fn end(mut self) -> Tally {
        self.turn();
        self.wait(8);
        self.turn();
        assert_eq!(self.settle(Vec::new()), 0, "fragments are held for ever");
        for reason in DropReason::ALL {
            self.note_drops(*reason);
        }
        let more = [(Cell::Answered, "answered"), (Cell::Merged, "merged")];
        for (cell, name) in Cell::NOTED.into_iter().chain(more) {
            let count: u64 = self.counters.ports.iter().map(|l| l.get(cell)).sum();
            if count > 0 {
                self.tally.noted.insert(name, count);
            }
        }
        assert_eq!(frame::lost(), self.lost, "a frame was dropped");
        self.tally
    }

    fn note_drops(&mut self, reason: DropReason) {
        let ports = self.counters.ports.iter();
        let count: u64 = ports.map(|ledger| ledger.dropped(reason)).sum();
        if count > 0 {
            self.tally.dropped.insert(reason.name(), count);
        }
    }
}

/// What `ledger` has neither let go nor ended: fragments that are held.
fn remainder(ledger: &Ledger) -> i128 {
    let drops = DropReason::ALL.iter().map(|reason| ledger.dropped(*reason));
    let came = [Cell::Received, Cell::Copied].map(|cell| ledger.get(cell));
    let went = [Cell::Sent, Cell::Answered, Cell::Merged].map(|cell| ledger.get(cell));
    let sum = |counts: &[u64]| counts.iter().copied().map(i128::from).sum::<i128>();
    sum(&came) - sum(&went) - drops.map(i128::from).sum::<i128>()
}

/// The network of what is at `location`.
fn vnet_of(config: &Config, location: Location) -> Option<Vnet> {
    let network = match location {
        Location::Port { slot, .. } => config.network_of_port(slot),
        Location::Peer { slot, .. } => config.tunnel(slot)?.network,
    };
    Some(config.network(network)?.vnet)
}

/// What a router says of our packets through the tunnel that `told` names: with the headers that
/// the tunnel does send, so that no chance is needed to be believed.
fn about(scene: &Scene, told: &Told) -> Option<Vec<u8>> {
    let (remote, key) = (told.detail.peer(), told.detail.key());
    let tunnel = scene.config.tunnel(scene.config.tunnel_of(remote, key)?)?;
    let way = tunnel.way.as_ref()?;
    let mut sent = way.outer[usize::from(way.ip_at)..usize::from(way.len)].to_vec();
    let (fits, len) = told.too_big();
    sent.resize(usize::from(len).clamp(sent.len(), 1500), 0);
    let mut said = [0; 1280];
    let message = match remote {
        IpAddr::V4(peer) => {
            sent[2..4].copy_from_slice(&len.to_be_bytes());
            let len = icmp::too_big_v4(&mut said, &sent, peer, made::ENDPOINT, fits);
            (Protocol::ICMP, said[Ipv4::MIN_LEN..len].to_vec())
        }
        IpAddr::V6(peer) => {
            let len = len.saturating_sub(40);
            sent[4..6].copy_from_slice(&len.to_be_bytes());
            let len = icmp::too_big_v6(&mut said, &sent, peer, made::ENDPOINT_V6, fits.into());
            (Protocol::ICMPV6, said[Ipv6::LEN..len].to_vec())
        }
    };
    let frame = made::outer(remote, message.0, 0xc0, &message.1);
    Some(made::mended(frame))
}
