//! Memory cut into chunks.

use crate::CHUNK;
use core::ptr::NonNull;

/// How a region's memory is given back: called once with its base and length in bytes.
type Release = unsafe fn(NonNull<u8>, usize);

/// Memory cut into chunks of [`CHUNK`] bytes, page aligned.
///
/// Whoever makes frames of it ([`FramePool`](crate::FramePool)) decides when it is freed.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    chunks: usize,
    release: Release,
}

// SAFETY: a region is plain memory with one owner; nothing in it belongs to a thread.
unsafe impl Send for Region {}

impl Region {
    /// Alignment of a region's first byte, in bytes: a page, which the kernel asks for.
    pub const ALIGN: usize = 4096;

    /// A region of `chunks` chunks on the heap, zeroed. For tests, and where no kernel is told.
    ///
    /// # Panics
    ///
    /// If `chunks` is 0 or not to be had.
    pub fn heap(chunks: usize) -> Self {
        let layout = layout(chunks * CHUNK);
        // SAFETY: the layout's size is not 0: `layout` refuses it.
        let base = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else {
            std::alloc::handle_alloc_error(layout)
        };
        Self {
            base,
            chunks,
            release: free_heap,
        }
    }

    /// A region over memory that somebody else made.
    ///
    /// # Safety
    ///
    /// `base` is aligned to [`ALIGN`](Self::ALIGN); `chunks * CHUNK` bytes from it on are readable
    /// and writable, initialised, and nobody else's until `release(base, bytes)` is called, once,
    /// from any thread.
    pub unsafe fn from_raw(base: NonNull<u8>, chunks: usize, release: Release) -> Self {
        Self {
            base,
            chunks,
            release,
        }
    }

    /// Its first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its chunks.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.chunks * CHUNK
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: whoever made the region promised that this may be called once, and it is here.
        unsafe { (self.release)(self.base, self.chunks * CHUNK) }
    }
}

fn layout(bytes: usize) -> std::alloc::Layout {
    assert!(bytes > 0, "a region has at least one chunk");
    std::alloc::Layout::from_size_align(bytes, Region::ALIGN).expect("a region fits in memory")
}

/// # Safety
///
/// `base` came from [`Region::heap`] with the same number of bytes.
unsafe fn free_heap(base: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise: same allocator, same layout.
    unsafe { std::alloc::dealloc(base.as_ptr(), layout(bytes)) }
}
