//! How one worker hands a packet to another.
//!
//! Between each two workers, each way, lie two rings with one producer and one consumer: filled
//! frames go one way, empty ones the other. The frames are the receiver's own: the sender copies
//! the bytes into one and keeps its own frame. So no frame ever leaves its owner's books, and one
//! copy is all a hand-off costs.

use frame::{Frame, FramePool, MAX_FRAME};
use rtrb::{Consumer, Producer, RingBuffer};
use switch::{Origin, Packet, WorkerId};

/// Empty frames that wait at a sender for each receiver.
const DEPTH: usize = 512;

/// What is handed over.
#[derive(Debug)]
pub struct Handed {
    /// The bytes, in a frame of the receiver.
    pub frame: Frame,
    /// Where the packet came from.
    pub origin: Origin,
    /// The slot of its network, if that is known.
    pub vnet: u16,
    /// What is to be done with it.
    pub task: Task,
}

/// What is to be done with a packet that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It has just come in on the underlay: find out whose it is.
    Decide,
    /// It is ready: send it by the port in this slot.
    Send(u16),
}

/// One worker's two ends of what lies between it and another.
#[derive(Debug)]
pub struct HandOff {
    /// The other worker.
    pub peer: WorkerId,
    filled_to: Producer<Handed>,
    empty_from: Consumer<Frame>,
    filled_from: Consumer<Handed>,
    empty_to: Producer<Frame>,
    posted: usize,
}

/// The ends for each of `workers` workers, in their order.
pub fn hand_offs(workers: u16) -> Vec<Vec<HandOff>> {
    let mut all: Vec<Vec<HandOff>> = (0..workers).map(|_| Vec::new()).collect();
    for one in 0..workers {
        for other in one + 1..workers {
            let (filled_to, filled_at_other) = RingBuffer::new(DEPTH);
            let (empty_at_other, empty_from) = RingBuffer::new(DEPTH);
            let (filled_by_other, filled_from) = RingBuffer::new(DEPTH);
            let (empty_to, empty_for_other) = RingBuffer::new(DEPTH);
            all[usize::from(one)].push(HandOff {
                peer: WorkerId(other),
                filled_to,
                empty_from,
                filled_from,
                empty_to,
                posted: 0,
            });
            all[usize::from(other)].push(HandOff {
                peer: WorkerId(one),
                filled_to: filled_by_other,
                empty_from: empty_for_other,
                filled_from: filled_at_other,
                empty_to: empty_at_other,
                posted: 0,
            });
        }
    }
    all
}

impl HandOff {
    /// Hands `packet` over; gives its frame back to `pool`.
    ///
    /// # Errors
    ///
    /// The packet itself, if the receiver has no empty frame here, or none so long.
    #[allow(clippy::result_large_err)] // the packet is handed back, not a description of it
    pub fn hand(&mut self, packet: Packet, task: Task, pool: &mut FramePool) -> Result<(), Packet> {
        if self.filled_to.is_full() || packet.frame.len() > MAX_FRAME {
            return Err(packet);
        }
        let Ok(mut frame) = self.empty_from.pop() else {
            return Err(packet);
        };
        let filled = frame.fill(packet.frame.bytes());
        debug_assert!(filled.is_ok(), "its length was looked at");
        let handed = Handed {
            frame,
            origin: packet.origin,
            vnet: packet.vnet,
            task,
        };
        pool.give(packet.frame);
        if let Err(rtrb::PushError::Full(handed)) = self.filled_to.push(handed) {
            unreachable!("the ring had room and we are its only producer: {handed:?}");
        }
        Ok(())
    }

    /// The next packet that the other worker handed to us.
    pub fn take(&mut self) -> Option<Handed> {
        let handed = self.filled_from.pop().ok()?;
        self.posted -= 1;
        Some(handed)
    }

    /// Whether the other worker has handed us anything.
    pub fn is_waiting(&self) -> bool {
        self.filled_from.slots() > 0
    }

    /// Keeps empty frames of ours at the other worker.
    pub fn refill(&mut self, pool: &mut FramePool) {
        while self.posted < DEPTH && !self.empty_to.is_full() {
            let Some(frame) = pool.take() else { break };
            if let Err(rtrb::PushError::Full(frame)) = self.empty_to.push(frame) {
                pool.give(frame);
                break;
            }
            self.posted += 1;
        }
    }

    /// Takes out every frame that can be reached from here, ours and the other worker's.
    pub fn drain(&mut self) -> Vec<Frame> {
        let filled = core::iter::from_fn(|| self.filled_from.pop().ok());
        let mut frames: Vec<Frame> = filled.map(|handed| handed.frame).collect();
        frames.extend(core::iter::from_fn(|| self.empty_from.pop().ok()));
        frames
    }

    /// Our frames that are with the other worker, or on their way back.
    pub fn posted(&self) -> usize {
        self.posted
    }
}

/// What nobody took home in good order ([`retire`](crate::retire)) is left where it is.
impl Drop for HandOff {
    fn drop(&mut self) {
        self.drain().into_iter().for_each(Frame::abandon);
    }
}
