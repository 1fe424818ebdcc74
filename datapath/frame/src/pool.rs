//! Where frames come from and go back to.

use crate::jumbo::Jumbo;
use crate::{CHUNK, Frame, HEADROOM, MAX_FRAME, MAX_JUMBO, Region};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Whom a frame is lent to: a number the caller chooses, 0 to [`Borrower::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrower(u16);

impl Borrower {
    /// The highest number.
    pub const MAX: u16 = u16::MAX - 1;

    /// The borrower called `number`.
    ///
    /// # Panics
    ///
    /// If `number` is above [`MAX`](Self::MAX).
    pub fn new(number: u16) -> Self {
        assert!(number <= Self::MAX, "borrower {number} is out of range");
        Self(number)
    }
}

/// In the table of borrowers: this chunk is lent to nobody.
const NOBODY: u16 = u16::MAX;

/// Where frames come from and go back to. One worker's, shared with nobody.
///
/// - Shape: a stack of free frames, so that the one used last, still in the cache, goes out first;
///   and one entry a chunk that says whom it is lent to. Jumbo buffers have a stack of their own.
/// - Bound: the region's chunks. An empty pool is an answer (`None`).
#[derive(Debug)]
pub struct FramePool {
    region: ManuallyDrop<Region>,
    free: Vec<Frame>,
    lent_to: Box<[u16]>,
    lent: usize,
    jumbo: Option<Jumbo>,
}

/// Bytes of a chunk, as a frame notes it.
#[allow(clippy::cast_possible_truncation)] // 2048
const SIZE: u16 = CHUNK as u16;

impl FramePool {
    /// Makes one frame a chunk of `region`.
    pub fn new(region: Region) -> Self {
        let chunks = region.chunks();
        let mut free = Vec::with_capacity(chunks);
        for index in (0..chunks).rev() {
            // SAFETY: index * CHUNK is inside the region; each chunk is made into one frame, here;
            // the region is freed in `drop` only if every frame is home.
            free.push(unsafe { Frame::new(region.base().add(index * CHUNK), 0, 0, SIZE) });
        }
        let lent_to = vec![NOBODY; chunks].into_boxed_slice();
        Self {
            region: ManuallyDrop::new(region),
            free,
            lent_to,
            lent: 0,
            jumbo: None,
        }
    }

    /// Makes one jumbo buffer of every [`JUMBO`](crate::JUMBO) bytes of `region`, which nobody who
    /// knows only addresses is told of; what is left over at its end lies unused.
    ///
    /// # Panics
    ///
    /// If it has jumbo buffers already, or if `region` is too small for one.
    #[must_use]
    pub fn with_jumbo(mut self, region: Region) -> Self {
        assert!(self.jumbo.is_none(), "jumbo buffers are made once");
        self.jumbo = Some(Jumbo::new(region));
        self
    }

    /// An empty frame with [`HEADROOM`] in front; `None` if all are out.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        let mut frame = self.free.pop()?;
        frame.clear();
        Some(frame)
    }

    /// An empty frame that holds `len` bytes with [`HEADROOM`] in front: a chunk if that is enough,
    /// else a jumbo buffer. `None` if all are out, or if there is none so long.
    #[inline]
    pub fn take_for(&mut self, len: usize) -> Option<Frame> {
        if len <= MAX_FRAME {
            self.take()
        } else {
            self.take_jumbo(len)
        }
    }

    #[cold]
    fn take_jumbo(&mut self, len: usize) -> Option<Frame> {
        let jumbo = self.jumbo.as_mut().filter(|_| len <= MAX_JUMBO)?;
        jumbo.take()
    }

    /// Whether the frame is one of its own.
    pub fn owns(&self, frame: &Frame) -> bool {
        let jumbo = self.jumbo.as_ref();
        self.index(frame.buffer()).is_some() || jumbo.is_some_and(|jumbo| jumbo.owns(frame))
    }

    /// Takes a frame back.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's: that is a bug, and to go on would mix their memory.
    #[inline]
    pub fn give(&mut self, frame: Frame) {
        if self.index(frame.buffer()).is_some() {
            self.free.push(frame);
        } else {
            self.give_jumbo(frame);
        }
    }

    #[cold]
    fn give_jumbo(&mut self, frame: Frame) {
        match &mut self.jumbo {
            Some(jumbo) if jumbo.owns(&frame) => jumbo.give(frame),
            _ => panic!("a frame came home to the wrong pool"),
        }
    }

    /// Lends a frame to somebody who knows only addresses; returns the address of its first
    /// byte, in bytes from the region's start.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's, or lies in a jumbo buffer.
    #[inline]
    pub fn lend(&mut self, frame: Frame, to: Borrower) -> u64 {
        let Some(index) = self.index(frame.buffer()) else {
            panic!("a frame was lent that is no chunk of its pool")
        };
        let (_, start, _) = frame.into_buffer();
        self.lent_to[index] = to.0;
        self.lent += 1;
        (index * CHUNK + usize::from(start)) as u64
    }

    /// Restores the frame at `address`, that `from` had borrowed, with `len` bytes from there on.
    /// `None`, and nothing changed, if it had not, or if the bytes do not lie in one chunk.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // checked against CHUNK
    pub fn restore(&mut self, address: u64, len: usize, from: Borrower) -> Option<Frame> {
        let address = usize::try_from(address).ok()?;
        let (index, start) = (address / CHUNK, address % CHUNK);
        let lent_to = self.lent_to.get_mut(index)?;
        if *lent_to != from.0 || len > CHUNK - start {
            return None;
        }
        *lent_to = NOBODY;
        self.lent -= 1;
        // SAFETY: the chunk is inside the region (`get_mut` found it); it was lent, so no frame
        // has it, and it is marked as lent no more; start + len <= CHUNK.
        Some(unsafe {
            Frame::new(
                self.region.base().add(index * CHUNK),
                start as u16,
                len as u16,
                SIZE,
            )
        })
    }

    /// Takes back all that `from` had borrowed; says how many there were. The caller knows that
    /// the borrower is gone. Looks at every chunk: not for the path.
    pub fn reclaim_all(&mut self, from: Borrower) -> usize {
        let mut count = 0;
        for index in 0..self.lent_to.len() {
            if let Some(frame) = self.restore((index * CHUNK + HEADROOM) as u64, 0, from) {
                self.free.push(frame);
                count += 1;
            }
        }
        count
    }

    /// The memory its chunks lie in: base, and bytes. All that is ever lent is in it.
    pub fn memory(&self) -> (NonNull<u8>, usize) {
        (self.region.base(), self.region.bytes())
    }

    /// Chunks made at start.
    pub fn made(&self) -> usize {
        self.lent_to.len()
    }

    /// Chunks in the pool now.
    #[inline]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Chunks lent now.
    #[inline]
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Jumbo buffers made at start.
    #[inline]
    pub fn jumbo_made(&self) -> usize {
        self.jumbo.as_ref().map_or(0, Jumbo::made)
    }

    /// Jumbo buffers in the pool now.
    pub fn jumbo_free(&self) -> usize {
        self.jumbo.as_ref().map_or(0, Jumbo::free)
    }

    /// The index of the chunk at `chunk`, if it is one of ours.
    #[inline]
    fn index(&self, chunk: NonNull<u8>) -> Option<usize> {
        let offset = (chunk.as_ptr() as usize).wrapping_sub(self.region.base().as_ptr() as usize);
        (offset < self.region.bytes()).then_some(offset / CHUNK)
    }
}

impl Drop for FramePool {
    fn drop(&mut self) {
        let home = self.free.len() == self.made();
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

    const KERNEL: Borrower = Borrower(7);

    #[test]
    fn every_chunk_is_one_frame_and_comes_home() {
        let mut pool = FramePool::new(Region::heap(4));
        let mut out: Vec<_> = core::iter::from_fn(|| pool.take()).collect();
        assert_eq!((out.len(), pool.free(), pool.made()), (4, 0, 4));
        for (n, frame) in out.iter_mut().enumerate() {
            frame.fill(&[u8::try_from(n).unwrap(); 100]).unwrap();
        }
        for (n, frame) in out.iter().enumerate() {
            assert!(
                frame.bytes().iter().all(|b| usize::from(*b) == n),
                "frame {n} is its own"
            );
        }
        for frame in out {
            pool.give(frame);
        }
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn what_was_not_lent_is_not_restored() {
        let mut pool = FramePool::new(Region::heap(2));
        let frame = pool.take().unwrap();
        let address = pool.lend(frame, KERNEL);
        assert_eq!(pool.lent(), 1);
        assert!(
            pool.restore(address, 10, Borrower(8)).is_none(),
            "another borrower"
        );
        assert!(
            pool.restore(address, CHUNK, KERNEL).is_none(),
            "past the chunk's end"
        );
        assert!(
            pool.restore(u64::MAX, 10, KERNEL).is_none(),
            "no such chunk"
        );
        let frame = pool.restore(address, 10, KERNEL).unwrap();
        assert_eq!((frame.len(), frame.headroom()), (10, HEADROOM));
        assert!(pool.restore(address, 10, KERNEL).is_none(), "twice");
        pool.give(frame);
        assert_eq!((pool.free(), pool.lent()), (2, 0));
    }

    #[test]
    fn a_borrower_that_is_gone_gives_all_back() {
        let mut pool = FramePool::new(Region::heap(8));
        for _ in 0..3 {
            let frame = pool.take().unwrap();
            pool.lend(frame, KERNEL);
        }
        let other = pool.take().unwrap();
        let other = pool.lend(other, Borrower(1));
        assert_eq!(pool.reclaim_all(KERNEL), 3);
        assert_eq!((pool.free(), pool.lent()), (7, 1));
        let frame = pool.restore(other, 0, Borrower(1)).unwrap();
        pool.give(frame);
    }

    #[test]
    fn headers_go_in_front_and_come_off() {
        let mut pool = FramePool::new(Region::heap(1));
        let mut frame = pool.take().unwrap();
        frame.fill(b"inner").unwrap();
        frame.prepend::<5>().unwrap().copy_from_slice(b"outer");
        assert_eq!(frame.bytes(), b"outerinner");
        assert!(!frame.strip(11));
        assert!(frame.strip(5));
        frame.truncate(2);
        assert_eq!(frame.bytes(), b"in");
        assert!(frame.prepend::<300>().is_none(), "more than the headroom");
        assert_eq!(frame.fill(&[0; crate::MAX_FRAME + 1]), Err(crate::TooLong));
        pool.give(frame);
    }

    #[test]
    #[should_panic(expected = "wrong pool")]
    fn a_frame_of_another_pool_is_refused() {
        let (mut one, mut two) = (
            FramePool::new(Region::heap(1)),
            FramePool::new(Region::heap(1)),
        );
        let frame = one.take().unwrap();
        two.give(frame);
    }

    #[test]
    #[should_panic(expected = "instead of given back")]
    fn a_dropped_frame_is_a_bug() {
        let mut pool = FramePool::new(Region::heap(1));
        drop(pool.take());
    }
}
