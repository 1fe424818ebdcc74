//! How one worker hands a packet to another.
//!
//! Between each two workers, each way, lie two rings with one producer and one consumer: filled
//! frames go one way, empty ones the other. The frames are the receiver's own: the sender copies
//! the bytes into one and keeps its own frame. So no frame ever leaves its owner's books, and one
//! copy is all a hand-off costs. Jumbo buffers, where there are any, lie at the other workers too,
//! in a ring of their own: a long frame takes nothing that a short one waits for.

use frame::{Frame, FramePool, MAX_FRAME, MAX_JUMBO};
use rtrb::{Consumer, Producer, RingBuffer};
use switch::{Origin, Packet, WorkerId};

/// Empty frames that wait at a sender for each receiver.
const DEPTH: usize = 512;

/// Empty jumbo buffers that wait at a sender for each receiver, at most; and no more than half of
/// a worker's are at all the others together.
const JUMBO_DEPTH: usize = 256;

/// What is handed over.
#[derive(Debug)]
pub struct Handed {
    /// The bytes, in a frame of the receiver.
    pub frame: Frame,
    /// Where the packet came from.
    pub origin: Origin,
    /// The slot of its network, if that is known.
    pub vnet: u16,
    /// Whether it is our answer to what came in.
    pub answer: bool,
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
    jumbo_from: Consumer<Frame>,
    jumbo_to: Producer<Frame>,
    jumbo_posted: usize,
    /// How many other workers there are.
    peers: usize,
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
            let (jumbo_at_other, jumbo_from) = RingBuffer::new(JUMBO_DEPTH);
            let (jumbo_to, jumbo_for_other) = RingBuffer::new(JUMBO_DEPTH);
            let peers = usize::from(workers) - 1;
            all[usize::from(one)].push(HandOff {
                peer: WorkerId(other),
                filled_to,
                empty_from,
                filled_from,
                empty_to,
                posted: 0,
                jumbo_from,
                jumbo_to,
                jumbo_posted: 0,
                peers,
            });
            all[usize::from(other)].push(HandOff {
                peer: WorkerId(one),
                filled_to: filled_by_other,
                empty_from: empty_for_other,
                filled_from: filled_at_other,
                empty_to: empty_at_other,
                posted: 0,
                jumbo_from: jumbo_for_other,
                jumbo_to: jumbo_at_other,
                jumbo_posted: 0,
                peers,
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
        let len = packet.frame.len();
        if self.filled_to.is_full() || len > MAX_JUMBO {
            return Err(packet);
        }
        let empty = if len > MAX_FRAME {
            self.jumbo_from.pop()
        } else {
            self.empty_from.pop()
        };
        let Ok(mut frame) = empty else {
            return Err(packet);
        };
        let filled = frame.fill(packet.frame.bytes());
        debug_assert!(filled.is_ok(), "its length was looked at");
        let handed = Handed {
            frame,
            origin: packet.origin,
            vnet: packet.vnet,
            answer: packet.is_answer(),
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
        if handed.frame.is_jumbo() {
            self.jumbo_posted -= 1;
        } else {
            self.posted -= 1;
        }
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
        let share = JUMBO_DEPTH.min(pool.jumbo_made() / 2 / self.peers);
        while self.jumbo_posted < share && !self.jumbo_to.is_full() {
            let Some(frame) = pool.take_for(MAX_JUMBO) else {
                break;
            };
            if let Err(rtrb::PushError::Full(frame)) = self.jumbo_to.push(frame) {
                pool.give(frame);
                break;
            }
            self.jumbo_posted += 1;
        }
    }

    /// Takes out every frame that can be reached from here, ours and the other worker's.
    pub fn drain(&mut self) -> Vec<Frame> {
        let filled = core::iter::from_fn(|| self.filled_from.pop().ok());
        let mut frames: Vec<Frame> = filled.map(|handed| handed.frame).collect();
        frames.extend(core::iter::from_fn(|| self.empty_from.pop().ok()));
        frames.extend(core::iter::from_fn(|| self.jumbo_from.pop().ok()));
        frames
    }

    /// Our chunks that are with the other worker, or on their way back.
    pub fn posted(&self) -> usize {
        self.posted
    }

    /// Our jumbo buffers that are with the other worker, or on their way back.
    pub fn jumbo_posted(&self) -> usize {
        self.jumbo_posted
    }
}

/// What nobody took home in good order ([`retire`](crate::retire)) is left where it is.
impl Drop for HandOff {
    fn drop(&mut self) {
        self.drain().into_iter().for_each(Frame::abandon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frame::{CHUNK, JUMBO, Region};

    fn pool(jumbo: usize) -> FramePool {
        let pool = FramePool::new(Region::heap(600));
        match jumbo {
            0 => pool,
            _ => pool.with_jumbo(Region::heap(jumbo * JUMBO / CHUNK)),
        }
    }

    fn packet(pool: &mut FramePool, len: usize) -> Packet {
        let mut frame = pool.take_for(len).unwrap();
        frame.fill(&vec![7; len]).unwrap();
        Packet::new(frame, 1)
    }

    /// The ends of two workers, each with its pool of so many jumbo buffers.
    fn two(jumbo: [usize; 2]) -> ([HandOff; 2], [FramePool; 2]) {
        let mut ends = hand_offs(2).into_iter().map(|mut ends| ends.remove(0));
        let ends = [ends.next().unwrap(), ends.next().unwrap()];
        (ends, jumbo.map(pool))
    }

    /// Ends both: every frame of either is home.
    fn end(mut ends: [HandOff; 2], mut pools: [FramePool; 2]) {
        for frame in ends.iter_mut().flat_map(HandOff::drain) {
            let owner = pools.iter_mut().find(|pool| pool.owns(&frame)).unwrap();
            owner.give(frame);
        }
        for pool in pools {
            assert_eq!(pool.free(), pool.made());
            assert_eq!(pool.jumbo_free(), pool.jumbo_made());
        }
    }

    #[test]
    fn a_frame_of_any_length_is_handed_over_in_a_buffer_of_the_receiver() {
        let (mut ends, mut pools) = two([8, 8]);
        ends[1].refill(&mut pools[1]);
        assert_eq!((ends[1].posted(), ends[1].jumbo_posted()), (DEPTH, 4));
        for len in [60, MAX_FRAME, MAX_FRAME + 1, MAX_JUMBO] {
            let packet = packet(&mut pools[0], len);
            ends[0].hand(packet, Task::Decide, &mut pools[0]).unwrap();
            let handed = ends[1].take().unwrap();
            assert!(handed.frame.bytes() == vec![7; len], "{len} bytes");
            assert_eq!(handed.frame.is_jumbo(), len > MAX_FRAME);
            pools[1].give(handed.frame);
        }
        assert_eq!((ends[1].posted(), ends[1].jumbo_posted()), (DEPTH - 2, 2));
        assert_eq!(pools[1].jumbo_free() + ends[1].jumbo_posted(), 8);
        assert_eq!(pools[0].jumbo_free(), 8);
        end(ends, pools);
    }

    #[test]
    fn a_long_frame_that_finds_no_buffer_comes_back_and_a_short_one_goes_on() {
        let (mut ends, mut pools) = two([8, 0]);
        ends[1].refill(&mut pools[1]);
        let long = packet(&mut pools[0], MAX_JUMBO);
        let Err(long) = ends[0].hand(long, Task::Decide, &mut pools[0]) else {
            panic!("the receiver has no jumbo buffer");
        };
        // Cut, it is no long frame any more, whatever it lies in.
        let mut cut = long;
        cut.frame.truncate(100);
        ends[0].hand(cut, Task::Decide, &mut pools[0]).unwrap();
        let handed = ends[1].take().unwrap();
        assert_eq!(handed.frame.bytes(), [7; 100]);
        pools[1].give(handed.frame);
        end(ends, pools);
    }
}
