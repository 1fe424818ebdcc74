//! One owned buffer.

use crate::{CHUNK, HEADROOM};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

/// Frames that were dropped instead of given back, in this process. 0, or there is a bug.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many frames were dropped instead of given back, in this process.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// The bytes did not fit into the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// One owned buffer: headroom, bytes, tail, in one chunk or one jumbo buffer.
///
/// It is moved, never copied, and returned to its pool, never dropped: a dropped frame panics in
/// a debug build and is counted in a release build ([`lost`]).
#[derive(Debug)]
pub struct Frame {
    buffer: NonNull<u8>,
    start: u16,
    len: u16,
    /// Bytes of the buffer: [`CHUNK`] or [`JUMBO`](crate::JUMBO).
    size: u16,
}

// SAFETY: a frame is the only owner of its buffer, wherever it is.
unsafe impl Send for Frame {}

impl Frame {
    /// A frame over the buffer of `size` bytes at `buffer`.
    ///
    /// # Safety
    ///
    /// `buffer` is the start of `size` bytes of a live region; no other frame, and nobody a frame
    /// was lent to, has any of them; the region outlives the frame. `start + len <= size`.
    pub(crate) unsafe fn new(buffer: NonNull<u8>, start: u16, len: u16, size: u16) -> Self {
        debug_assert!(usize::from(start) + usize::from(len) <= usize::from(size));
        Self {
            buffer,
            start,
            len,
            size,
        }
    }

    /// Where its buffer starts, and its bytes in it; consumes the frame without counting it as
    /// lost.
    pub(crate) fn into_buffer(self) -> (NonNull<u8>, u16, u16) {
        let parts = (self.buffer, self.start, self.len);
        core::mem::forget(self);
        parts
    }

    /// Where its buffer starts.
    pub(crate) fn buffer(&self) -> NonNull<u8> {
        self.buffer
    }

    /// Whether it lies in a jumbo buffer, however few bytes it carries. Such a frame cannot be
    /// lent.
    #[inline]
    pub fn is_jumbo(&self) -> bool {
        usize::from(self.size) > CHUNK
    }

    /// The most bytes it can carry with [`HEADROOM`] in front: [`MAX_FRAME`](crate::MAX_FRAME) or
    /// [`MAX_JUMBO`](crate::MAX_JUMBO).
    #[inline]
    pub fn holds(&self) -> usize {
        usize::from(self.size) - HEADROOM
    }

    /// Leaves its buffer where it is, for ever: its pool cannot be reached any more. The pool's
    /// memory is then not freed.
    pub fn abandon(self) {
        core::mem::forget(self);
    }

    /// Empties it, with [`HEADROOM`] in front.
    #[allow(clippy::cast_possible_truncation)] // HEADROOM is 256
    pub fn clear(&mut self) {
        self.start = HEADROOM as u16;
        self.len = 0;
    }

    /// How many bytes it carries.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether it carries none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes may still be put in front.
    pub fn headroom(&self) -> usize {
        usize::from(self.start)
    }

    /// The bytes it carries.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: start + len <= size always, the buffer is ours and initialised.
        unsafe {
            let first = self.buffer.as_ptr().add(usize::from(self.start));
            core::slice::from_raw_parts(first, usize::from(self.len))
        }
    }

    /// The bytes it carries, to be changed.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: start + len <= size always, the buffer is ours alone and initialised.
        unsafe {
            let first = self.buffer.as_ptr().add(usize::from(self.start));
            core::slice::from_raw_parts_mut(first, usize::from(self.len))
        }
    }

    /// Puts `N` bytes in front, to be written by the caller: what is in them is what was left
    /// there. `None`, and nothing changed, if the headroom is too small.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // N <= headroom <= size
    pub fn prepend<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        if N > self.headroom() {
            return None;
        }
        self.start -= N as u16;
        self.len += N as u16;
        self.bytes_mut().first_chunk_mut()
    }

    /// Puts `bytes` in front. False, and nothing changed, if the headroom is too small.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // at most the headroom
    pub fn prepend_bytes(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.headroom() {
            return false;
        }
        self.start -= bytes.len() as u16;
        self.len += bytes.len() as u16;
        self.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        true
    }

    /// Takes `bytes` away from the front. False, and nothing changed, if there are not so many.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // bytes <= len <= size
    pub fn strip(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.len();
        if fits {
            self.start += bytes as u16;
            self.len -= bytes as u16;
        }
        fits
    }

    /// Cuts it to `len` bytes; does nothing if it has no more than that.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the smaller of the two fits
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len().min(len) as u16;
    }

    /// Replaces all it carries by `bytes`, with [`HEADROOM`] in front.
    ///
    /// # Errors
    ///
    /// [`TooLong`], and the frame is empty, if it does not [hold](Self::holds) so many.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // checked against what it holds
    pub fn fill(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.clear();
        if bytes.len() > self.holds() {
            return Err(TooLong);
        }
        self.len = bytes.len() as u16;
        self.bytes_mut().copy_from_slice(bytes);
        Ok(())
    }

    /// Adds `bytes` behind what it carries.
    ///
    /// # Errors
    ///
    /// [`TooLong`], and nothing changed, if its buffer ends before that.
    #[allow(clippy::cast_possible_truncation)] // checked against what is left of the buffer
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let (end, size) = (self.start + self.len, self.size);
        if bytes.len() > usize::from(size - end) {
            return Err(TooLong);
        }
        let before = self.len();
        self.len += bytes.len() as u16;
        self.bytes_mut()[before..].copy_from_slice(bytes);
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        LOST.fetch_add(1, Ordering::Relaxed);
        debug_assert!(
            std::thread::panicking(),
            "a frame was dropped instead of given back"
        );
    }
}
