//! Frames longer than a chunk: gathered from a chain of chunks, and scattered into one.
//!
//! Source: the kernel's `Documentation/networking/af_xdp.rst`, "Multi-Buffer Support" (Linux 6.6).
//! Every descriptor of a frame but the last has `XDP_PKT_CONTD` set. The kernel drops a frame it
//! cannot take or give whole; so do we, and what is dropped is counted.

use super::{AfXdp, Losses, SHORTEST, is_whole};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use frame::{Burst, Frame, FramePool, MAX_FRAME, MAX_JUMBO};

/// The most parts of a received frame: as many as a packet of the kernel's own has. A frame with
/// more of them is longer than a jumbo buffer, if they are of any use.
const PARTS: u32 = 18;

/// [`Losses`], written by the device and read from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    no_buffer: AtomicU64,
    too_long: AtomicU64,
    unsendable: AtomicU64,
}

impl Dropped {
    pub(super) fn read(&self) -> Losses {
        Losses {
            no_buffer: self.no_buffer.load(Relaxed),
            too_long: self.too_long.load(Relaxed),
            unsendable: self.unsendable.load(Relaxed),
        }
    }
}

/// Counts one more. There is one writer, so a load and a store lose nothing.
fn count(one: &AtomicU64) {
    one.store(one.load(Relaxed) + 1, Relaxed);
}

impl AfXdp {
    /// Takes the frame in several parts at the front of the receive ring: how many descriptors it
    /// took, and the frame, whole, or `None` and it is counted. It takes no descriptor if the last
    /// is not there yet.
    #[cold]
    pub(super) fn gather(&mut self, pool: &mut FramePool) -> (u32, Option<Frame>) {
        if self.in_chain {
            self.drop_part(pool);
            return (1, None);
        }
        let ready = self.rx.ready(PARTS).min(PARTS);
        let (mut parts, mut bytes, mut ends) = (0, 0, false);
        while parts < ready && !ends {
            let descriptor = self.rx.take();
            parts += 1;
            bytes += descriptor.len as usize;
            ends = is_whole(&descriptor);
        }
        self.rx.put_back(parts);
        if !ends && parts < PARTS {
            return (0, None);
        }
        let room = if ends { pool.take_for(bytes) } else { None };
        let Some(frame) = room else {
            let known = ends && bytes <= MAX_JUMBO;
            count(if known {
                &self.dropped.no_buffer
            } else {
                &self.dropped.too_long
            });
            self.counts.chains += 1;
            (0..parts).for_each(|_| self.drop_part(pool));
            return (parts, None);
        };
        (parts, self.gather_into(frame, parts, pool))
    }

    /// Takes `parts` descriptors, all there, and puts what they have into `frame`, which holds it.
    fn gather_into(&mut self, mut frame: Frame, parts: u32, pool: &mut FramePool) -> Option<Frame> {
        let mut whole = true;
        for _ in 0..parts {
            let descriptor = self.rx.take();
            let part = self.restore(pool, descriptor);
            whole &= part.is_some_and(|part| {
                let fits = frame.append(part.bytes()).is_ok();
                pool.give(part);
                fits
            });
        }
        if whole {
            return Some(frame);
        }
        count(&self.dropped.too_long);
        self.counts.chains += 1;
        pool.give(frame);
        None
    }

    /// Takes the next descriptor, and gives what it has back.
    fn drop_part(&mut self, pool: &mut FramePool) {
        let descriptor = self.rx.take();
        self.in_chain = !is_whole(&descriptor);
        if let Some(part) = self.restore(pool, descriptor) {
            pool.give(part);
        }
    }

    /// How many of `frames`, from the front, find all their descriptors and chunks now. There is
    /// room for `room` descriptors, or for more if the send ring is looked at again.
    pub(super) fn fitting_in_parts(
        &mut self,
        pool: &FramePool,
        frames: &Burst,
        mut room: u32,
    ) -> usize {
        let may_fly = self.in_flight_max - self.in_flight;
        let (mut descriptors, mut chunks) = (0, 0);
        for (index, frame) in frames.iter().enumerate() {
            let parts = if frame.is_jumbo() {
                let parts = self.parts(frame);
                chunks += parts;
                parts
            } else {
                1
            };
            descriptors += parts;
            if chunks as usize > pool.free() {
                return index;
            }
            if descriptors > room {
                room = self.tx.room(descriptors).min(may_fly);
            }
            if descriptors > room {
                return index;
            }
        }
        frames.len()
    }

    /// How many chunks a frame in a jumbo buffer is sent in; 0 if it is not.
    fn parts(&self, frame: &Frame) -> u32 {
        let len = frame.len();
        if len < SHORTEST || (len > MAX_FRAME && !self.jumbo) {
            return 0;
        }
        u32::try_from(len.div_ceil(MAX_FRAME)).unwrap_or(0)
    }

    /// Puts a frame that lies in a jumbo buffer into the send ring, in chunks; says how many. The
    /// caller knows from `fitting_in_parts` that there are so many, and room for them.
    #[cold]
    pub(super) fn scatter(&mut self, pool: &mut FramePool, frame: Frame) -> u32 {
        let parts = self.parts(&frame);
        if parts == 0 {
            if frame.len() < SHORTEST {
                self.counts.short += 1;
            } else {
                count(&self.dropped.unsendable);
            }
            pool.give(frame);
            return 0;
        }
        for (index, bytes) in (1..).zip(frame.bytes().chunks(MAX_FRAME)) {
            let Some(mut chunk) = pool.take() else {
                unreachable!("the pool was looked at, and has had no other caller since");
            };
            let filled = chunk.fill(bytes);
            debug_assert!(filled.is_ok(), "it was cut to fit");
            let addr = pool.lend(chunk, self.borrower);
            self.tx.put(libc::xdp_desc {
                addr,
                #[allow(clippy::cast_possible_truncation)] // a piece is no longer than MAX_FRAME
                len: bytes.len() as u32,
                options: if index < parts { libc::XDP_PKT_CONTD } else { 0 },
            });
        }
        pool.give(frame);
        parts
    }
}
