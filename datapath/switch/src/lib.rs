//! Decides what happens to each frame.
//!
//! A worker hands this crate a batch of frames, a time, and what it was told and remembers; it
//! gets the same frames back, each with a [`Verdict`]. Nothing here moves a frame, waits, or reads
//! a clock, so a test can be the whole world around it.
//!
//! Start at [`path`]: the two ways through the switch, one line per service. A service is one file
//! in [`services`]; what services share is in [`State`], and nowhere else. What they were told is
//! a [`Config`], which [`Compiler`] makes of programs, off the path.
//!
//! What holds, whatever arrives:
//!
//! - every frame leaves with exactly one verdict, and every drop has a [`DropReason`];
//! - a frame of one vnet reaches no port of another;
//! - a frame of a peer reaches no peer;
//! - no call allocates, locks, or makes a system call;
//! - the same batch, time, config and state give the same verdicts.

mod compile;
mod config;
mod counters;
mod headers;
mod packet;
pub mod path;
pub mod services;
mod state;
mod verdict;

pub use compile::{Attached, Compiler, PortFacts, PortKey};
pub use config::{Addresses, Config, Guest, Limits, Network, Port, Role, Tunnel, Way};
pub use config::{OUTER_MAX, PLAIN_LEN};
pub use counters::{Cell, Counters, Ledger};
pub use headers::{Headers, Marks};
pub use packet::{Batch, Exit, NOWHERE, Origin, Packet};
pub use state::{Event, Happening, State};
pub use verdict::{DropReason, Verdict};

use frame::FramePool;
use tables::Instant;

/// The number of a worker, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// All that a service may read and change, for one batch.
pub struct Turn<'a> {
    /// When this turn began. Read once, by the worker.
    pub now: Instant,
    /// Who is asking.
    pub worker: WorkerId,
    /// What the worker was told.
    pub config: &'a Config,
    /// What the worker remembers.
    pub state: &'a mut State,
    /// What the worker counts.
    pub counters: &'a Counters,
    /// Where copies come from and dropped frames go.
    pub pool: &'a mut FramePool,
    /// Packets made in this turn, by flooding or fragmenting: they join the batch behind the
    /// service that made them.
    pub copies: &'a mut Batch,
    /// What the packets of the batch are, all together. Starts as nothing.
    pub seen: Marks,
}

/// One step of a path: one packet, one decision, no loop.
///
/// A service has no fields: what it keeps is in [`State`].
pub trait Service {
    /// What it is called in counters and traces.
    const NAME: &'static str;

    /// What a packet has to be for this service to have anything to do with it. A batch with no
    /// such packet does not pass here at all.
    const WANTS: Marks = Marks::ANY;

    /// Whether it makes packets of packets. Those join the batch behind what they were made of.
    const MAKES: bool = false;

    /// Asks for the memory that [`decide`](Self::decide) will read, of every packet of the batch
    /// before the first is decided on. Changes nothing.
    #[inline]
    fn ahead(_turn: &Turn<'_>, _packet: &Packet) {}

    /// Decides what happens to `packet` next.
    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict;
}

/// The only loop over packets: takes every packet that has no verdict yet through `S`.
#[inline]
pub fn run<S: Service>(turn: &mut Turn<'_>, batch: &mut Batch) {
    if S::WANTS != Marks::ANY && !turn.seen.any(S::WANTS) {
        return;
    }
    for packet in batch.iter() {
        if packet.verdict == Verdict::Next {
            S::ahead(turn, packet);
        }
    }
    for (at, packet) in batch.iter_mut().enumerate() {
        if packet.verdict == Verdict::Next {
            packet.verdict = S::decide(turn, packet);
            if S::MAKES {
                turn.copies.made_of(at);
            }
        }
    }
    if S::MAKES && !turn.copies.is_empty() {
        path::join(turn, batch);
    }
}
