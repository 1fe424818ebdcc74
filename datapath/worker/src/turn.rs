//! One worker, and one bounded step of it.

use crate::handoff::{HandOff, Task};
use crate::mail::{Gauges, Letter, Mail};
use crate::placement;
use crate::polled::Polled;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use frame::{Burst, Frame, FramePool, MAX_FRAME};
use rtrb::{Consumer, Producer};
use std::sync::Arc;
use switch::path::{arrived, depart, inbound, outbound, settle, tend};
use switch::{
    Batch, Config, Counters, DropReason, Limits, Marks, NOWHERE, Packet, Role, State, Turn,
    Verdict, WorkerId,
};
use tables::Instant;

/// Frames taken from one device in one turn. Each turn costs a call into the kernel for each
/// device that sends: with 64 that was a tenth of the rate on veth (`greyhound-bench`).
pub const BURST: usize = 256;

/// Copies made by flooding in one turn, for one device's frames.
const COPIES: usize = 1024;

/// Buckets of the table of stations that one mail asks for, so that a turn stays short.
pub const SLICE: usize = 128;

/// Mail read in one turn, so that a turn stays short.
const MAIL: usize = 4;

/// Frames that may lie in front of a quiet device, at most.
const QUIET: usize = 256;

/// And at least, however many devices there are: fewer would be gone before a turn is over.
const LEAST: usize = 64;

/// Chunks that came in by one burst and make a device a busy one: as many as frames, or more if
/// some are long.
const MANY: usize = 64;

/// Devices asked to look again at one time: a turn stays short with a thousand of them.
const LOOKED_AT: usize = 8;

/// A device is asked to look again at least this often, whether or not it seems to need that: a
/// lost wake-up stalls a queue for so long, and not for ever. With more than [`LOOKED_AT`] devices
/// they take turns.
const LOOK_AGAIN: Duration = Duration::from_micros(150);

/// What a worker is made of.
pub struct Parts {
    /// Its number.
    pub id: WorkerId,
    /// How many there are.
    pub workers: u16,
    /// What it has room for.
    pub limits: Limits,
    /// Its frames.
    pub pool: FramePool,
    /// Makes its hashes its own: an attacker cannot aim at a bucket.
    pub seed: u64,
    /// Its ends of the rings to and from the supervisor.
    pub mail: (Consumer<Mail>, Producer<Letter>),
    /// Its ends of the rings to and from the other workers.
    pub hand_offs: Vec<HandOff>,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// What it says of itself.
    pub gauges: Arc<Gauges>,
}

/// One worker: its devices, its frames, what it was told and what it remembers.
pub struct Worker {
    id: WorkerId,
    workers: u16,
    pool: FramePool,
    state: State,
    config: Arc<Config>,
    counters: Arc<Counters>,
    gauges: Arc<Gauges>,
    mail: Consumer<Mail>,
    letters: Producer<Letter>,
    hand_offs: Vec<HandOff>,
    /// Which hand-offs got something in this turn, by index.
    handed: Vec<bool>,
    devices: Vec<Polled>,
    devices_changed: bool,
    /// The device we send by, by slot of the port; `NOWHERE` if we poll no queue of it.
    sends_by: Box<[u16]>,
    burst: Burst,
    batch: Batch,
    copies: Batch,
    looked: Instant,
    /// The device that was asked to look again last.
    look_at: usize,
}

impl Worker {
    /// A worker that polls nothing and was told nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            id,
            workers,
            limits,
            pool,
            seed,
            mail,
            mut hand_offs,
            counters,
            gauges,
        } = parts;
        hand_offs.sort_by_key(|hand_off| hand_off.peer);
        Self {
            id,
            workers,
            pool,
            state: State::new(&limits, seed),
            config: Arc::default(),
            counters,
            gauges,
            mail: mail.0,
            letters: mail.1,
            handed: vec![false; hand_offs.len()],
            hand_offs,
            devices: Vec::with_capacity(limits.ports + 64),
            devices_changed: false,
            sends_by: vec![NOWHERE; limits.ports].into(),
            burst: Burst::new(BURST),
            batch: Batch::new(BURST + COPIES),
            copies: Batch::new(COPIES),
            looked: Instant::START,
            look_at: 0,
        }
    }

    /// One step: reads the mail, takes a burst from every device and every other worker, decides,
    /// and sends. Returns how many packets moved.
    pub fn turn(&mut self, now: Instant) -> usize {
        self.read_mail(now);
        tend(&mut self.as_turn(now));
        let mut moved = 0;
        for index in 0..self.devices.len() {
            moved += self.poll(index, now);
        }
        for index in 0..self.hand_offs.len() {
            moved += self.take_handed(index, now);
        }
        let taken = moved;
        for polled in &mut self.devices {
            let Polled {
                slot,
                device,
                outbox,
                ..
            } = polled;
            moved += outbox.flush(device.as_mut(), *slot, &mut self.pool, &self.counters);
        }
        if now.since(self.looked) >= LOOK_AGAIN {
            self.looked = now;
            let count = self.devices.len().min(LOOKED_AT);
            for _ in 0..count {
                self.look_at = (self.look_at + 1) % self.devices.len();
                self.devices[self.look_at].device.wake();
            }
        }
        self.note(taken, moved);
        moved
    }

    /// What the switch may read and change, when there is no packet.
    fn as_turn(&mut self, now: Instant) -> Turn<'_> {
        Turn {
            now,
            worker: self.id,
            config: &self.config,
            state: &mut self.state,
            counters: &self.counters,
            pool: &mut self.pool,
            copies: &mut self.copies,
            seen: Marks::NONE,
        }
    }

    /// Takes a burst from one device through the switch.
    fn poll(&mut self, index: usize, now: Instant) -> usize {
        let Polled { slot, device, .. } = &mut self.devices[index];
        let slot = *slot;
        device.reclaim(&mut self.pool);
        let count = device.receive(&mut self.pool, &mut self.burst);
        if count == 0 {
            return 0;
        }
        if self.chunks_of_burst() >= MANY {
            self.grow(index);
        }
        for frame in self.burst.take(BURST) {
            // The batch is empty here and has room for a burst.
            if let Err(packet) = self.batch.push(Packet::new(frame, slot)) {
                settle(
                    &self.counters,
                    &mut self.pool,
                    packet,
                    DropReason::FloodLimit,
                );
            }
        }
        self.decide(slot, true, now);
        count
    }

    /// Takes a burst from another worker: what is to be sent goes to its device, what is to be
    /// decided goes through the switch.
    fn take_handed(&mut self, index: usize, now: Instant) -> usize {
        self.hand_offs[index].refill(&mut self.pool);
        let mut count = 0;
        let mut slot = NOWHERE;
        while count < BURST {
            let Some(handed) = self.hand_offs[index].take() else {
                break;
            };
            count += 1;
            let mut packet = Packet::new(handed.frame, handed.origin.port);
            packet.origin = handed.origin;
            packet.vnet = handed.vnet;
            if handed.answer {
                packet.make_answer();
            }
            match handed.task {
                Task::Send(exit) => self.send_handed(packet, exit),
                Task::Decide => {
                    slot = packet.origin.port;
                    if let Err(packet) = self.batch.push(packet) {
                        settle(
                            &self.counters,
                            &mut self.pool,
                            packet,
                            DropReason::FloodLimit,
                        );
                    }
                }
            }
        }
        if !self.batch.is_empty() {
            self.decide(slot, false, now);
        }
        count
    }

    /// Queues what another worker has decided to send by a port whose queue we poll.
    fn send_handed(&mut self, packet: Packet, exit: u16) {
        let by = self
            .sends_by
            .get(usize::from(exit))
            .copied()
            .unwrap_or(NOWHERE);
        match self.devices.get_mut(usize::from(by)) {
            Some(polled) => polled.outbox.add(packet, &mut self.pool, &self.counters),
            None => settle(&self.counters, &mut self.pool, packet, DropReason::PortDown),
        }
    }

    /// Takes the batch, which came in by the port in `slot`, through the switch, and every packet
    /// of it to where it goes.
    fn decide(&mut self, slot: u16, just_in: bool, now: Instant) {
        let Self {
            id,
            workers,
            pool,
            state,
            config,
            counters,
            ..
        } = self;
        let Self {
            hand_offs,
            handed,
            devices,
            sends_by,
            batch,
            copies,
            ..
        } = self;
        let mut turn = Turn {
            now,
            worker: *id,
            config,
            state,
            counters,
            pool,
            copies,
            seen: Marks::NONE,
        };
        if just_in {
            for packet in &*batch {
                arrived(&turn, packet);
            }
        }
        match turn.config.port(slot).map(|port| &port.role) {
            Some(Role::Guest(_)) => outbound(&mut turn, batch),
            Some(Role::Underlay) => inbound(&mut turn, batch),
            None => {
                for packet in batch.iter_mut() {
                    packet.verdict = Verdict::Drop(DropReason::NoPort);
                }
            }
        }
        depart(&mut turn, batch, |turn, packet| {
            let (to, task) = match packet.verdict {
                Verdict::Send(exit) => {
                    let by = sends_by.get(usize::from(exit)).copied().unwrap_or(NOWHERE);
                    if let Some(polled) = devices.get_mut(usize::from(by)) {
                        return polled.outbox.add(packet, turn.pool, turn.counters);
                    }
                    (sender(turn.config, *id, exit, *workers), Task::Send(exit))
                }
                Verdict::HandOver(home) => (home, Task::Decide),
                _ => unreachable!("depart keeps these"),
            };
            let Some(index) = hand_offs.iter().position(|hand_off| hand_off.peer == to) else {
                return settle(turn.counters, turn.pool, packet, DropReason::PortDown);
            };
            handed[index] = true;
            if let Err(packet) = hand_offs[index].hand(packet, task, turn.pool) {
                settle(turn.counters, turn.pool, packet, DropReason::HandOffFull);
            }
        });
    }

    fn read_mail(&mut self, now: Instant) {
        for _ in 0..MAIL {
            // A letter answers every mail, so mail is read only if there is room for its letter.
            if self.letters.is_full() {
                return;
            }
            let Ok(mail) = self.mail.pop() else { return };
            let letter = self.obey(mail, now);
            if let Err(rtrb::PushError::Full(_)) = self.letters.push(letter) {
                unreachable!("there was room, and we are the only producer");
            }
        }
    }

    fn obey(&mut self, mail: Mail, now: Instant) -> Letter {
        match mail {
            Mail::Config(config) => {
                for slot in &config.fresh_ports {
                    if let Some(ledger) = self.counters.ports.get(usize::from(*slot)) {
                        ledger.clear();
                    }
                }
                for slot in &config.fresh_networks {
                    if let Some(ledger) = self.counters.vnets.get(usize::from(*slot)) {
                        ledger.clear();
                    }
                }
                self.state.adopt(&config);
                self.gauges.configs.fetch_add(1, Relaxed);
                Letter::Took(core::mem::replace(&mut self.config, config))
            }
            Mail::Attach(polled) => {
                self.devices.push(*polled);
                self.place();
                Letter::Attached
            }
            Mail::Detach { slot, mut into } => {
                while let Some(at) = self.devices.iter().position(|polled| polled.slot == slot) {
                    let mut polled = self.devices.swap_remove(at);
                    polled.outbox.clear(&mut self.pool, &self.counters);
                    into.push(polled);
                }
                self.place();
                Letter::Detached(into)
            }
            Mail::Reclaim(borrower) => Letter::Reclaimed(self.pool.reclaim_all(borrower)),
            Mail::Events(mut into) => {
                self.state.tell(&mut into);
                Letter::Events(into)
            }
            Mail::Neighbours { from, mut into } => {
                let neighbours = &self.state.neighbours;
                let room = into.capacity();
                into.extend(neighbours.entries(now, from, SLICE).take(room));
                let next = (from + SLICE < neighbours.buckets()).then_some(from + SLICE);
                Letter::Neighbours { noted: into, next }
            }
            Mail::Lowered { tunnels, mut into } => {
                let state = &self.state;
                let lowered = |slot: &u16| state.lowered(*slot, now).unwrap_or(0);
                into.extend(tunnels.iter().map(lowered).take(into.capacity()));
                Letter::Lowered {
                    tunnels,
                    noted: into,
                }
            }
            Mail::Stations { from, mut into } => {
                let fdb = &self.state.fdb;
                let room = into.capacity();
                into.extend(fdb.entries(now, from, SLICE).take(room));
                let next = (from + SLICE < fdb.buckets()).then_some(from + SLICE);
                Letter::Stations { noted: into, next }
            }
        }
    }

    /// Notes which device sends for which port.
    fn place(&mut self) {
        self.devices_changed = true;
        self.sends_by.fill(NOWHERE);
        for (index, polled) in self.devices.iter().enumerate().rev() {
            if let Some(by) = self.sends_by.get_mut(usize::from(polled.slot)) {
                *by = u16::try_from(index).unwrap_or(NOWHERE);
            }
        }
        let quiet = self.quiet_share();
        let busy = self.busy_share();
        for polled in &mut self.devices {
            polled.device.share(if polled.busy { busy } else { quiet });
        }
    }

    /// Frames that may lie in front of each device that is not busy: a quarter of all, together.
    /// What lies in a fill ring cannot be called back, so a device starts with little.
    fn quiet_share(&self) -> usize {
        (self.pool.made() / 4 / self.devices.len().max(1)).clamp(LEAST, QUIET)
    }

    /// Chunks that the burst came in by.
    fn chunks_of_burst(&self) -> usize {
        if self.pool.jumbo_made() == 0 {
            return self.burst.len();
        }
        let chunks = |frame: &Frame| frame.len().div_ceil(MAX_FRAME);
        self.burst.iter().map(chunks).sum()
    }

    /// Frames that may lie in front of a busy device.
    fn busy_share(&self) -> usize {
        (self.pool.made() / 16).min(1024)
    }

    /// A device that brings many frames at once gets more, as long as half of all is enough for
    /// those that have. The last quarter is for what is under way.
    fn grow(&mut self, index: usize) {
        let busy = self.devices.iter().filter(|polled| polled.busy).count();
        let share = self.busy_share();
        if !self.devices[index].busy && (busy + 1) * share <= self.pool.made() / 2 {
            self.devices[index].busy = true;
            self.devices[index].device.share(share);
        }
    }

    /// Says what was done, to whoever reads the gauges.
    fn note(&self, taken: usize, moved: usize) {
        // One writer each: a load and a store lose nothing.
        let add = |gauge: &core::sync::atomic::AtomicU64, count: u64| {
            gauge.store(gauge.load(Relaxed) + count, Relaxed);
        };
        let gauges = &self.gauges;
        add(&gauges.turns, 1);
        add(&gauges.busy_turns, u64::from(moved > 0));
        add(&gauges.packets, taken as u64);
        gauges.frames_free.store(self.pool.free(), Relaxed);
        let posted: usize = self.hand_offs.iter().map(HandOff::posted).sum();
        gauges.frames_lent.store(self.pool.lent() + posted, Relaxed);
        let waiting: usize = self.devices.iter().map(|polled| polled.outbox.len()).sum();
        gauges.frames_waiting.store(waiting, Relaxed);
        gauges.devices.store(self.devices.len(), Relaxed);
        gauges.events.store(self.state.untold(), Relaxed);
        gauges.stations.store(self.state.fdb.len(), Relaxed);
    }

    /// Fragments that wait for the others of their packet: they came in by the underlay, and no
    /// ledger says yet what became of them.
    pub fn fragments_held(&self) -> u32 {
        self.state.fragments_held()
    }

    /// Whether nothing waits for this worker but what its devices may have.
    pub fn is_quiet(&self) -> bool {
        let waits = |polled: &Polled| polled.outbox.len() > 0;
        self.mail.is_empty()
            && !self.hand_offs.iter().any(HandOff::is_waiting)
            && !self.devices.iter().any(waits)
    }

    /// The workers that were handed something since this was last asked.
    pub fn handed_to(&mut self) -> impl Iterator<Item = WorkerId> + '_ {
        let handed = self.handed.iter_mut().map(core::mem::take);
        handed
            .zip(&self.hand_offs)
            .filter(|(handed, _)| *handed)
            .map(|(_, to)| to.peer)
    }

    /// The descriptors to sleep on, if they are not the same as when this was last asked.
    pub fn new_descriptors(&mut self) -> Option<impl Iterator<Item = i32> + '_> {
        core::mem::take(&mut self.devices_changed).then(|| {
            self.devices
                .iter()
                .filter_map(|polled| polled.device.descriptor())
        })
    }

    /// Its number.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// What it says of itself.
    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.gauges
    }

    /// Frames that are nowhere: made, but neither in the pool, nor lent, nor waiting. 0 between
    /// two turns, or a buffer was lost.
    pub fn missing_frames(&self) -> isize {
        let waiting: usize = self.devices.iter().map(|polled| polled.outbox.len()).sum();
        let posted: usize = self.hand_offs.iter().map(HandOff::posted).sum();
        let jumbo = self.hand_offs.iter().map(HandOff::jumbo_posted);
        let jumbo = self.pool.jumbo_free() + jumbo.sum::<usize>();
        let found = self.pool.free() + self.pool.lent() + waiting + posted + jumbo;
        (self.pool.made() + self.pool.jumbo_made()).cast_signed() - found.cast_signed()
    }
}

/// Frames that wait go home, so that the pool can give its memory back.
impl Drop for Worker {
    fn drop(&mut self) {
        for polled in &mut self.devices {
            polled.outbox.clear(&mut self.pool, &self.counters);
        }
    }
}

/// Ends workers that have taken their last turn: every frame that lies between two of them goes
/// home first.
pub fn retire(mut workers: Vec<Worker>) {
    let between = workers.iter_mut().flat_map(|worker| &mut worker.hand_offs);
    let frames: Vec<_> = between.flat_map(HandOff::drain).collect();
    for frame in frames {
        match workers.iter_mut().find(|worker| worker.pool.owns(&frame)) {
            Some(owner) => owner.pool.give(frame),
            None => frame.abandon(),
        }
    }
}

/// The worker that sends for us by the port in slot `exit`, none of whose queues we poll.
fn sender(config: &Config, us: WorkerId, exit: u16, workers: u16) -> WorkerId {
    match config.port(exit) {
        Some(port) if port.role == Role::Underlay => {
            placement::underlay_sender(us, port.queues, workers)
        }
        _ => us, // a guest's port is polled by the home of its network, which is who decides
    }
}
