//! One queue of a port, as its worker polls it.

use crate::outbox::Outbox;
use frame::Borrower;
use io::Device;

/// Frames that may wait for one device.
const WAITING: usize = 1024;

/// A device, what waits to leave by it, and whose port it is.
pub struct Polled {
    pub(crate) slot: u16,
    borrower: Borrower,
    pub(crate) device: Box<dyn Device>,
    pub(crate) outbox: Outbox,
    /// Whether it has brought many frames at once, and got a larger share.
    pub(crate) busy: bool,
}

impl Polled {
    /// A queue of the port in `slot`, that borrows frames under `borrower`.
    pub fn new(slot: u16, borrower: Borrower, device: Box<dyn Device>) -> Self {
        Self {
            slot,
            borrower,
            device,
            outbox: Outbox::new(WAITING),
            busy: false,
        }
    }

    /// The device and the number it borrows frames under.
    pub fn into_device(self) -> (Borrower, Box<dyn Device>) {
        (self.borrower, self.device)
    }
}
