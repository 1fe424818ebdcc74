//! How frames enter and leave.
//!
//! A [`Device`] moves whole bursts between a worker and the world, and does not look inside them.
//! To the kernel's interfaces: [`AfXdp`], one socket a queue; and [`Steer`], which says what
//! of an interface's frames comes to those sockets. To a test: [`memory`], with [`Faulty`] and
//! [`Recorder`] around any device.
//!
//! An interface is taken in this order: [`Facts`] of it, [`Steer::attach`] (takes nothing yet),
//! [`AfXdp::open`] for every queue, [`Steer::socket`] for every queue, [`Steer::take`]. It is
//! left by dropping the steer, then the sockets; then their frames are taken back
//! ([`FramePool::reclaim_all`]).

mod af_xdp;
mod attached;
mod faulty;
pub mod generator;
mod interface;
mod limit;
pub mod memory;
mod preference;
mod recorder;
mod steer;

pub use af_xdp::{
    AfXdp, BusyPoll, Counts, Down, Losses, Memory, MemoryError, Meter, Note, OpenError,
    OpenRequest, Pages, Rings, SocketMode, Statistics, Step,
};
pub use attached::Attached;
pub use faulty::{Faults, Faulty, Lost};
pub use interface::{Buffers, Facts, FactsError, MtuTooLarge};
pub use limit::raise_descriptor_limit;
pub use preference::{NoPreference, Preference};
pub use recorder::Recorder;
pub use steer::{Attachment, Steer, SteerError, Steered, Take};

use frame::{Burst, FramePool};

/// Where frames come from and go to.
///
/// A device is one worker's. It owns no frame memory: it lends frames of the worker's pool and
/// restores them.
pub trait Device: Send {
    /// Moves what has come in to the end of `into`, as far as there is room; says how many.
    fn receive(&mut self, pool: &mut FramePool, into: &mut Burst) -> usize;

    /// Sends `frames` from the front; what it cannot carry now stays in `frames`.
    fn send(&mut self, pool: &mut FramePool, frames: &mut Burst);

    /// Takes home what was sent, and refills what can be received into. Called every turn.
    fn reclaim(&mut self, pool: &mut FramePool);

    /// Asks the other side to look again, whether or not it seems to need that: what heals a lost
    /// wake-up.
    fn wake(&mut self) {}

    /// Says how many frames may wait in it to be received into, at most. It may take fewer.
    fn share(&mut self, _frames: usize) {}

    /// The descriptor that becomes readable when frames come in, if there is one to sleep on.
    fn descriptor(&self) -> Option<i32> {
        None
    }
}
