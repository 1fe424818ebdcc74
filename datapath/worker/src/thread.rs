//! The thread a worker runs on.
//!
//! It is pinned to its core and calls [`Worker::turn`] without pause as long as packets move.
//! After a quiet time it sleeps on the descriptors of its devices, so that an idle host burns no
//! core; a packet, a mail, or another worker's hand-off wakes it.

use crate::mail::Gauges;
use crate::turn::Worker;
use core::sync::atomic::Ordering::{self, Relaxed};
use core::sync::atomic::{AtomicBool, fence};
use core::time::Duration;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tables::Instant;

/// The longest sleep: so late is the latest that a lost wake-up is noticed by a worker that sleeps.
const NAP: Duration = Duration::from_millis(20);

/// Turns without a packet between two looks at the clock of idleness.
const SPIN: u32 = 64;

/// How a worker's thread behaves.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The core it is pinned to; none leaves that to the kernel.
    pub core: Option<usize>,
    /// How long it goes on looking after the last packet before it sleeps; none never sleeps.
    pub idle_after: Option<Duration>,
}

/// What wakes a worker that sleeps.
#[derive(Clone)]
pub struct Bell {
    waker: Arc<Waker>,
    gauges: Arc<Gauges>,
}

impl Bell {
    /// Wakes the worker, if it sleeps.
    pub fn ring(&self) {
        if self.gauges.must_wake() {
            // The only failure is a full event counter, and then it is awake.
            let _ = self.waker.wake();
        }
    }
}

/// A worker's descriptors, and what wakes it.
pub struct Bed {
    poll: Poll,
    registered: Vec<i32>,
    bell: Bell,
}

/// The token of the bell; devices have the others.
const BELL: Token = Token(usize::MAX);

impl Bed {
    /// A bed for the worker that says of itself what `gauges` have.
    ///
    /// # Errors
    ///
    /// The kernel's, if there are no descriptors left.
    pub fn new(gauges: Arc<Gauges>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), BELL)?);
        Ok(Self {
            poll,
            registered: Vec::new(),
            bell: Bell { waker, gauges },
        })
    }

    /// What wakes the worker.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Sleeps on `descriptors` instead of those before.
    fn lie_on(&mut self, descriptors: impl Iterator<Item = i32>) {
        let registry = self.poll.registry();
        for descriptor in self.registered.drain(..) {
            // One that was closed has left by itself.
            let _ = registry.deregister(&mut SourceFd(&descriptor));
        }
        for (number, descriptor) in descriptors.enumerate() {
            let mut source = SourceFd(&descriptor);
            // A device that cannot be slept on is looked at after every nap all the same.
            if registry
                .register(&mut source, Token(number), Interest::READABLE)
                .is_ok()
            {
                self.registered.push(descriptor);
            }
        }
    }
}

/// Starts the thread of `worker`. `bells` are those of all workers, in their order. It ends soon
/// after `stop` is set and its bell is rung, and gives the worker back.
///
/// # Errors
///
/// The kernel's, if there is no thread to be had; or if the core cannot be had.
pub fn start(
    worker: Worker,
    bed: Bed,
    bells: Vec<Bell>,
    pace: Pace,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<Worker>> {
    let (pinned, is_pinned) = crossbeam::channel::bounded(1);
    let name = format!("worker-{}", worker.id().0);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let got = pace
            .core
            .is_none_or(|id| core_affinity::set_for_current(core_affinity::CoreId { id }));
        // Nobody listens any more only if the starter has given up.
        let _ = pinned.send(got);
        if got {
            run(worker, bed, &bells, pace.idle_after, &stop)
        } else {
            worker
        }
    })?;
    if is_pinned.recv() == Ok(true) {
        return Ok(thread);
    }
    let core = pace.core.unwrap_or_default();
    Err(io::Error::other(format!(
        "this process may not run on core {core}"
    )))
}

fn run(
    mut worker: Worker,
    mut bed: Bed,
    bells: &[Bell],
    idle_after: Option<Duration>,
    stop: &AtomicBool,
) -> Worker {
    let mut events = Events::with_capacity(64);
    let clock = Clock::start();
    let mut last_moved = clock.now();
    let mut quiet_turns = 0;
    while !stop.load(Relaxed) {
        let now = clock.now();
        let moved = worker.turn(now);
        ring(&mut worker, bells);
        if moved > 0 {
            last_moved = now;
            quiet_turns = 0;
            continue;
        }
        core::hint::spin_loop();
        quiet_turns = SPIN.min(quiet_turns + 1);
        let Some(idle_after) = idle_after else {
            continue;
        };
        if quiet_turns >= SPIN && now.since(last_moved) >= idle_after {
            if sleep(&mut worker, &mut bed, bells, &mut events, &clock) > 0 {
                last_moved = clock.now();
            }
            quiet_turns = SPIN;
        }
    }
    worker
}

/// Sleeps until something may have come, unless something has just come; says how many packets
/// moved while it made sure.
fn sleep(
    worker: &mut Worker,
    bed: &mut Bed,
    bells: &[Bell],
    events: &mut Events,
    clock: &Clock,
) -> usize {
    if let Some(descriptors) = worker.new_descriptors() {
        bed.lie_on(descriptors);
    }
    let gauges = worker.gauges().clone();
    gauges.sleeping.store(true, Relaxed);
    // Pairs with the fence in `Gauges::must_wake`.
    fence(Ordering::SeqCst);
    let moved = worker.turn(clock.now());
    ring(worker, bells);
    if moved == 0 && worker.is_quiet() {
        gauges
            .sleeps
            .store(gauges.sleeps.load(Relaxed) + 1, Relaxed);
        // Interrupted or not: the next turn looks at everything.
        let _ = bed.poll.poll(events, Some(NAP));
    }
    gauges.sleeping.store(false, Relaxed);
    moved
}

/// Wakes the workers that were handed something.
fn ring(worker: &mut Worker, bells: &[Bell]) {
    for to in worker.handed_to() {
        if let Some(bell) = bells.get(usize::from(to.0)) {
            bell.ring();
        }
    }
}

/// The time since the datapath started, as the tables count it.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time now.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant::START + self.0.elapsed()
    }
}
