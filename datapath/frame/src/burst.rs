//! The frames of one device call.

use crate::{Frame, FramePool};

/// The frames of one device call, in order. Its room is made once and never grows.
#[derive(Debug)]
pub struct Burst {
    frames: Vec<Frame>,
    room: usize,
}

impl Burst {
    /// An empty burst with room for `room` frames.
    pub fn new(room: usize) -> Self {
        Self {
            frames: Vec::with_capacity(room),
            room,
        }
    }

    /// Adds a frame at the end.
    ///
    /// # Errors
    ///
    /// The frame itself, if there is no room.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.frames.len() == self.room {
            return Err(frame);
        }
        self.frames.push(frame);
        Ok(())
    }

    /// How many frames it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many more it takes.
    #[inline]
    pub fn room(&self) -> usize {
        self.room - self.frames.len()
    }

    /// The frames, in order.
    pub fn iter(&self) -> core::slice::Iter<'_, Frame> {
        self.frames.iter()
    }

    /// Takes the first `count` frames out, or all if there are fewer, in order.
    #[inline]
    pub fn take(&mut self, count: usize) -> impl Iterator<Item = Frame> + '_ {
        let count = count.min(self.frames.len());
        self.frames.drain(..count)
    }

    /// Gives every frame back to `pool`; says how many there were.
    pub fn give_all(&mut self, pool: &mut FramePool) -> usize {
        let count = self.frames.len();
        for frame in self.frames.drain(..) {
            pool.give(frame);
        }
        count
    }
}

impl<'a> IntoIterator for &'a Burst {
    type Item = &'a Frame;
    type IntoIter = core::slice::Iter<'a, Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
