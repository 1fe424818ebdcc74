//! The books of a pool, whatever its callers do: beside a model that only counts.
#![allow(clippy::unwrap_used)] // a test may

use frame::{Borrower, CHUNK, Frame, FramePool, JUMBO, MAX_FRAME, MAX_JUMBO, Region};
use proptest::collection::vec;
use proptest::prelude::*;

const CHUNKS: usize = 8;
const LONG: usize = 3;

/// What a caller may do; numbers choose among what is out or lent, and bring their own bound.
#[derive(Clone, Debug)]
enum Act {
    Take(usize),
    Give(usize),
    Lend(usize, u16),
    Restore(usize, usize),
    ReclaimAll(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..MAX_JUMBO + 100).prop_map(Act::Take),
        2 => any::<usize>().prop_map(Act::Give),
        2 => (any::<usize>(), 0..2u16).prop_map(|(n, to)| Act::Lend(n, to)),
        2 => (any::<usize>(), 0..=CHUNK).prop_map(|(n, len)| Act::Restore(n, len)),
        1 => (0..2u16).prop_map(Act::ReclaimAll),
    ]
}

/// What is outside the pool, and what is in each frame.
#[derive(Default)]
struct Outside {
    frames: Vec<(Frame, u8)>,
    lent: Vec<(u64, u16)>,
    next: u8,
}

impl Outside {
    fn act(&mut self, pool: &mut FramePool, act: &Act) {
        match *act {
            Act::Take(len) => {
                let free = if len <= MAX_FRAME {
                    pool.free()
                } else {
                    pool.jumbo_free()
                };
                let taken = pool.take_for(len);
                assert_eq!(taken.is_some(), free > 0 && len <= MAX_JUMBO, "{len} bytes");
                if let Some(mut frame) = taken {
                    self.next = self.next.wrapping_add(1);
                    frame.fill(&vec![self.next; len]).unwrap();
                    self.frames.push((frame, self.next));
                }
            }
            Act::Give(n) if !self.frames.is_empty() => {
                let (frame, _) = self.frames.swap_remove(n % self.frames.len());
                pool.give(frame);
            }
            Act::Lend(n, to) if !self.frames.is_empty() => {
                let n = n % self.frames.len();
                if !self.frames[n].0.is_jumbo() {
                    let (frame, _) = self.frames.swap_remove(n);
                    self.lent.push((pool.lend(frame, Borrower::new(to)), to));
                }
            }
            Act::Restore(n, len) if !self.lent.is_empty() => {
                let n = n % self.lent.len();
                let (address, from) = self.lent[n];
                if let Some(frame) = pool.restore(address, len, Borrower::new(from)) {
                    self.lent.swap_remove(n);
                    pool.give(frame);
                }
            }
            Act::ReclaimAll(from) => {
                let before = self.lent.len();
                self.lent.retain(|(_, to)| *to != from);
                assert_eq!(
                    pool.reclaim_all(Borrower::new(from)),
                    before - self.lent.len()
                );
            }
            _ => {}
        }
    }

    fn count(&self, jumbo: bool) -> usize {
        self.frames
            .iter()
            .filter(|(frame, _)| frame.is_jumbo() == jumbo)
            .count()
    }
}

proptest! {
    #[test]
    fn free_and_lent_and_in_somebodys_hands_is_made_for_each_kind(acts in vec(act(), 1..200)) {
        let long = Region::heap(LONG * JUMBO / CHUNK);
        let mut pool = FramePool::new(Region::heap(CHUNKS)).with_jumbo(long);
        let mut outside = Outside::default();
        for act in &acts {
            outside.act(&mut pool, act);
            assert_eq!(pool.lent(), outside.lent.len());
            assert_eq!(pool.free() + pool.lent() + outside.count(false), CHUNKS);
            assert_eq!(pool.jumbo_free() + outside.count(true), LONG);
            for (frame, byte) in &outside.frames {
                assert!(frame.bytes().iter().all(|b| b == byte), "a frame lost its bytes");
            }
        }
        for (frame, _) in outside.frames {
            pool.give(frame);
        }
        for from in 0..2 {
            pool.reclaim_all(Borrower::new(from));
        }
        assert_eq!((pool.free(), pool.jumbo_free()), (CHUNKS, LONG));
    }

    /// However a long frame is cut, it comes together as it was, headroom and all.
    #[test]
    fn what_is_appended_piece_by_piece_is_the_whole(
        bytes in vec(any::<u8>(), 1..=MAX_JUMBO),
        piece in 1..=MAX_FRAME,
    ) {
        let long = Region::heap(JUMBO / CHUNK);
        let mut pool = FramePool::new(Region::heap(1)).with_jumbo(long);
        let mut frame = pool.take_for(bytes.len()).unwrap();
        for piece in bytes.chunks(piece) {
            frame.append(piece).unwrap();
        }
        let same = frame.bytes() == bytes;
        pool.give(frame);
        prop_assert!(same);
    }
}
