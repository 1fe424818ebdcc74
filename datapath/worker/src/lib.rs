//! Who runs the switch, and when.
//!
//! A [`Worker`] owns its devices, its frames and its state, and does everything in
//! [`Worker::turn`]: one bounded step. A thread that is pinned to a core calls it again and again
//! ([`thread`]); a simulation calls it when it likes. The [`Supervisor`] is off the path: it
//! checks programs, compiles them, opens devices, and tells the workers by mail.
//!
//! Start at [`Worker::turn`], then [`placement`] (who is home to what), then [`supervisor`].
//!
//! What holds, whatever arrives:
//!
//! - after start a worker neither locks, nor allocates, nor formats on the path;
//! - `frames free + lent + in queues = frames made`, after every turn;
//! - `received + copied = sent + answered + merged + Σ drops`, and what waits in a queue or for the
//!   other fragments of its packet, in every ledger;
//! - a request was applied on every worker before it is answered.

mod attach;
mod events;
mod handoff;
pub mod kernel;
mod mail;
mod outbox;
pub mod placement;
mod polled;
pub mod server;
mod show;
pub mod supervisor;
pub mod thread;
pub mod turn;

pub use attach::{Attachment, MAX_QUEUES, Opener, PortRequest, QueueDevice, Takes};
pub use handoff::{HandOff, hand_offs};
pub use mail::{Gauges, Letter, Mail, MailEnds, mail_ends};
pub use polled::Polled;
pub use supervisor::Supervisor;
pub use turn::{Parts, Worker, retire};
