//! The buffers for what no chunk holds.

use crate::{CHUNK, Frame, JUMBO, Region};
use core::mem::ManuallyDrop;

/// Bytes of a jumbo buffer, as a frame notes it.
#[allow(clippy::cast_possible_truncation)] // 10,240: `lib.rs` makes sure
const SIZE: u16 = JUMBO as u16;

/// The jumbo buffers of a pool: a stack of free ones over memory of their own.
#[derive(Debug)]
pub(crate) struct Jumbo {
    region: ManuallyDrop<Region>,
    free: Vec<Frame>,
    made: usize,
}

impl Jumbo {
    /// Makes one frame of every [`JUMBO`] bytes of `region`.
    pub(crate) fn new(region: Region) -> Self {
        let made = region.chunks() / (JUMBO / CHUNK);
        assert!(made > 0, "a region too small for one jumbo buffer");
        let mut free = Vec::with_capacity(made);
        for index in (0..made).rev() {
            // SAFETY: (index + 1) * JUMBO is no more than the region's bytes; each buffer is made
            // into one frame, here; the region is freed in `drop` only if every frame is home.
            free.push(unsafe { Frame::new(region.base().add(index * JUMBO), 0, 0, SIZE) });
        }
        Self {
            region: ManuallyDrop::new(region),
            free,
            made,
        }
    }

    /// An empty one; `None` if all are out.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let mut frame = self.free.pop()?;
        frame.clear();
        Some(frame)
    }

    /// Whether the frame is one of these.
    pub(crate) fn owns(&self, frame: &Frame) -> bool {
        let (buffer, base) = (frame.buffer().as_ptr().addr(), self.region.base());
        buffer.wrapping_sub(base.as_ptr().addr()) < self.region.bytes()
    }

    /// Takes back one of these: [`owns`](Self::owns) said so.
    pub(crate) fn give(&mut self, frame: Frame) {
        self.free.push(frame);
    }

    /// How many were made.
    pub(crate) fn made(&self) -> usize {
        self.made
    }

    /// How many are here.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }
}

impl Drop for Jumbo {
    fn drop(&mut self) {
        let home = self.free.len() == self.made;
        for frame in self.free.drain(..) {
            frame.into_buffer();
        }
        if home {
            // SAFETY: every frame of the region is home and was just unmade, so nobody can reach
            // its memory any more. A region with a frame still out is left in place for ever.
            unsafe { ManuallyDrop::drop(&mut self.region) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Borrower, FramePool, HEADROOM, MAX_FRAME, MAX_JUMBO, TooLong};

    fn pool(chunks: usize, jumbo: usize) -> FramePool {
        let long = Region::heap(jumbo * JUMBO / CHUNK);
        FramePool::new(Region::heap(chunks)).with_jumbo(long)
    }

    #[test]
    fn a_length_gets_the_smallest_buffer_that_holds_it() {
        let mut pool = pool(2, 2);
        for (len, jumbo) in [
            (0, false),
            (MAX_FRAME, false),
            (MAX_FRAME + 1, true),
            (MAX_JUMBO, true),
        ] {
            let mut frame = pool.take_for(len).unwrap();
            assert_eq!((frame.is_jumbo(), frame.headroom()), (jumbo, HEADROOM));
            assert_eq!(frame.fill(&vec![7; len]), Ok(()), "{len} bytes");
            assert_eq!(frame.bytes(), vec![7; len]);
            pool.give(frame);
        }
        assert!(pool.take_for(MAX_JUMBO + 1).is_none());
        assert_eq!((pool.free(), pool.made()), (2, 2));
        assert_eq!((pool.jumbo_free(), pool.jumbo_made()), (2, 2));
    }

    #[test]
    fn a_pool_that_was_given_none_has_none() {
        let mut pool = FramePool::new(Region::heap(1));
        assert!(pool.take_for(MAX_FRAME + 1).is_none());
        assert_eq!((pool.jumbo_free(), pool.jumbo_made()), (0, 0));
    }

    #[test]
    fn every_buffer_is_one_frame_and_comes_home_by_its_address() {
        let mut pool = pool(3, 3);
        let mut out: Vec<_> = (0..6)
            .map(|n| {
                pool.take_for(if n % 2 == 0 { 60 } else { MAX_JUMBO })
                    .unwrap()
            })
            .collect();
        assert!(pool.take_for(60).is_none() && pool.take_for(MAX_JUMBO).is_none());
        for (n, frame) in out.iter_mut().enumerate() {
            frame
                .fill(&vec![u8::try_from(n).unwrap(); frame.holds()])
                .unwrap();
        }
        for (n, frame) in out.iter().enumerate() {
            assert!(
                frame.bytes().iter().all(|b| usize::from(*b) == n),
                "frame {n} is its own"
            );
            assert!(pool.owns(frame));
        }
        for frame in out {
            pool.give(frame);
        }
        assert_eq!((pool.free(), pool.jumbo_free()), (3, 3));
    }

    #[test]
    fn headers_go_in_front_of_a_long_frame_and_bytes_behind_it() {
        let mut pool = pool(1, 1);
        let mut frame = pool.take_for(9000).unwrap();
        frame.fill(&[1; 9000]).unwrap();
        frame.prepend::<42>().unwrap().fill(2);
        assert_eq!(frame.append(&vec![3; MAX_JUMBO - 9000]), Ok(()));
        assert_eq!(
            (frame.len(), frame.headroom()),
            (MAX_JUMBO + 42, HEADROOM - 42)
        );
        assert_eq!(frame.append(&[4]), Err(TooLong), "its buffer ends here");
        assert_eq!((frame.bytes()[41], frame.bytes()[42]), (2, 1));
        assert_eq!((frame.bytes()[9041], frame.bytes()[9042]), (1, 3));
        assert!(frame.strip(42));
        frame.truncate(100);
        assert_eq!(frame.bytes(), [1; 100]);
        assert_eq!(frame.fill(&[0; MAX_JUMBO + 1]), Err(TooLong));
        pool.give(frame);
    }

    #[test]
    #[should_panic(expected = "no chunk of its pool")]
    fn a_jumbo_buffer_is_not_lent() {
        let mut pool = pool(1, 1);
        let frame = pool.take_for(MAX_JUMBO).unwrap();
        pool.lend(frame, Borrower::new(1));
    }

    #[test]
    #[should_panic(expected = "came home to the wrong pool")]
    fn a_jumbo_buffer_of_another_pool_is_refused() {
        let (mut one, mut two) = (pool(1, 1), pool(1, 1));
        let frame = one.take_for(MAX_JUMBO).unwrap();
        two.give(frame);
    }

    #[test]
    fn an_abandoned_buffer_keeps_its_memory_and_none_other() {
        let mut pool = pool(1, 2);
        let mut frame = pool.take_for(MAX_JUMBO).unwrap();
        frame.fill(&[5; MAX_JUMBO]).unwrap();
        drop(pool);
        assert_eq!(frame.bytes(), [5; MAX_JUMBO], "its memory is still there");
        frame.abandon();
    }

    #[test]
    #[should_panic(expected = "too small for one jumbo buffer")]
    fn a_region_too_small_is_a_bug() {
        let _ = FramePool::new(Region::heap(1)).with_jumbo(Region::heap(4));
    }
}
