//! Frames to and from one queue of a kernel interface, by an `AF_XDP` socket.
//!
//! [`AfXdp::open`] is asked by whoever may wait; the device it makes is a worker's. Frames that
//! the kernel has are lent in the name of one borrower, and come home by address: from the
//! receive ring, from the completion ring, or, after the device is gone, by
//! [`FramePool::reclaim_all`].
//!
//! A frame longer than a chunk comes and goes in a chain of them, where the socket was opened for
//! that: it is gathered into one jumbo buffer of the pool, and scattered again ([`chain`]).
//!
//! What holds, whatever the kernel does:
//!
//! - no call allocates or waits, and each is bounded in time;
//! - an address that was not lent is counted and not touched;
//! - no more frames are in flight than the completion ring takes, so none is lost in it;
//! - the fill ring is filled every turn; a part of it even from the pool's reserve;
//! - what could not be kicked is kicked again in the next turn;
//! - an interface that goes down or away is an answer ([`AfXdp::down`]), not a panic.

mod chain;
mod memory;
mod open;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

pub use memory::{Memory, MemoryError, Pages};
pub use open::{BusyPoll, Note, OpenError, OpenRequest, Rings, Step};

use crate::Device;
use chain::Dropped;
use core::time::Duration;
use frame::{Borrower, Burst, Frame, FramePool};
use ring::{Consumer, Producer};
use socket::Socket;
use std::io;
use std::sync::Arc;

/// The shortest frame that may be sent, in bytes: an Ethernet header. The kernel takes what is
/// shorter for an invalid descriptor, and never gives its frame back.
const SHORTEST: usize = 14;

/// Entries of the fill ring that are refilled even from the pool's reserve: with none, nothing is
/// received, and frames that come home from other rings cannot wake it.
const FILL_LOW: u32 = 64;

/// How many entries of the fill ring are worth a look at the kernel's counter.
const FILL_BATCH: u32 = 32;

/// The most `sendto` calls of one turn: enough for a full send ring at 32 frames a call.
const KICKS: u32 = 80;

/// The receive, send, fill and completion rings.
type RingSet = (
    Consumer<libc::xdp_desc>,
    Producer<libc::xdp_desc>,
    Producer<u64>,
    Consumer<u64>,
);

/// Whether frames are copied between the kernel's memory and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// The driver reads and writes our memory.
    ZeroCopy,
    /// The kernel copies.
    Copy,
}

impl core::fmt::Display for SocketMode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
        })
    }
}

/// Why a device moves nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// The interface is down. It may come up again: [`wake`](Device::wake) finds out.
    #[error("the interface is down")]
    Interface,
    /// The interface is gone, and this socket with it: open another when it is back.
    #[error("the interface is gone")]
    Gone,
    /// The kernel says something else, as an error number; [`wake`](Device::wake) tries again.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Refused(i32),
}

/// What a device has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames received.
    pub received: u64,
    /// Frames handed to the kernel to be sent.
    pub sent: u64,
    /// Frames that came in several parts, and were dropped: those of [`Losses`].
    pub chains: u64,
    /// Addresses that came from the kernel and had not been lent to it. 0, or there is a bug.
    pub foreign: u64,
    /// Frames too short to be sent, and dropped.
    pub short: u64,
    /// Calls in which the kernel said that it dropped a frame we had handed to it, or that the
    /// driver was busy.
    pub busy: u64,
    /// Calls to have frames sent.
    pub kicks: u64,
    /// Turns that left frames in the send ring, for the next.
    pub left: u64,
}

/// Frames a device has dropped for their length since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames that came in while no jumbo buffer was free for them.
    pub no_buffer: u64,
    /// Frames that came in and are longer than a jumbo buffer holds, or of which a part was not
    /// where the kernel said.
    pub too_long: u64,
    /// Frames to be sent that are longer than the socket was opened to carry.
    pub unsendable: u64,
}

/// What the kernel has counted for a socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames dropped: too long for a chunk, or no room.
    pub receive_dropped: u64,
    /// Frames dropped because the receive ring was full.
    pub receive_ring_full: u64,
    /// Frames dropped because the fill ring was empty.
    pub fill_ring_empty: u64,
    /// Addresses in the fill ring that the kernel refused.
    pub fill_invalid: u64,
    /// Frames in the send ring that the kernel refused, and whose memory it keeps.
    pub send_invalid: u64,
    /// Looks at the send ring that found it empty.
    pub send_ring_empty: u64,
}

/// Reads what is counted for a socket that somebody else uses.
#[derive(Debug)]
pub struct Meter {
    socket: Socket,
    dropped: Arc<Dropped>,
}

impl Meter {
    /// What the kernel has counted: one system call.
    ///
    /// # Errors
    ///
    /// What the kernel says, if the socket is no more.
    pub fn read(&self) -> io::Result<Statistics> {
        statistics(&self.socket)
    }

    /// What the device has dropped.
    pub fn losses(&self) -> Losses {
        self.dropped.read()
    }
}

fn statistics(socket: &Socket) -> io::Result<Statistics> {
    let kernel = socket.statistics()?;
    Ok(Statistics {
        receive_dropped: kernel.rx_dropped,
        receive_ring_full: kernel.rx_ring_full,
        fill_ring_empty: kernel.rx_fill_ring_empty_descs,
        fill_invalid: kernel.rx_invalid_descs,
        send_invalid: kernel.tx_invalid_descs,
        send_ring_empty: kernel.tx_ring_empty_descs,
    })
}

/// One queue of a kernel interface.
///
/// - Shape: four rings shared with the kernel, and one socket.
/// - Bound: the rings. A full send ring leaves frames with the caller.
/// - Memory: one pool's, all of it registered; to use it with another pool is a bug, and panics.
/// - Order of ending: first the [`Steer`](crate::Steer) of the interface, then the sockets; then,
///   for zero-copy after [`LINGER`](Self::LINGER), [`FramePool::reclaim_all`].
#[derive(Debug)]
pub struct AfXdp {
    rx: Consumer<libc::xdp_desc>,
    tx: Producer<libc::xdp_desc>,
    fill: Producer<u64>,
    done: Consumer<u64>,
    socket: Socket,
    memory: (usize, usize),
    borrower: Borrower,
    reserve: usize,
    /// Entries of the fill ring that stay empty: those above our share of the frames.
    unshared: u32,
    in_flight_max: u32,
    /// Frames handed to the kernel to be sent and not yet home.
    in_flight: u32,
    /// Whether frames longer than a chunk are carried, in several parts.
    jumbo: bool,
    /// Whether what comes next is the rest of a frame that was dropped.
    in_chain: bool,
    mode: SocketMode,
    busy_poll: bool,
    down: Option<Down>,
    counts: Counts,
    dropped: Arc<Dropped>,
    notes: Vec<Note>,
}

impl AfXdp {
    /// How long after a zero-copy socket was closed its frames are still the kernel's. It lets go
    /// of a queue 16 to 40 ms after the close, and a NIC receives into them until then. In copy
    /// mode nothing is written after the close.
    pub const LINGER: Duration = Duration::from_millis(200);

    /// Opens a socket. May wait as long as the request's `patience`: not for a worker's thread.
    ///
    /// # Errors
    ///
    /// [`OpenError`], in words an operator can act on; nothing is left of the attempt.
    pub fn open(request: &OpenRequest<'_>) -> Result<Self, OpenError> {
        request.open()
    }

    /// Zero-copy or copy.
    pub fn mode(&self) -> SocketMode {
        self.mode
    }

    /// Whether it carries frames longer than a chunk.
    pub fn carries_jumbo(&self) -> bool {
        self.jumbo
    }

    /// What was wished for and is not there.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// In whose name frames are lent.
    pub fn borrower(&self) -> Borrower {
        self.borrower
    }

    /// Why it moves nothing now, if so. Known since the last call into the kernel.
    pub fn down(&self) -> Option<Down> {
        self.down
    }

    /// Frames handed to the kernel to be sent and not yet home. The others it has are there to
    /// be received into.
    pub fn in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// What it has counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What it has dropped for its length.
    pub fn losses(&self) -> Losses {
        self.dropped.read()
    }

    /// What the kernel has counted: one system call.
    ///
    /// # Errors
    ///
    /// What the kernel says, if the socket is no more.
    pub fn statistics(&self) -> io::Result<Statistics> {
        statistics(&self.socket)
    }

    /// Reads its [`Statistics`] and [`Losses`] from elsewhere, while a worker has the device. Holds the socket
    /// open: let it go with the device.
    ///
    /// # Errors
    ///
    /// What the kernel says, if there are no descriptors left.
    pub fn meter(&self) -> io::Result<Meter> {
        Ok(Meter {
            socket: self.socket.again()?,
            dropped: self.dropped.clone(),
        })
    }

    /// Takes home what was sent.
    #[inline]
    fn complete(&mut self, pool: &mut FramePool) {
        let ready = self.done.ready(1);
        if ready == 0 {
            return;
        }
        for _ in 0..ready {
            let address = self.done.take();
            match pool.restore(address, 0, self.borrower) {
                Some(frame) => {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    pool.give(frame);
                }
                None => self.counts.foreign += 1,
            }
        }
        self.done.release();
    }

    /// Gives the kernel frames to receive into.
    #[inline]
    fn refill(&mut self, pool: &mut FramePool) {
        let room = self.fill.room(self.unshared + FILL_BATCH);
        let room = room.saturating_sub(self.unshared);
        if room < FILL_BATCH {
            return;
        }
        let above = pool.free().saturating_sub(self.reserve);
        let mut count = above.min(room as usize);
        if count < FILL_BATCH as usize {
            // The pool is short. How much the kernel still has decides, so look at it now.
            let pending = self.fill.pending();
            if pending < FILL_LOW {
                count = count.max((FILL_LOW - pending) as usize);
            }
        }
        if count == 0 {
            return;
        }
        for _ in 0..count {
            let Some(frame) = pool.take() else { break };
            let address = pool.lend(frame, self.borrower);
            self.fill.put(address);
        }
        self.fill.submit();
    }

    /// Has the kernel look at the send ring until it is empty, stuck, or enough was tried.
    #[inline]
    fn kick(&mut self) {
        if self.tx.pending() == 0 {
            return;
        }
        if self.tx.needs_wakeup() || self.busy_poll {
            self.kick_until_sent();
        }
    }

    fn kick_until_sent(&mut self) {
        let mut idle = 0;
        for _ in 0..KICKS {
            let before = (self.tx.pending(), self.done.moved_to());
            self.counts.kicks += 1;
            let errno = self.socket.kick_send();
            self.note(errno);
            match errno {
                0 | libc::EAGAIN => {}
                // In copy mode: one frame was dropped, and those behind it are still there.
                libc::EBUSY => self.counts.busy += 1,
                _ => break,
            }
            let after = (self.tx.pending(), self.done.moved_to());
            if after.0 == 0 || self.mode == SocketMode::ZeroCopy {
                break;
            }
            // Once without progress is a full queue that may have just been emptied.
            idle = if after == before { idle + 1 } else { 0 };
            if idle == 2 {
                break;
            }
        }
        if self.tx.pending() > 0 {
            self.counts.left += 1;
        }
    }

    /// Has the kernel look at the fill ring.
    fn kick_receive(&mut self) {
        let errno = self.socket.kick_receive();
        self.note(errno);
    }

    /// Notes what a call into the kernel says of the interface.
    #[inline]
    fn note(&mut self, errno: i32) {
        self.down = match errno {
            // Nothing to do now, or not all at once, is how an open socket speaks.
            0 | libc::EAGAIN | libc::EBUSY | libc::EINTR | libc::ENOBUFS | libc::ENOMEM => None,
            libc::ENETDOWN => Some(Down::Interface),
            libc::ENXIO | libc::ENODEV | libc::EBADF => Some(Down::Gone),
            other => Some(Down::Refused(other)),
        };
    }

    /// Takes one received descriptor: a frame, or `None` and it is counted.
    #[inline]
    fn restore(&mut self, pool: &mut FramePool, descriptor: libc::xdp_desc) -> Option<Frame> {
        let frame = pool.restore(descriptor.addr, descriptor.len as usize, self.borrower);
        if frame.is_none() {
            self.counts.foreign += 1;
        }
        frame
    }

    /// How many of `frames`, from the front, can be sent now: none of them in part.
    #[inline]
    fn fitting(&mut self, pool: &FramePool, frames: &Burst) -> usize {
        let wanted = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        let may_fly = self.in_flight_max - self.in_flight;
        let room = self.tx.room(wanted).min(may_fly);
        if pool.jumbo_made() == 0 {
            return room.min(wanted) as usize;
        }
        self.fitting_in_parts(pool, frames, room)
    }

    #[inline]
    fn is_ours(&self, pool: &FramePool) -> bool {
        let (base, bytes) = pool.memory();
        (base.as_ptr().addr(), bytes) == self.memory
    }
}

/// Whether a received descriptor says that nothing of its frame follows.
#[inline]
fn is_whole(descriptor: &libc::xdp_desc) -> bool {
    descriptor.options & libc::XDP_PKT_CONTD == 0
}

impl Device for AfXdp {
    /// # Panics
    ///
    /// If `pool` is not the pool whose memory was registered.
    fn receive(&mut self, pool: &mut FramePool, into: &mut Burst) -> usize {
        let room = u32::try_from(into.room()).unwrap_or(u32::MAX);
        let mut ready = self.rx.ready(room);
        if ready == 0 || room == 0 {
            return 0;
        }
        assert!(self.is_ours(pool), "a device was used with another pool");
        let mut received = 0;
        while ready > 0 && received < room {
            let descriptor = self.rx.take();
            let (taken, frame) = if is_whole(&descriptor) && !self.in_chain {
                (1, self.restore(pool, descriptor))
            } else {
                self.rx.put_back(1);
                self.gather(pool)
            };
            if taken == 0 {
                break; // its end is not there yet
            }
            ready = ready.saturating_sub(taken);
            let Some(frame) = frame else { continue };
            match into.push(frame) {
                Ok(()) => received += 1,
                Err(frame) => pool.give(frame), // never: there was room
            }
        }
        self.rx.release();
        self.counts.received += u64::from(received);
        received as usize
    }

    /// # Panics
    ///
    /// If `pool` is not the pool whose memory was registered.
    fn send(&mut self, pool: &mut FramePool, frames: &mut Burst) {
        assert!(self.is_ours(pool), "a device was used with another pool");
        if frames.is_empty() || self.down.is_some() {
            return;
        }
        let count = self.fitting(pool, frames);
        let mut sent = 0;
        for frame in frames.take(count) {
            if frame.is_jumbo() {
                sent += self.scatter(pool, frame);
                continue;
            }
            if frame.len() < SHORTEST {
                self.counts.short += 1;
                pool.give(frame);
                continue;
            }
            #[allow(clippy::cast_possible_truncation)] // a frame is shorter than a chunk
            let len = frame.len() as u32;
            let addr = pool.lend(frame, self.borrower);
            self.tx.put(libc::xdp_desc {
                addr,
                len,
                options: 0,
            });
            sent += 1;
        }
        self.in_flight += sent;
        self.counts.sent += u64::from(sent);
        self.tx.submit();
        self.kick();
    }

    /// # Panics
    ///
    /// If `pool` is not the pool whose memory was registered.
    fn reclaim(&mut self, pool: &mut FramePool) {
        assert!(self.is_ours(pool), "a device was used with another pool");
        self.complete(pool);
        self.refill(pool);
        if self.down.is_some() {
            return; // `wake` asks again
        }
        if self.busy_poll || self.fill.needs_wakeup() {
            self.kick_receive();
        }
        if self.in_flight > 0 && self.down.is_none() {
            self.kick();
        }
    }

    fn wake(&mut self) {
        if self.down == Some(Down::Gone) {
            return;
        }
        self.kick_receive();
        if self.down.is_none() && self.tx.pending() > 0 {
            self.kick_until_sent();
        }
    }

    /// At least 64, so that it never runs dry, and at most what the fill ring holds.
    fn share(&mut self, frames: usize) {
        let size = self.fill.size();
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.unshared = size - frames.clamp(FILL_LOW.min(size), size);
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.socket.fd())
    }
}
