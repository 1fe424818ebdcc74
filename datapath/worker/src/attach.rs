//! How a port gets its devices.

use crate::placement;
use frame::Borrower;
use io::Device;
use program::{Endpoint, Interface};
use switch::{PortFacts, WorkerId};

/// The most queues of one port.
pub const MAX_QUEUES: u16 = 32;

/// What is asked for a port.
#[derive(Clone, Debug)]
pub struct PortRequest {
    /// Its interface.
    pub interface: Interface,
    /// What of it is ours.
    pub takes: Takes,
    /// The memory of each worker's frames, in the workers' order: base address and bytes.
    pub memory: Vec<(usize, usize)>,
    /// Whether a queue that is still being let go of is worth a long wait: only the first time.
    pub patient: bool,
    /// The number the port's first queue borrows frames under; each further queue takes the next.
    pub first_borrower: u16,
}

/// Which of an interface's frames are ours. The rest is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Every one: it is the guest's; polled by the worker that is home to its network.
    Guest(WorkerId),
    /// GRE to these addresses, and what is said of our own.
    Tunnels {
        /// The addresses.
        endpoint: Endpoint,
        /// The VLAN it comes in; untagged if none.
        vlan: Option<u16>,
    },
}

impl Takes {
    /// The worker that polls `queue`.
    pub fn worker(self, queue: u32, workers: u16) -> WorkerId {
        match self {
            Self::Guest(home) => home,
            Self::Tunnels { .. } => placement::underlay_queue(queue, workers),
        }
    }
}

/// One queue's device, and the worker that is to poll it.
pub struct QueueDevice {
    /// The queue's number on the interface.
    pub queue: u32,
    /// Who is to poll it.
    pub worker: WorkerId,
    /// The number it borrows frames under.
    pub borrower: Borrower,
    /// What moves its frames.
    pub device: Box<dyn Device>,
    /// `"zero-copy"` or `"copy"`, for people.
    pub mode: String,
}

/// A port's interface, taken. Dropping it gives the interface back to the kernel.
pub trait Attachment {
    /// The devices, one a queue. Asked once.
    fn take_devices(&mut self) -> Vec<QueueDevice>;

    /// What is known of the interface.
    fn facts(&self) -> PortFacts;

    /// How the program that steers is attached, for people.
    fn steer(&self) -> String;

    /// What an operator should know of it.
    fn notes(&self) -> Vec<String>;

    /// Frames that were lost between the interface and its devices since they were opened, by
    /// name: they are in no ledger, since no worker ever saw them.
    fn lost(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Looks again at the interface: `Err` with the reason, for people, when it is gone or is not
    /// the one that was taken any more.
    ///
    /// # Errors
    ///
    /// Why it has to be detached.
    fn look(&mut self) -> Result<PortFacts, String>;

    /// From now on its frames may come: every queue has its worker.
    ///
    /// # Errors
    ///
    /// Why its frames cannot be taken.
    fn start(&mut self) -> Result<(), String>;
}

/// Who takes interfaces: the kernel's, or a simulation's.
pub trait Opener {
    /// Takes an interface.
    ///
    /// # Errors
    ///
    /// Why not, for people. It is tried again later.
    fn open(&mut self, request: &PortRequest) -> Result<Box<dyn Attachment>, String>;
}
