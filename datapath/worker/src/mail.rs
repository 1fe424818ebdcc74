//! What the supervisor and a worker tell each other.
//!
//! One ring each way. A worker reads its mail at the start of a turn; what it has done with goes back
//! by letter, and is freed elsewhere.

use crate::polled::Polled;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use frame::Borrower;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use switch::{Config, Event};
use tables::fdb::Entry;
use tables::neighbours::Entry as Neighbour;

/// To a worker.
pub enum Mail {
    /// What is in force from now on.
    Config(Arc<Config>),
    /// Poll this device.
    Attach(Box<Polled>),
    /// Poll the devices of the port in this slot no more, and send them back.
    Detach {
        /// The slot.
        slot: u16,
        /// Where they are put; there is room for all.
        into: Vec<Polled>,
    },
    /// Whoever borrowed under this number is gone: take its frames home.
    Reclaim(Borrower),
    /// Note the stations of a slice of the table: [`SLICE`](crate::turn::SLICE) buckets.
    Stations {
        /// The first bucket.
        from: usize,
        /// Where they are noted: it does not grow.
        into: Vec<Entry>,
    },
    /// Note the addresses of a slice of their table: [`SLICE`](crate::turn::SLICE) buckets.
    Neighbours {
        /// The first bucket.
        from: usize,
        /// Where they are noted: it does not grow.
        into: Vec<Neighbour>,
    },
    /// Note to what routers have lowered the MTU of these tunnels.
    Lowered {
        /// Their slots.
        tunnels: Vec<u16>,
        /// Where it is noted, in the same order, 0 where none has: there is room for all.
        into: Vec<usize>,
    },
    /// Tell what has happened since this was last asked; what finds no room is told next time.
    Events(Vec<Event>),
}

/// From a worker. Every mail is answered by one letter, in order, after it took effect.
pub enum Letter {
    /// The config that was in force before.
    Took(Arc<Config>),
    /// The device is polled.
    Attached,
    /// The devices that are polled no more.
    Detached(Vec<Polled>),
    /// So many frames came home.
    Reclaimed(usize),
    /// The stations that were asked for, and the bucket to go on from; none when that was the last.
    Stations {
        /// What was noted.
        noted: Vec<Entry>,
        /// Where to go on.
        next: Option<usize>,
    },
    /// The addresses that were asked for, and the bucket to go on from; none when that was the last.
    Neighbours {
        /// What was noted.
        noted: Vec<Neighbour>,
        /// Where to go on.
        next: Option<usize>,
    },
    /// What routers have said of tunnels.
    Lowered {
        /// The tunnels that were asked for.
        tunnels: Vec<u16>,
        /// For each the largest outer packet, in bytes; 0 if no router has said.
        noted: Vec<usize>,
    },
    /// What has happened.
    Events(Vec<Event>),
}

/// What a worker says of itself, to whoever reads it.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Turns since the start.
    pub turns: AtomicU64,
    /// Turns that moved a packet.
    pub busy_turns: AtomicU64,
    /// Times it went to sleep.
    pub sleeps: AtomicU64,
    /// Packets it took in.
    pub packets: AtomicU64,
    /// Configs it took.
    pub configs: AtomicU64,
    /// Frames in its pool.
    pub frames_free: AtomicUsize,
    /// Frames it lent to the kernel or posted at another worker.
    pub frames_lent: AtomicUsize,
    /// Frames that wait to leave.
    pub frames_waiting: AtomicUsize,
    /// Devices it polls.
    pub devices: AtomicUsize,
    /// Stations it remembers.
    pub stations: AtomicUsize,
    /// Things that happened and were not told yet.
    pub events: AtomicUsize,
    /// Whether it sleeps, or is about to.
    pub sleeping: AtomicBool,
}

impl Gauges {
    /// Whether somebody who has just put something into one of the worker's rings has to wake it.
    pub fn must_wake(&self) -> bool {
        // Pairs with the fence of a worker that is about to sleep: either it sees what was put
        // into the ring, or we see that it sleeps.
        fence(Ordering::SeqCst);
        self.sleeping.load(Ordering::Relaxed)
    }
}

/// The supervisor's ends and the worker's ends of one worker's rings.
pub struct MailEnds {
    /// For the supervisor.
    pub supervisor: (Producer<Mail>, Consumer<Letter>),
    /// For the worker.
    pub worker: (Consumer<Mail>, Producer<Letter>),
}

/// The rings of one worker.
pub fn mail_ends() -> MailEnds {
    let (mail_in, mail_out) = RingBuffer::new(64);
    let (letter_in, letter_out) = RingBuffer::new(64);
    MailEnds {
        supervisor: (mail_in, letter_out),
        worker: (mail_out, letter_in),
    }
}
