//! One host: the whole datapath, with devices of memory.

use frame::{Borrower, FramePool, Region};
use io::memory::{MemoryEnd, pair};
use program::link::{Answer, NextHop, Outcome, Request};
use program::report::{Counters, Report, Subject};
use program::{Epoch, Id, Program, Step};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use switch::{Limits, PortFacts, WorkerId};
use tables::Instant;
use worker::supervisor::{NoAnswer, Post};
use worker::{
    Attachment, Gauges, Opener, Parts, PortRequest, QueueDevice, Supervisor, Worker, hand_offs,
    mail_ends,
};

/// What a lab's host has room for: little, so that a lab is made fast and its bounds are reached.
pub(crate) const LIMITS: Limits = Limits {
    ports: 64,
    networks: 64,
    tunnels: 256,
    stations: 4096,
    neighbours: 4096,
    fragmented: 64,
    frames: 20_480,
    jumbo: 0,
};

/// Frames an interface of memory holds, each way.
const ROOM: usize = 2048;

/// The interfaces of a host: their other ends, by name; one end a queue.
pub(crate) type Interfaces = Arc<Mutex<BTreeMap<String, Interface>>>;

/// An interface of memory.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) mtu: u32,
    pub(crate) queues: u32,
    /// The other end of each queue, once somebody has taken the interface.
    pub(crate) ends: Vec<MemoryEnd>,
}

/// One host: its supervisor, its workers, and the other ends of its interfaces.
pub struct Host {
    supervisor: Supervisor,
    pub(crate) workers: Vec<Worker>,
    pub(crate) interfaces: Interfaces,
    epochs: u64,
}

impl Host {
    /// A host with so many workers and no interface.
    pub(crate) fn new(workers: u16, instance: u64) -> Self {
        let interfaces = Interfaces::default();
        let opener = MemoryOpener {
            interfaces: interfaces.clone(),
            workers,
        };
        let (mut posts, mut made) = (Vec::new(), Vec::new());
        for (id, hand_offs) in (0..workers).map(WorkerId).zip(hand_offs(workers)) {
            let pool = FramePool::new(Region::heap(LIMITS.frames));
            let ends = mail_ends();
            let counters = Arc::new(switch::Counters::new(&LIMITS));
            let gauges = Arc::new(Gauges::default());
            posts.push(Post {
                mail: ends.supervisor,
                gauges: gauges.clone(),
                counters: counters.clone(),
                memory: (0, pool.memory().1),
                core: None,
            });
            made.push(Worker::new(Parts {
                id,
                workers,
                limits: LIMITS,
                pool,
                seed: instance,
                mail: ends.worker,
                hand_offs,
                counters,
                gauges,
            }));
        }
        let supervisor = Supervisor::new(LIMITS, posts, Box::new(opener), instance);
        Self {
            supervisor,
            workers: made,
            interfaces,
            epochs: 0,
        }
    }

    /// One worker takes one turn, and the others none.
    pub fn turn(&mut self, worker: usize, now: Instant) -> usize {
        self.workers[worker].turn(now)
    }

    /// Asks the supervisor, as an agent would.
    pub fn ask(&mut self, request: Request, now: Instant) -> Answer {
        let Self {
            supervisor,
            workers,
            ..
        } = self;
        supervisor.answer(request, &mut || {
            for worker in &mut *workers {
                worker.turn(now);
            }
        })
    }

    /// Puts a program in force, with an epoch above all before.
    ///
    /// # Errors
    ///
    /// The path of the field that was wrong, and why.
    pub fn put(&mut self, program: Program, now: Instant) -> Result<(), (String, String)> {
        let epoch = self.next_epoch();
        self.step(Step::Put { epoch, program }, now)
    }

    /// Withdraws a program.
    ///
    /// # Errors
    ///
    /// The path of the field that was wrong, and why.
    pub fn withdraw(&mut self, id: Id, now: Instant) -> Result<(), (String, String)> {
        let epoch = self.next_epoch();
        self.step(Step::Withdraw { epoch, id }, now)
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        Epoch(self.epochs)
    }

    fn step(&mut self, step: Step, now: Instant) -> Result<(), (String, String)> {
        match self.ask(Request::Apply { steps: vec![step] }, now) {
            Answer::Outcomes(outcomes) => match &outcomes[..] {
                [Outcome::Applied { .. }] => Ok(()),
                [Outcome::Refused { field, why, .. }] => Err((field.clone(), why.clone())),
                other => panic!("one step has one outcome, not {other:?}"),
            },
            other => panic!("a step is answered by its outcome, not {other:?}"),
        }
    }

    /// Says how the peers are reached.
    pub(crate) fn next_hops(&mut self, next_hops: Vec<NextHop>, now: Instant) {
        let answer = self.ask(Request::NextHops { next_hops }, now);
        assert_eq!(answer, Answer::Done);
    }

    /// Shows something.
    pub fn show(&mut self, subject: Subject, now: Instant) -> Report {
        match self.ask(Request::Show(subject), now) {
            Answer::Report(report) => report,
            other => panic!("a report was asked for, not {other:?}"),
        }
    }

    /// Every counter.
    pub fn counters(&mut self, now: Instant) -> Counters {
        match self.show(Subject::Counters, now) {
            Report::Counters(counters) => counters,
            other => panic!("counters were asked for, not {other:?}"),
        }
    }

    /// What time brings to the supervisor, while no worker takes a turn.
    ///
    /// # Errors
    ///
    /// A worker has not taken one for too long.
    pub fn look(&mut self, now: Instant) -> Result<(), NoAnswer> {
        self.supervisor.tick(now, &mut || {})
    }

    /// What time brings to the supervisor.
    pub(crate) fn tick(&mut self, now: Instant) {
        let Self {
            supervisor,
            workers,
            ..
        } = self;
        let turned = supervisor.tick(now, &mut || {
            for worker in &mut *workers {
                worker.turn(now);
            }
        });
        turned.expect("a worker that takes turns answers");
    }

    /// Adds an interface, or brings it back.
    pub(crate) fn plug(&self, name: &str, mtu: u32, queues: u32) {
        let ends = Vec::new();
        self.interfaces()
            .insert(name.to_owned(), Interface { mtu, queues, ends });
    }

    /// Changes an interface's MTU, as an operator would.
    pub fn grow(&self, name: &str, mtu: u32) {
        if let Some(interface) = self.interfaces().get_mut(name) {
            interface.mtu = mtu;
        }
    }

    /// Takes an interface away.
    pub(crate) fn unplug(&self, name: &str) {
        self.interfaces().remove(name);
    }

    /// The other ends of an interface's queues.
    pub(crate) fn ends(&self, name: &str) -> Vec<MemoryEnd> {
        self.interfaces()
            .get(name)
            .map_or_else(Vec::new, |interface| interface.ends.clone())
    }

    /// Throws away what the host has sent, on every interface. Nothing is allocated or freed.
    pub fn discard(&self) {
        for interface in self.interfaces().values() {
            for end in &interface.ends {
                end.discard();
            }
        }
    }

    fn interfaces(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Interface>> {
        self.interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        worker::retire(core::mem::take(&mut self.workers));
    }
}

/// Opens interfaces of memory.
struct MemoryOpener {
    interfaces: Interfaces,
    workers: u16,
}

/// An interface of memory that is taken.
struct Taken {
    name: String,
    interfaces: Interfaces,
    devices: Vec<QueueDevice>,
    facts: PortFacts,
}

impl Opener for MemoryOpener {
    fn open(&mut self, request: &PortRequest) -> Result<Box<dyn Attachment>, String> {
        let name = request.interface.as_str().to_owned();
        let mut interfaces = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let interface = interfaces
            .get_mut(&name)
            .ok_or_else(|| format!("there is no interface `{name}`"))?;
        interface.ends.clear();
        let mut devices = Vec::new();
        for queue in 0..interface.queues {
            let (device, end) = pair(ROOM);
            interface.ends.push(end);
            let number = u16::try_from(queue).map_err(|error| error.to_string())?;
            devices.push(QueueDevice {
                queue,
                worker: request.takes.worker(queue, self.workers),
                borrower: Borrower::new(request.first_borrower + number),
                device: Box::new(device),
                mode: "memory".to_owned(),
            });
        }
        let (mtu, queues) = (interface.mtu, interface.queues);
        Ok(Box::new(Taken {
            name,
            interfaces: self.interfaces.clone(),
            devices,
            facts: PortFacts { mtu, queues },
        }))
    }
}

impl Attachment for Taken {
    fn take_devices(&mut self) -> Vec<QueueDevice> {
        core::mem::take(&mut self.devices)
    }

    fn facts(&self) -> PortFacts {
        self.facts
    }

    fn steer(&self) -> String {
        "memory".to_owned()
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn look(&mut self) -> Result<PortFacts, String> {
        let interfaces = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let interface = interfaces
            .get(&self.name)
            .filter(|interface| !interface.ends.is_empty());
        let interface = interface.ok_or_else(|| format!("there is no interface `{}`", self.name));
        self.facts.mtu = interface?.mtu;
        Ok(self.facts)
    }

    fn start(&mut self) -> Result<(), String> {
        Ok(())
    }
}
