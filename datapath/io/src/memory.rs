//! A device without a kernel: what is sent at one end is received at the other.

use crate::Device;
use frame::{Burst, FramePool, MAX_FRAME, MAX_JUMBO};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device and the other end of its wire, with room for `room` frames each way.
pub fn pair(room: usize) -> (MemoryDevice, MemoryEnd) {
    let wire = Wire {
        inwards: Arc::new(Mutex::new(Queue::new(room))),
        outwards: Arc::new(Mutex::new(Queue::new(room))),
    };
    (MemoryDevice(wire.clone()), MemoryEnd(wire))
}

/// The worker's end: a [`Device`].
#[derive(Debug)]
pub struct MemoryDevice(Wire);

/// The world's end: where a test puts frames in and takes out what was sent.
#[derive(Clone, Debug)]
pub struct MemoryEnd(Wire);

/// Two queues of bytes, one each way.
#[derive(Clone, Debug)]
struct Wire {
    inwards: Arc<Mutex<Queue>>,
    outwards: Arc<Mutex<Queue>>,
}

/// Frames on their way, oldest first.
///
/// - Bound: its room. What does not fit is refused.
/// - Memory: a buffer that was taken out is used again, so nothing is allocated once each has
///   carried its longest frame.
#[derive(Debug)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    room: usize,
}

impl Queue {
    fn new(room: usize) -> Self {
        Self {
            frames: VecDeque::with_capacity(room),
            spare: Vec::with_capacity(room),
            room,
        }
    }

    fn is_full(&self) -> bool {
        self.frames.len() == self.room
    }

    fn put(&mut self, bytes: &[u8]) -> bool {
        if self.is_full() {
            return false;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.frames.push_back(buffer);
        true
    }
}

fn open(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // A test that panicked at the other end has left whole frames: every step keeps them whole.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device for MemoryDevice {
    /// A frame longer than the pool's buffers hold is dropped, as a kernel does.
    fn receive(&mut self, pool: &mut FramePool, into: &mut Burst) -> usize {
        let mut queue = open(&self.0.inwards);
        let mut received = 0;
        let longest = if pool.jumbo_made() > 0 {
            MAX_JUMBO
        } else {
            MAX_FRAME
        };
        while into.room() > 0 {
            let Some(next) = queue.frames.front() else {
                break;
            };
            let len = next.len().min(longest);
            let Some(mut frame) = pool.take_for(len) else {
                break;
            };
            let Some(bytes) = queue.frames.pop_front() else {
                pool.give(frame);
                break;
            };
            let fits = frame.fill(&bytes).is_ok();
            queue.spare.push(bytes);
            let pushed = if fits { into.push(frame) } else { Err(frame) };
            match pushed {
                Ok(()) => received += 1,
                Err(frame) => pool.give(frame),
            }
        }
        received
    }

    fn send(&mut self, pool: &mut FramePool, frames: &mut Burst) {
        let mut queue = open(&self.0.outwards);
        let count = queue.room - queue.frames.len();
        for frame in frames.take(count) {
            queue.put(frame.bytes());
            pool.give(frame);
        }
    }

    fn reclaim(&mut self, _: &mut FramePool) {}
}

impl MemoryEnd {
    /// Puts a frame in, to be received by the device. False, and nothing happened, if there is no
    /// room.
    pub fn inject(&self, bytes: &[u8]) -> bool {
        open(&self.0.inwards).put(bytes)
    }

    /// The oldest frame the device sent and nobody took.
    pub fn take(&self) -> Option<Vec<u8>> {
        open(&self.0.outwards).frames.pop_front()
    }

    /// Takes the oldest frame the device sent, shows it to `look`, and uses its buffer again.
    pub fn take_with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut queue = open(&self.0.outwards);
        let bytes = queue.frames.pop_front()?;
        let seen = look(&bytes);
        queue.spare.push(bytes);
        Some(seen)
    }

    /// All that the device sent and nobody took, oldest first.
    pub fn take_all(&self) -> Vec<Vec<u8>> {
        open(&self.0.outwards).frames.drain(..).collect()
    }

    /// Throws away all that the device sent; says how many there were.
    pub fn discard(&self) -> usize {
        let queue = &mut *open(&self.0.outwards);
        let count = queue.frames.len();
        queue.spare.extend(queue.frames.drain(..));
        count
    }

    /// Frames that were put in and not yet received.
    pub fn waiting(&self) -> usize {
        open(&self.0.inwards).frames.len()
    }

    /// Frames that were sent and not yet taken.
    pub fn sent(&self) -> usize {
        open(&self.0.outwards).frames.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frame::Region;

    #[test]
    fn what_goes_in_at_one_end_comes_out_at_the_other_in_order() {
        let mut pool = FramePool::new(Region::heap(8));
        let (mut device, end) = pair(4);
        for n in 0..4 {
            assert!(end.inject(&[n; 60]));
        }
        assert!(!end.inject(&[9; 60]), "no room for a fifth");

        let mut burst = Burst::new(3);
        assert_eq!(device.receive(&mut pool, &mut burst), 3);
        assert_eq!((end.waiting(), pool.free()), (1, 5));
        device.send(&mut pool, &mut burst);
        assert_eq!((burst.len(), pool.free()), (0, 8));
        let sent = end.take_all();
        assert_eq!(sent, [vec![0; 60], vec![1; 60], vec![2; 60]]);
    }

    #[test]
    fn what_does_not_fit_stays_with_the_sender() {
        let mut pool = FramePool::new(Region::heap(8));
        let (mut device, end) = pair(2);
        let mut burst = Burst::new(4);
        for n in 0..4 {
            let mut frame = pool.take().unwrap();
            frame.fill(&[n; 60]).unwrap();
            burst.push(frame).unwrap();
        }
        device.send(&mut pool, &mut burst);
        assert_eq!((burst.len(), end.sent()), (2, 2));
        assert_eq!(end.take_with(|bytes| bytes[0]), Some(0));
        device.send(&mut pool, &mut burst);
        assert_eq!((burst.len(), end.discard()), (1, 2));
        assert_eq!(burst.give_all(&mut pool), 1);
        assert_eq!(pool.free(), pool.made());
    }

    #[test]
    fn an_empty_pool_leaves_frames_waiting_and_one_too_long_is_dropped() {
        let mut pool = FramePool::new(Region::heap(1));
        let (mut device, end) = pair(4);
        end.inject(&[0; frame::MAX_FRAME + 1]);
        end.inject(&[1; 60]);
        end.inject(&[2; 60]);
        let mut burst = Burst::new(4);
        assert_eq!(device.receive(&mut pool, &mut burst), 1);
        assert_eq!(
            (burst.iter().next().unwrap().bytes()[0], end.waiting()),
            (1, 1)
        );
        burst.give_all(&mut pool);
        assert_eq!(device.receive(&mut pool, &mut burst), 1);
        burst.give_all(&mut pool);
    }

    #[test]
    fn a_long_frame_lies_in_a_jumbo_buffer_waits_for_one_and_passes_whole() {
        let jumbo = Region::heap(frame::JUMBO / frame::CHUNK);
        let mut pool = FramePool::new(Region::heap(4)).with_jumbo(jumbo);
        let (mut device, end) = pair(8);
        for (n, len) in (0..).zip([60, MAX_JUMBO + 1, MAX_FRAME + 1, MAX_JUMBO, 60]) {
            assert!(end.inject(&vec![n; len]));
        }
        let mut burst = Burst::new(8);
        for expected in [2, 2, 0] {
            assert_eq!(device.receive(&mut pool, &mut burst), expected);
            device.send(&mut pool, &mut burst);
            assert_eq!((pool.free(), pool.jumbo_free()), (4, 1));
        }
        let sent = [
            vec![0; 60],
            vec![2; MAX_FRAME + 1],
            vec![3; MAX_JUMBO],
            vec![4; 60],
        ];
        assert!(end.take_all() == sent);
    }
}
