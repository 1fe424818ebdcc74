//! How an `AF_XDP` socket is asked for, and what one gets.

use crate::Preference;
use crate::af_xdp::socket::Socket;
use crate::af_xdp::{AfXdp, SocketMode};
use crate::interface;
use core::ptr::NonNull;
use core::time::Duration;
use frame::{Borrower, MAX_FRAME};
use std::io;
use std::time::Instant;

/// The most frames of one system call in copy mode, if the kernel lets us say so.
const SEND_BUDGET: u32 = 256;

/// The fewest entries of a ring: as many as are kept in the fill ring even from the reserve.
const RING_MIN: u32 = super::FILL_LOW;

/// Entries of a socket's rings, each a power of two and at least 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// Frames the kernel has received and we have not yet taken.
    pub receive: u32,
    /// Frames to be sent that the kernel has not yet taken.
    pub send: u32,
    /// Empty frames the kernel may receive into. So many frames of the pool lie in an idle
    /// socket: the sockets of one worker together must leave frames over.
    pub fill: u32,
    /// Sent frames that we have not yet taken home. No more are in flight than fit here.
    pub completion: u32,
}

impl Default for Rings {
    fn default() -> Self {
        Self {
            receive: 2048,
            send: 2048,
            fill: 4096,
            completion: 2048,
        }
    }
}

/// Preferred busy polling: the driver's receive work is done in our calls. Wants
/// `napi_defer_hard_irqs` and `gro_flush_timeout` set on the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long a call may poll, in microseconds.
    pub microseconds: u32,
    /// How many frames a call may poll.
    pub budget: u32,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            microseconds: 20,
            budget: 64,
        }
    }
}

/// What socket is wanted.
#[derive(Clone, Debug)]
pub struct OpenRequest<'a> {
    /// The interface's name, in the network namespace of the calling thread.
    pub interface: &'a str,
    /// The receive queue, from 0.
    pub queue: u32,
    /// The memory of the one pool the device will be used with
    /// ([`FramePool::memory`](frame::FramePool::memory)).
    pub memory: (NonNull<u8>, usize),
    /// In whose name frames are lent: nobody else's of this pool.
    pub borrower: Borrower,
    /// Sizes of the rings.
    pub rings: Rings,
    /// Frames to leave in the pool for others when the fill ring is filled.
    pub reserve: usize,
    /// Zero-copy or copy. [`Generic`](Preference::Generic) is copy here; say so where
    /// [`Steer`](crate::Steer) got generic XDP only.
    pub preference: Preference,
    /// Busy polling, if it is wanted.
    pub busy_poll: Option<BusyPoll>,
    /// Whether frames longer than a chunk are to be carried, in several parts: Linux 6.6, and a
    /// pool with jumbo buffers. Ask only where the MTU asks for it
    /// ([`Facts::buffers`](crate::Facts::buffers)): a driver's zero-copy may not know it.
    pub jumbo: bool,
    /// How long to wait for a queue that is still being let go of. The kernel takes some 40 ms.
    pub patience: Duration,
}

impl<'a> OpenRequest<'a> {
    /// A socket of the usual sizes.
    pub fn new(
        interface: &'a str,
        queue: u32,
        memory: (NonNull<u8>, usize),
        borrower: Borrower,
    ) -> Self {
        Self {
            interface,
            queue,
            memory,
            borrower,
            rings: Rings::default(),
            reserve: 128,
            preference: Preference::Auto,
            busy_poll: None,
            jumbo: false,
            patience: Duration::from_secs(2),
        }
    }
}

/// Why there is no socket. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such interface here.
    #[error("there is no interface `{interface}`")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// Not root, or not enough of it.
    #[error("an AF_XDP socket needs CAP_NET_RAW: run as root or give the capability")]
    NotPermitted,
    /// The memory cannot be locked.
    #[error(
        "{bytes} bytes of frames cannot be locked in memory: give CAP_IPC_LOCK, or raise \
         RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)"
    )]
    NotLocked {
        /// How much was to be registered.
        bytes: usize,
    },
    /// A ring's size is not a power of two, or too small.
    #[error("{got} is no size for a ring: it must be a power of two, and {RING_MIN} at least")]
    RingSize {
        /// What was asked for.
        got: u32,
    },
    /// The interface has no such queue, or no queue at all for `AF_XDP`.
    #[error(
        "queue {queue} of `{interface}` cannot be bound: the interface has no such queue \
         (`ethtool -l {interface}` shows how many there are)"
    )]
    NoQueue {
        /// The interface's name.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// Somebody has the queue.
    #[error(
        "queue {queue} of `{interface}` is another AF_XDP socket's, and still was after \
         {} ms: find its owner with `ss --xdp -ap`", waited.as_millis()
    )]
    Busy {
        /// The interface's name.
        interface: String,
        /// The queue.
        queue: u32,
        /// How long it was tried.
        waited: Duration,
    },
    /// Zero-copy was asked for, and the driver has none.
    #[error("queue {queue} of `{interface}` has no zero-copy ({source}): ask for `auto` or `copy`")]
    NoZeroCopy {
        /// The interface's name.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Long frames were asked for, and the kernel has no multi-buffer `AF_XDP`.
    #[error(
        "queue {queue} of `{interface}` carries no frame longer than {MAX_FRAME} bytes ({source}): \
         that takes Linux 6.6; before it, lower the interface's MTU to {}",
        interface::CHUNK_MTU
    )]
    NoJumbo {
        /// The interface's name.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The interface is down.
    #[error("`{interface}` is down: `ip link set {interface} up`")]
    Down {
        /// The interface's name.
        interface: String,
    },
    /// The kernel refused a step, for a reason of its own.
    #[error("the kernel refused to {step} for an AF_XDP socket: {source}")]
    Refused {
        /// Which step.
        step: Step,
        /// What it said.
        source: io::Error,
    },
}

/// A step of opening a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the socket.
    Create,
    /// Register the frames' memory.
    Register,
    /// Make and map the rings.
    MapRings,
    /// Bind it to the queue.
    Bind,
}

impl core::fmt::Display for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Create => "make a socket",
            Self::Register => "register memory",
            Self::MapRings => "make the rings",
            Self::Bind => "bind to the queue",
        })
    }
}

/// Something that was wished for and is not there; the socket works without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Copy mode, because zero-copy was refused with this error number.
    NoZeroCopy(i32),
    /// Copy mode, because zero-copy of frames longer than a chunk was refused with this error
    /// number. It may be there for a smaller MTU.
    NoLongZeroCopy(i32),
    /// The kernel sends 32 frames a call: it does not know the budget (before Linux 6.17).
    NoSendBudget,
    /// Busy polling was refused with this error number.
    NoBusyPoll(i32),
}

impl core::fmt::Display for Note {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let said = io::Error::from_raw_os_error;
        match *self {
            Self::NoZeroCopy(libc::EOPNOTSUPP) => {
                f.write_str("copy mode: the driver has no zero-copy")
            }
            Self::NoZeroCopy(errno) => write!(f, "copy mode: no zero-copy: {}", said(errno)),
            Self::NoLongZeroCopy(errno) => write!(
                f,
                "copy mode: no zero-copy with an MTU above {}: {}",
                interface::CHUNK_MTU,
                said(errno)
            ),
            Self::NoSendBudget => {
                f.write_str("the kernel sends at most 32 frames a call (Linux before 6.17)")
            }
            Self::NoBusyPoll(errno) => write!(f, "no busy polling: {}", said(errno)),
        }
    }
}

impl OpenRequest<'_> {
    /// Opens the socket. May wait as long as `patience`: not for a worker's thread.
    pub(super) fn open(&self) -> Result<AfXdp, OpenError> {
        let rings = [
            self.rings.receive,
            self.rings.send,
            self.rings.fill,
            self.rings.completion,
        ];
        if let Some(got) = rings
            .into_iter()
            .find(|size| !size.is_power_of_two() || *size < RING_MIN)
        {
            return Err(OpenError::RingSize { got });
        }
        let index = interface::index(self.interface).ok_or_else(|| OpenError::NoInterface {
            interface: self.interface.into(),
        })?;
        let socket = Socket::new().map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM) => OpenError::NotPermitted,
            _ => refused(Step::Create, source),
        })?;
        let (base, bytes) = (self.memory.0.as_ptr().addr(), self.memory.1);
        socket
            .register(base, bytes)
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENOBUFS | libc::EPERM) => OpenError::NotLocked { bytes },
                _ => refused(Step::Register, source),
            })?;
        let map = |source| refused(Step::MapRings, source);
        let (rx, tx, fill, done) = self.map_rings(&socket).map_err(map)?;

        let mut notes = Vec::new();
        self.bind(&socket, index, &mut notes)?;
        let zero_copy = socket.is_zero_copy().unwrap_or(false);
        let budget = SEND_BUDGET.min(self.rings.send);
        if !zero_copy && socket.set_send_budget(budget).is_err() {
            notes.push(Note::NoSendBudget);
        }
        let busy_poll = self.busy_poll.is_some_and(|wanted| {
            let set = socket.set_busy_poll(wanted.microseconds, wanted.budget);
            let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
            set.map_err(|error| notes.push(Note::NoBusyPoll(errno(error))))
                .is_ok()
        });
        Ok(AfXdp {
            rx,
            tx,
            fill,
            done,
            socket,
            memory: (base, bytes),
            borrower: self.borrower,
            reserve: self.reserve,
            unshared: 0,
            in_flight_max: self.rings.completion,
            in_flight: 0,
            jumbo: self.jumbo,
            in_chain: false,
            mode: if zero_copy {
                SocketMode::ZeroCopy
            } else {
                SocketMode::Copy
            },
            busy_poll,
            down: None,
            counts: super::Counts::default(),
            dropped: std::sync::Arc::default(),
            notes,
        })
    }

    fn map_rings(&self, socket: &Socket) -> io::Result<super::RingSet> {
        let sizes = self.rings;
        socket.make_ring(libc::XDP_UMEM_FILL_RING, sizes.fill)?;
        socket.make_ring(libc::XDP_UMEM_COMPLETION_RING, sizes.completion)?;
        socket.make_ring(libc::XDP_RX_RING, sizes.receive)?;
        socket.make_ring(libc::XDP_TX_RING, sizes.send)?;
        let at = socket.offsets()?;
        Ok((
            socket.map_consumer(RECEIVE_PAGE, &at.rx, sizes.receive)?,
            socket.map_producer(SEND_PAGE, &at.tx, sizes.send)?,
            socket.map_producer(libc::XDP_UMEM_PGOFF_FILL_RING, &at.fr, sizes.fill)?,
            socket.map_consumer(
                libc::XDP_UMEM_PGOFF_COMPLETION_RING,
                &at.cr,
                sizes.completion,
            )?,
        ))
    }

    /// Binds: zero-copy if it may be, else copy if it may be.
    fn bind(&self, socket: &Socket, index: u32, notes: &mut Vec<Note>) -> Result<(), OpenError> {
        if matches!(self.preference, Preference::Auto | Preference::ZeroCopy) {
            let Err(source) = self.bind_patiently(socket, index, libc::XDP_ZEROCOPY) else {
                return Ok(());
            };
            let errno = source.raw_os_error().unwrap_or(libc::EIO);
            // These are about the queue, and would be said of copy mode too.
            if matches!(errno, libc::EBUSY | libc::ENETDOWN | libc::ENODEV) {
                return Err(self.unbound(source));
            }
            if self.preference == Preference::ZeroCopy {
                return Err(OpenError::NoZeroCopy {
                    interface: self.interface.into(),
                    queue: self.queue,
                    source,
                });
            }
            notes.push(if self.jumbo {
                Note::NoLongZeroCopy(errno)
            } else {
                Note::NoZeroCopy(errno)
            });
        }
        let Err(source) = self.bind_patiently(socket, index, libc::XDP_COPY) else {
            return Ok(());
        };
        if !self.jumbo {
            return Err(self.unbound(source));
        }
        let flags = libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP;
        Err(self.unbound_long(source, || socket.bind(index, self.queue, flags)))
    }

    /// In words: why it was not bound for long frames. `plain` binds it for short ones: only if
    /// that goes well was it their length. Before Linux 6.6 the kernel says of the flag what it
    /// says of a queue that is not there.
    fn unbound_long(&self, source: io::Error, plain: impl FnOnce() -> io::Result<()>) -> OpenError {
        let about_length = matches!(source.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP));
        if about_length && plain().is_ok() {
            return OpenError::NoJumbo {
                interface: self.interface.to_owned(),
                queue: self.queue,
                source,
            };
        }
        self.unbound(source)
    }

    /// Binds, again and again while the queue is somebody's: the kernel lets go of a closed
    /// socket's queue a good while after the close.
    fn bind_patiently(&self, socket: &Socket, index: u32, mode: u16) -> io::Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(2);
        let parts = if self.jumbo { libc::XDP_USE_SG } else { 0 };
        let flags = mode | parts | libc::XDP_USE_NEED_WAKEUP;
        loop {
            let bound = socket.bind(index, self.queue, flags);
            match bound {
                Err(error)
                    if error.raw_os_error() == Some(libc::EBUSY)
                        && start.elapsed() < self.patience => {}
                other => return other,
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// In words: why it was not bound.
    fn unbound(&self, source: io::Error) -> OpenError {
        let (interface, queue) = (self.interface.to_owned(), self.queue);
        match source.raw_os_error() {
            Some(libc::EBUSY) => OpenError::Busy {
                interface,
                queue,
                waited: self.patience,
            },
            Some(libc::EINVAL) => OpenError::NoQueue { interface, queue },
            Some(libc::ENODEV) => OpenError::NoInterface { interface },
            Some(libc::ENETDOWN) => OpenError::Down { interface },
            Some(libc::EPERM) => OpenError::NotPermitted,
            _ => refused(Step::Bind, source),
        }
    }
}

/// Where the receive ring is mapped from.
const RECEIVE_PAGE: u64 = 0;
/// Where the send ring is mapped from.
const SEND_PAGE: u64 = 0x8000_0000;

fn refused(step: Step, source: io::Error) -> OpenError {
    OpenError::Refused { step, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: i32, plain: io::Result<()>) -> OpenError {
        let memory = (NonNull::dangling(), 0);
        let request = OpenRequest::new("eth0", 3, memory, Borrower::new(0));
        request.unbound_long(io::Error::from_raw_os_error(errno), || plain)
    }

    #[test]
    fn a_kernel_without_long_frames_is_told_from_a_queue_that_is_not_there() {
        assert_eq!(
            said(libc::EINVAL, Ok(())).to_string(),
            "queue 3 of `eth0` carries no frame longer than 1792 bytes (Invalid argument (os error \
             22)): that takes Linux 6.6; before it, lower the interface's MTU to 1770"
        );
        let refused = io::Error::from_raw_os_error(libc::EINVAL);
        let error = said(libc::EINVAL, Err(refused));
        assert!(
            matches!(error, OpenError::NoQueue { queue: 3, .. }),
            "{error}"
        );
        let error = said(libc::EOPNOTSUPP, Ok(()));
        assert!(matches!(error, OpenError::NoJumbo { .. }), "{error}");
        let error = said(libc::ENETDOWN, Ok(()));
        assert!(matches!(error, OpenError::Down { .. }), "{error}");
    }
}
