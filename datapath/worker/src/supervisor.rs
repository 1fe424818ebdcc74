//! Off the path: takes programs, keeps ports attached to their interfaces, and tells the workers.
//!
//! What is in force is made whole and anew at every change, and swapped at each worker between
//! two turns. A port comes the careful way: its first frame can come when every worker knows it; and
//! its slot is nobody else's before its devices are gone.

use crate::attach::{Attachment, MAX_QUEUES, Opener, PortRequest, Takes};
use crate::events::Events;
use crate::mail::{Gauges, Letter, Mail};
use crate::polled::Polled;
use core::sync::atomic::Ordering;
use core::time::Duration;
use frame::Borrower;
use program::link::{Answer, Hello, NextHop, Outcome, Request};
use program::{MAX_MTU, Programs, VERSION};
use rtrb::{Consumer, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use switch::{Attached, Compiler, Config, Counters, Limits, PortKey, WorkerId};
use tables::Instant;

/// How often a port that waits for its interface is tried again, and an attached one looked at.
pub const LOOK: Duration = Duration::from_millis(200);

/// How long the frames of a closed device rest before they are used again: a driver that was
/// writing into them has stopped by then.
const REST: Duration = Duration::from_millis(250);

/// How often a worker is asked whether its letter is there, at most.
const PATIENCE: u32 = 100_000;

/// Why a port waits that was not tried yet.
pub(crate) const NOT_TRIED: &str = "not tried yet";

/// Frames there must be for each device, all in all: a quarter of them may lie in front of it.
const FRAMES_A_DEVICE: usize = 256;

/// The supervisor's side of one worker.
pub struct Post {
    /// Its ends of the rings.
    pub mail: (Producer<Mail>, Consumer<Letter>),
    /// What the worker says of itself.
    pub gauges: Arc<Gauges>,
    /// What the worker counts.
    pub counters: Arc<Counters>,
    /// The memory of its frames: base address and bytes.
    pub memory: (usize, usize),
    /// The core it is pinned to, if it is.
    pub core: Option<usize>,
}

/// A port that is attached to its interface.
pub(crate) struct Held {
    pub(crate) attachment: Box<dyn Attachment>,
    pub(crate) slot: u16,
    /// Queue, worker, mode.
    pub(crate) queues: Vec<(u32, WorkerId, String)>,
    block: u16,
}

/// A worker hangs, or is gone. There is no going on from here: what it was told and has not
/// answered can no more be known. The datapath is to end, and the kernel has its interfaces back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {} does not answer", .0.0)]
pub struct NoAnswer(pub WorkerId);

/// Looks in a row at which a worker has not taken a turn, until it is taken to hang.
const STUCK: u32 = 25;

/// Whether a worker goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    turns: u64,
    missed: u32,
}

/// What passes the time while a worker is to answer: a short sleep, or, in a simulation, the
/// worker's own turn.
pub type Meanwhile<'a> = &'a mut dyn FnMut();

/// Keeps what is in force, and the workers told.
pub struct Supervisor {
    pub(crate) instance: u64,
    pub(crate) compiler: Compiler,
    pub(crate) programs: Programs,
    pub(crate) next_hops: BTreeMap<IpAddr, NextHop>,
    pub(crate) config: Arc<Config>,
    pub(crate) posts: Vec<Post>,
    pub(crate) held: BTreeMap<PortKey, Held>,
    /// Why a port is not attached.
    pub(crate) waiting: BTreeMap<PortKey, String>,
    pub(crate) events: Events,
    opener: Box<dyn Opener>,
    blocks: BTreeSet<u16>,
    /// Closed devices whose frames rest: since when, once that was noted, and whose.
    resting: Vec<(Option<Instant>, WorkerId, Borrower, u16)>,
    looked: Instant,
    pulses: Vec<Pulse>,
    failed: Option<NoAnswer>,
}

impl Supervisor {
    /// A supervisor of the workers behind `posts`, with nothing in force. `instance` differs from
    /// that of every datapath before.
    pub fn new(limits: Limits, posts: Vec<Post>, opener: Box<dyn Opener>, instance: u64) -> Self {
        let workers = u16::try_from(posts.len()).unwrap_or(u16::MAX);
        let pulses = vec![Pulse::default(); posts.len()];
        let room = program::Limits {
            networks: limits.networks,
            tunnels: limits.tunnels,
            ports: limits.ports.min(MAX_PORTS) - 1, // one is the underlay's
            mtu: u16::try_from(limits.mtu()).unwrap_or(u16::MAX).min(MAX_MTU),
        };
        Self {
            instance,
            compiler: Compiler::new(limits, workers),
            programs: Programs::new(room),
            next_hops: BTreeMap::new(),
            config: Arc::default(),
            posts,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            events: Events::default(),
            opener,
            blocks: (0..u16::try_from(MAX_PORTS).unwrap_or(u16::MAX)).collect(),
            resting: Vec::new(),
            looked: Instant::START,
            pulses,
            failed: None,
        }
    }

    /// Does what is asked, on every worker, and then answers.
    pub fn answer(&mut self, request: Request, meanwhile: Meanwhile<'_>) -> Answer {
        let answer = match request {
            Request::Hello => Ok(Answer::Hello(Hello {
                version: VERSION,
                instance: self.instance,
                applied: self.programs.applied(),
            })),
            Request::Apply { steps } => self.apply(&steps, meanwhile),
            Request::NextHops { next_hops } => self.follow(next_hops, meanwhile),
            Request::Show(subject) => self.show(&subject, meanwhile),
        };
        answer.unwrap_or_else(|no_answer| {
            self.failed = Some(no_answer);
            Answer::Failed {
                why: no_answer.to_string(),
            }
        })
    }

    /// The worker that does not answer any more, if there is one.
    pub fn failed(&self) -> Option<NoAnswer> {
        self.failed
    }

    /// What time brings: ports whose interface came or went, frames that have rested.
    ///
    /// # Errors
    ///
    /// A worker did not answer.
    pub fn tick(&mut self, now: Instant, meanwhile: Meanwhile<'_>) -> Result<(), NoAnswer> {
        self.wake_rested(now, meanwhile)?;
        if now.since(self.looked) < LOOK {
            return Ok(());
        }
        self.looked = now;
        self.feel_pulses()?;
        self.fetch_events(meanwhile)?;
        let mut changed = false;
        let mut gone = Vec::new();
        for (key, held) in &mut self.held {
            let before = held.attachment.facts();
            match held.attachment.look() {
                Ok(facts) => changed |= facts != before,
                Err(why) => gone.push((key.clone(), why)),
            }
        }
        for (key, why) in gone {
            self.let_go(&key, why, meanwhile)?;
        }
        if changed {
            self.tell(meanwhile)?;
        }
        if self.waiting.is_empty() {
            Ok(())
        } else {
            self.attach_all(meanwhile)
        }
    }

    /// Looks whether every worker takes turns: one that sleeps does, after every nap.
    fn feel_pulses(&mut self) -> Result<(), NoAnswer> {
        for (number, (post, pulse)) in self.posts.iter().zip(&mut self.pulses).enumerate() {
            let turns = post.gauges.turns.load(Ordering::Relaxed);
            let missed = if turns == pulse.turns {
                pulse.missed + 1
            } else {
                0
            };
            *pulse = Pulse { turns, missed };
            if missed > STUCK {
                return Err(NoAnswer(WorkerId(
                    u16::try_from(number).unwrap_or(u16::MAX),
                )));
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        steps: &[program::Step],
        meanwhile: Meanwhile<'_>,
    ) -> Result<Answer, NoAnswer> {
        let outcomes = steps.iter().map(|step| match self.programs.apply(step) {
            Ok(()) => Outcome::Applied {
                id: step.id(),
                epoch: step.epoch(),
            },
            Err(error) => Outcome::Refused {
                id: step.id(),
                field: error.field().to_owned(),
                why: error.to_string(),
            },
        });
        let outcomes = outcomes.collect();
        self.converge(meanwhile)?;
        Ok(Answer::Outcomes(outcomes))
    }

    fn follow(
        &mut self,
        next_hops: Vec<NextHop>,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Answer, NoAnswer> {
        let next_hops = next_hops.into_iter().map(|hop| (hop.remote, hop)).collect();
        if self.next_hops != next_hops {
            self.next_hops = next_hops;
            self.tell(meanwhile)?;
        }
        Ok(Answer::Done)
    }

    /// Makes the datapath what the programs say it is.
    fn converge(&mut self, meanwhile: Meanwhile<'_>) -> Result<(), NoAnswer> {
        let wanted = self.wanted();
        let gone: Vec<_> = self
            .held
            .keys()
            .filter(|key| !wanted.contains_key(key))
            .cloned()
            .collect();
        self.waiting.retain(|key, _| wanted.contains_key(key));
        if gone.is_empty() {
            self.tell(meanwhile)?;
        }
        for key in gone {
            self.let_go(&key, String::new(), meanwhile)?;
        }
        for key in wanted
            .into_keys()
            .filter(|key| !self.held.contains_key(key))
        {
            // One that waits already has its reason, and is tried with less patience.
            self.waiting
                .entry(key)
                .or_insert_with(|| NOT_TRIED.to_owned());
        }
        self.attach_all(meanwhile)
    }

    /// The ports there should be, and which of their interface's frames are ours.
    fn wanted(&self) -> BTreeMap<PortKey, Takes> {
        let underlay = self.programs.underlay().into_iter();
        let underlay = underlay.map(|(_, p)| {
            let takes = Takes::Tunnels {
                endpoint: p.endpoint,
                vlan: p.vlan,
            };
            (PortKey::from(p), takes)
        });
        let guests = self.programs.ports();
        let guests =
            guests.map(|(_, p)| (PortKey::from(p), Takes::Guest(self.compiler.home(p.vnet))));
        underlay.chain(guests).collect()
    }

    /// Tries to attach every port that waits.
    fn attach_all(&mut self, meanwhile: Meanwhile<'_>) -> Result<(), NoAnswer> {
        let mut attached = Vec::new();
        let mut wanted = self.wanted();
        wanted.retain(|key, _| !self.held.contains_key(key));
        for (key, takes) in wanted {
            match self.attach(&key, takes, meanwhile)? {
                Ok(()) => {
                    self.waiting.remove(&key);
                    attached.push(key);
                }
                Err(why) => drop(self.waiting.insert(key, why)),
            }
        }
        if attached.is_empty() {
            return Ok(());
        }
        self.tell(meanwhile)?;
        for key in attached {
            let started = self.held.get_mut(&key).map(|held| held.attachment.start());
            if let Some(Err(why)) = started {
                self.let_go(&key, why, meanwhile)?;
            }
        }
        Ok(())
    }

    /// Takes the port's interface and gives its devices to their workers; the inner `Err` says why
    /// it has to wait.
    fn attach(
        &mut self,
        key: &PortKey,
        takes: Takes,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Result<(), String>, NoAnswer> {
        let Some(slot) = self.compiler.port_slot(key) else {
            return Ok(Err("no room for another port".to_owned()));
        };
        let home = takes.worker(0, u16::try_from(self.posts.len()).unwrap_or(u16::MAX));
        if let Some(post) = self.posts.get(usize::from(home.0)) {
            let devices = post.gauges.devices.load(Ordering::Relaxed);
            if (devices + 1) * FRAMES_A_DEVICE > post.memory.1 / frame::CHUNK {
                return Ok(Err(format!(
                    "worker {} has no frame buffers left for another port: start the datapath \
                     with more --frames",
                    home.0
                )));
            }
        }
        let Some(block) = self.blocks.pop_first() else {
            return Ok(Err("the frames of closed devices still rest".to_owned()));
        };
        let request = PortRequest {
            interface: key.interface.clone(),
            takes,
            memory: self.posts.iter().map(|post| post.memory).collect(),
            first_borrower: block * MAX_QUEUES,
            patient: self.waiting.get(key).is_none_or(|why| why == NOT_TRIED),
        };
        let mut attachment = match self.opener.open(&request) {
            Ok(attachment) => attachment,
            Err(why) => {
                self.blocks.insert(block);
                return Ok(Err(why));
            }
        };
        let mut queues = Vec::new();
        for queue in attachment.take_devices() {
            let polled = Box::new(Polled::new(slot, queue.borrower, queue.device));
            self.ask(queue.worker, Mail::Attach(polled), meanwhile)?;
            queues.push((queue.queue, queue.worker, queue.mode));
        }
        self.held.insert(
            key.clone(),
            Held {
                attachment,
                slot,
                queues,
                block,
            },
        );
        Ok(Ok(()))
    }

    /// Detaches a port: its interface is the kernel's again, then its devices go, then no worker
    /// knows it any more.
    fn let_go(
        &mut self,
        key: &PortKey,
        why: String,
        meanwhile: Meanwhile<'_>,
    ) -> Result<(), NoAnswer> {
        let Some(Held {
            attachment,
            slot,
            queues,
            block,
        }) = self.held.remove(key)
        else {
            return Ok(());
        };
        // The program that steers goes first: a driver may not like its sockets to go before.
        drop(attachment);
        let workers: BTreeSet<_> = queues.iter().map(|(_, worker, _)| *worker).collect();
        for worker in workers {
            let into = Vec::with_capacity(queues.len());
            let letter = self.ask(worker, Mail::Detach { slot, into }, meanwhile)?;
            let Letter::Detached(devices) = letter else {
                continue;
            };
            for polled in devices {
                let (borrower, device) = polled.into_device();
                drop(device); // closes its socket
                // Many ports may go in one call: the rest begins when the next one is made.
                self.resting.push((None, worker, borrower, block));
            }
        }
        if self.wanted().contains_key(key) {
            self.waiting.insert(key.clone(), why);
        }
        self.tell(meanwhile)
    }

    fn wake_rested(&mut self, now: Instant, meanwhile: Meanwhile<'_>) -> Result<(), NoAnswer> {
        for (since, ..) in &mut self.resting {
            since.get_or_insert(now);
        }
        let rested = |since: &Option<Instant>| since.is_some_and(|since| now.since(since) >= REST);
        while let Some(at) = self.resting.iter().position(|(since, ..)| rested(since)) {
            let (_, worker, borrower, block) = self.resting.swap_remove(at);
            self.ask(worker, Mail::Reclaim(borrower), meanwhile)?;
            if !self.resting.iter().any(|(.., other)| *other == block) {
                self.blocks.insert(block);
            }
        }
        Ok(())
    }

    /// Compiles what is in force and swaps it at every worker.
    fn tell(&mut self, meanwhile: Meanwhile<'_>) -> Result<(), NoAnswer> {
        let facts = self
            .held
            .iter()
            .map(|(key, held)| (key.clone(), held.attachment.facts()));
        let facts: Attached = facts.collect();
        let config = Arc::new(
            self.compiler
                .compile(&self.programs, &self.next_hops, &facts),
        );
        self.config = config.clone();
        for worker in 0..self.posts.len() {
            let worker = WorkerId(u16::try_from(worker).unwrap_or(u16::MAX));
            // The letter brings the old config, which is freed here and not on the path.
            drop(self.ask(worker, Mail::Config(config.clone()), meanwhile)?);
        }
        Ok(())
    }

    /// Sends a mail and waits for its letter.
    pub(crate) fn ask(
        &mut self,
        worker: WorkerId,
        mail: Mail,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Letter, NoAnswer> {
        let post = self
            .posts
            .get_mut(usize::from(worker.0))
            .ok_or(NoAnswer(worker))?;
        post.mail.0.push(mail).map_err(|_| NoAnswer(worker))?;
        for _ in 0..PATIENCE {
            meanwhile();
            if let Ok(letter) = post.mail.1.pop() {
                return Ok(letter);
            }
        }
        Err(NoAnswer(worker))
    }

    /// What it has room for.
    pub fn limits(&self) -> &Limits {
        self.compiler.limits()
    }
}

/// More ports than this have no numbers to borrow frames under.
const MAX_PORTS: usize = Borrower::MAX as usize / MAX_QUEUES as usize;
