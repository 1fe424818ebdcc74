//! Memory for frames, in the largest pages to be had.

use core::ptr::NonNull;
use frame::{CHUNK, Region};
use std::io;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Memory for frames.
#[derive(Debug)]
pub struct Memory;

/// What kind of pages a region got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Huge pages the administrator set aside (`vm.nr_hugepages`).
    Reserved,
    /// Ordinary memory that the kernel was asked to gather into huge pages.
    Gathered,
    /// Ordinary 4 KiB pages.
    Small,
}

/// There is no memory for the frames.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// None was asked for.
    #[error("a region of no chunks was asked for")]
    Empty,
    /// The kernel has none.
    #[error("{bytes} bytes of memory for frames are not to be had: {source}")]
    Refused {
        /// How many bytes were asked for.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Memory {
    /// Maps a region of `chunks` chunks, zeroed and present in memory: no page of it is missing
    /// when the first frame arrives.
    ///
    /// With `huge`, 2 MiB pages are tried first: reserved ones, then gathered ones; what it got is
    /// said. Without them a frame costs more translation, and nothing else changes.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] if there is no such memory of any kind.
    pub fn map(chunks: usize, huge: bool) -> Result<(Region, Pages), MemoryError> {
        if chunks == 0 {
            return Err(MemoryError::Empty);
        }
        let refused = |source| MemoryError::Refused {
            bytes: chunks.saturating_mul(CHUNK),
            source,
        };
        let bytes = chunks
            .checked_mul(CHUNK)
            .filter(|bytes| *bytes <= isize::MAX as usize - HUGE)
            .ok_or_else(|| refused(io::ErrorKind::OutOfMemory.into()))?;

        if huge && let Ok(base) = map(bytes.next_multiple_of(HUGE), RESERVED | PRESENT) {
            // SAFETY: a fresh mapping of at least `bytes`, aligned to a huge page, zeroed, and
            // nobody else's; `unmap_reserved` unmaps all of it.
            let region = unsafe { Region::from_raw(base, chunks, unmap_reserved) };
            return Ok((region, Pages::Reserved));
        }
        let (base, pages) = if huge {
            let base = map_aligned(bytes).map_err(refused)?;
            (base, gather(base, bytes))
        } else {
            (map(bytes, PRESENT).map_err(refused)?, Pages::Small)
        };
        // SAFETY: a fresh mapping of `bytes`, aligned to a page, zeroed, and nobody else's;
        // `unmap` unmaps all of it.
        let region = unsafe { Region::from_raw(base, chunks, unmap) };
        Ok((region, pages))
    }
}

/// From the pages set aside, 2 MiB each whatever the machine's usual huge page is.
const RESERVED: libc::c_int = libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;

/// With every page there before the call returns.
const PRESENT: libc::c_int = libc::MAP_POPULATE;

fn map(bytes: usize, flags: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: a new anonymous mapping where the kernel likes; nothing of ours is replaced.
    let base = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// A mapping of `bytes` that starts where a huge page could; none of it is present yet.
fn map_aligned(bytes: usize) -> io::Result<NonNull<u8>> {
    let bytes = bytes.next_multiple_of(Region::ALIGN);
    let whole = map(bytes + HUGE, 0)?;
    let front = whole.as_ptr().align_offset(HUGE);
    let back = HUGE - front;
    // SAFETY: `front < HUGE`, so both addresses lie in what was just mapped. The two ends that
    // are cut off are whole pages of it, and nobody has their addresses.
    unsafe {
        let base = whole.add(front);
        if front > 0 {
            libc::munmap(whole.as_ptr().cast(), front);
        }
        libc::munmap(base.add(bytes).as_ptr().cast(), back);
        Ok(base)
    }
}

/// Asks for huge pages behind a mapping, and makes every page present.
fn gather(base: NonNull<u8>, bytes: usize) -> Pages {
    // SAFETY: `base` and `bytes` are a mapping of ours; the advice changes no byte of it.
    let asked = unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) } == 0;
    for page in (0..bytes).step_by(Region::ALIGN) {
        // SAFETY: `page < bytes`: inside the mapping, which is writable and ours alone. Writing
        // what is there makes the page present; volatile, so that it is done.
        unsafe { base.add(page).write_volatile(0) };
    }
    if asked && bytes >= HUGE {
        Pages::Gathered
    } else {
        Pages::Small
    }
}

/// # Safety
///
/// `base` and `bytes` are those of a region over a mapping of ordinary pages.
unsafe fn unmap(base: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise; nobody has the region any more.
    unsafe { libc::munmap(base.as_ptr().cast(), bytes) };
}

/// # Safety
///
/// `base` and `bytes` are those of a region over a mapping of reserved huge pages.
unsafe fn unmap_reserved(base: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise; such a mapping is unmapped by whole huge pages only.
    unsafe { libc::munmap(base.as_ptr().cast(), bytes.next_multiple_of(HUGE)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use frame::FramePool;

    #[test]
    fn a_region_of_any_size_is_writable_to_its_last_byte_and_goes_away() {
        for huge in [false, true] {
            for chunks in [1, 2, 3, 1023, 1024, 1025, 4096] {
                let (region, pages) = Memory::map(chunks, huge).unwrap();
                assert_eq!(region.chunks(), chunks);
                assert_eq!(region.base().as_ptr().align_offset(Region::ALIGN), 0);
                assert!(huge || pages == Pages::Small);

                let mut pool = FramePool::new(region);
                let mut frames: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
                for frame in &mut frames {
                    frame.fill(&[0xa5; frame::MAX_FRAME]).unwrap();
                }
                for frame in frames {
                    pool.give(frame);
                }
            }
        }
    }

    #[test]
    fn gathered_memory_starts_where_a_huge_page_could() {
        let (region, _) = Memory::map(2048, true).unwrap();
        assert_eq!(region.base().as_ptr().align_offset(HUGE), 0);
    }

    #[test]
    fn nothing_and_more_than_there_is_are_refused() {
        assert!(matches!(Memory::map(0, true), Err(MemoryError::Empty)));
        for chunks in [usize::MAX, usize::MAX / CHUNK, 1 << 45] {
            let refused = Memory::map(chunks, true);
            assert!(
                matches!(refused, Err(MemoryError::Refused { .. })),
                "{chunks}"
            );
        }
    }
}
