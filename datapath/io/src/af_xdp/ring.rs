//! A ring shared with the kernel: one side puts, the other takes.
//!
//! Source: the kernel's `net/xdp/xsk_queue.h`. Two counters that only grow, modulo 2³²: the
//! producer's and the consumer's; the entry of a counter is at `counter & mask`. Whoever writes
//! entries publishes them by a release store of its counter, and reads the other's by an acquire
//! load. Each side keeps a copy of the other's counter, and looks again only when the copy says
//! that there is nothing to do: that look is the cache miss that rings are about.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What can lie in a ring: plain bits, the same for the kernel and for us.
pub(crate) trait Entry: Copy + Send + private::Sealed {}
impl Entry for u64 {}
impl Entry for libc::xdp_desc {}

mod private {
    pub(crate) trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for libc::xdp_desc {}
}

/// Where a ring's parts lie in its mapping, in bytes from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offsets {
    /// The producer's counter.
    pub(crate) producer: usize,
    /// The consumer's counter.
    pub(crate) consumer: usize,
    /// The flags the kernel sets.
    pub(crate) flags: usize,
    /// The first entry.
    pub(crate) entries: usize,
}

/// Memory shared with the kernel, and given back when dropped.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, page: libc::off_t, bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping of `fd` where the kernel likes; nothing of ours is replaced.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd.as_raw_fd(),
                page,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping `new` made, and nobody else has its address.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// What both ends know of a ring.
#[derive(Debug)]
struct Shared<T> {
    mapping: Mapping,
    offsets: Offsets,
    mask: u32,
    entries: PhantomData<T>,
}

// SAFETY: the mapping belongs to the process, not to a thread; entries are plain bits.
unsafe impl<T: Entry> Send for Shared<T> {}

impl<T: Entry> Shared<T> {
    /// Maps the ring of `size` entries at `page` of `fd`; refuses a layout that does not lie in it.
    fn new(fd: BorrowedFd<'_>, page: libc::off_t, offsets: Offsets, size: u32) -> io::Result<Self> {
        let aligned = |offset: usize, to: usize| offset.is_multiple_of(to);
        let counters = [offsets.producer, offsets.consumer, offsets.flags];
        if !size.is_power_of_two()
            || !counters.iter().all(|at| aligned(*at, align_of::<u32>()))
            || !aligned(offsets.entries, align_of::<T>())
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let end = counters.into_iter().max().unwrap_or(0) + size_of::<u32>();
        let bytes = end.max(offsets.entries + size as usize * size_of::<T>());
        Ok(Self {
            mapping: Mapping::new(fd, page, bytes)?,
            offsets,
            mask: size - 1,
            entries: PhantomData,
        })
    }

    fn size(&self) -> u32 {
        self.mask + 1
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `new` made the mapping reach past every counter and checked their alignment; a
        // page from the kernel is aligned to more than that. All bits are a u32.
        unsafe { self.mapping.base.add(offset).cast().as_ref() }
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        self.word(self.offsets.producer)
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        self.word(self.offsets.consumer)
    }

    /// The address of the entry of `counter`: inside the mapping, whatever the counter is.
    #[inline]
    fn entry(&self, counter: u32) -> NonNull<T> {
        let index = (counter & self.mask) as usize;
        // SAFETY: `new` made the mapping reach past `mask + 1` entries and checked alignment.
        unsafe {
            let first: NonNull<T> = self.mapping.base.add(self.offsets.entries).cast();
            first.add(index)
        }
    }
}

/// The end that puts: the fill ring, the send ring.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    shared: Shared<T>,
    /// The counter of the next entry to write; ahead of what is published until `submit`.
    head: u32,
    /// The kernel's counter when last read.
    tail: u32,
}

impl<T: Entry> Producer<T> {
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        page: libc::off_t,
        offsets: Offsets,
        size: u32,
    ) -> io::Result<Self> {
        let shared = Shared::new(fd, page, offsets, size)?;
        let head = shared.producer().load(Ordering::Relaxed);
        let tail = shared.consumer().load(Ordering::Acquire);
        Ok(Self { shared, head, tail })
    }

    /// How many entries it has.
    pub(crate) fn size(&self) -> u32 {
        self.shared.size()
    }

    /// Asks to be woken, as a kernel does.
    #[cfg(test)]
    pub(crate) fn ask_for_wakeup(&self) {
        let flags = self.shared.word(self.shared.offsets.flags);
        flags.store(libc::XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
    }

    /// How many entries may be put now. Looks at the other side only if there are fewer than
    /// `wanted` by what is known.
    #[inline]
    pub(crate) fn room(&mut self, wanted: u32) -> u32 {
        let known = self.shared.size() - self.head.wrapping_sub(self.tail);
        if known >= wanted {
            return known;
        }
        self.tail = self.shared.consumer().load(Ordering::Acquire);
        self.shared.size() - self.head.wrapping_sub(self.tail)
    }

    /// How many entries the other side has not taken yet, looked at now.
    #[inline]
    pub(crate) fn pending(&mut self) -> u32 {
        self.tail = self.shared.consumer().load(Ordering::Acquire);
        self.head.wrapping_sub(self.tail)
    }

    /// Writes the next entry. The caller knows from `room` that there is one.
    #[inline]
    pub(crate) fn put(&mut self, entry: T) {
        debug_assert!(self.head.wrapping_sub(self.tail) < self.shared.size());
        // SAFETY: the address is inside the mapping; the entry is between `tail` and `head +
        // size`, so the kernel does not read it before `submit`.
        unsafe { self.shared.entry(self.head).write(entry) };
        self.head = self.head.wrapping_add(1);
    }

    /// Publishes all that was put.
    #[inline]
    pub(crate) fn submit(&mut self) {
        self.shared.producer().store(self.head, Ordering::Release);
    }

    /// Whether the kernel asks to be woken, to look at the ring.
    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        let flags = self.shared.word(self.shared.offsets.flags);
        flags.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The end that takes: the receive ring, the completion ring.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    shared: Shared<T>,
    /// The kernel's counter when last read.
    head: u32,
    /// The counter of the next entry to read; ahead of what is published until `release`.
    tail: u32,
}

impl<T: Entry> Consumer<T> {
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        page: libc::off_t,
        offsets: Offsets,
        size: u32,
    ) -> io::Result<Self> {
        let shared = Shared::new(fd, page, offsets, size)?;
        let tail = shared.consumer().load(Ordering::Relaxed);
        let head = shared.producer().load(Ordering::Acquire);
        Ok(Self { shared, head, tail })
    }

    /// How many entries may be taken now. Looks at the other side only if there are fewer than
    /// `wanted` by what is known.
    #[inline]
    pub(crate) fn ready(&mut self, wanted: u32) -> u32 {
        let known = self.head.wrapping_sub(self.tail);
        if known >= wanted {
            return known;
        }
        self.head = self.shared.producer().load(Ordering::Acquire);
        self.head.wrapping_sub(self.tail).min(self.shared.size())
    }

    /// The counter of the other side, looked at now: whether it has moved.
    #[inline]
    pub(crate) fn moved_to(&self) -> u32 {
        self.shared.producer().load(Ordering::Relaxed)
    }

    /// Reads the next entry. The caller knows from `ready` that there is one.
    #[inline]
    pub(crate) fn take(&mut self) -> T {
        debug_assert!(self.head != self.tail);
        // SAFETY: the address is inside the mapping; the entry lies before `head`, which was read
        // with acquire, so the kernel has written it and does not write it before `release`.
        let entry = unsafe { self.shared.entry(self.tail).read() };
        self.tail = self.tail.wrapping_add(1);
        entry
    }

    /// Puts the last `count` entries back that were taken and not yet released.
    #[inline]
    pub(crate) fn put_back(&mut self, count: u32) {
        debug_assert!(
            count
                <= self
                    .tail
                    .wrapping_sub(self.shared.consumer().load(Ordering::Relaxed))
        );
        self.tail = self.tail.wrapping_sub(count);
    }

    /// Gives the room of all that was taken back to the other side.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.shared.consumer().store(self.tail, Ordering::Release);
    }
}

/// Rings that no kernel knows, for tests: both ends are ours.
#[cfg(test)]
pub(crate) mod unowned {
    use super::{Consumer, Entry, Offsets, Producer, Shared};
    use core::sync::atomic::Ordering;
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};

    pub(crate) const OFFSETS: Offsets = Offsets {
        producer: 0,
        consumer: 64,
        flags: 128,
        entries: 192,
    };

    /// Both ends of one ring of `size`, whose counters start at `start`.
    pub(crate) fn ring<T: Entry>(size: u32, start: u32) -> (Producer<T>, Consumer<T>) {
        // SAFETY: the name is a C string; a new descriptor is nobody else's.
        let memory = unsafe {
            let fd = libc::memfd_create(c"gh-ring".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        let file = std::fs::File::from(memory.try_clone().unwrap());
        file.set_len(1 << 20).unwrap();
        let shared = Shared::<T>::new(memory.as_fd(), 0, OFFSETS, size).unwrap();
        shared.producer().store(start, Ordering::Relaxed);
        shared.consumer().store(start, Ordering::Relaxed);
        (
            Producer::map(memory.as_fd(), 0, OFFSETS, size).unwrap(),
            Consumer::map(memory.as_fd(), 0, OFFSETS, size).unwrap(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::unowned::{OFFSETS, ring};
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_was_put_is_taken_in_order_across_the_end_of_the_counters() {
        let (mut producer, mut consumer) = ring::<u64>(8, u32::MAX - 20);
        let mut next = (0u64, 0u64);
        for step in 0..100u32 {
            let put = producer.room(u32::MAX).min(1 + step % 5);
            for _ in 0..put {
                producer.put(next.0);
                next.0 += 1;
            }
            producer.submit();
            for _ in 0..consumer.ready(8).min(1 + step % 3) {
                assert_eq!(consumer.take(), next.1);
                next.1 += 1;
            }
            consumer.release();
            assert_eq!(u64::from(producer.pending()), next.0 - next.1);
        }
        assert!(next.1 > 100, "the counters wrapped: {next:?}");
    }

    #[test]
    fn nothing_is_there_before_it_was_submitted_nor_free_before_it_was_released() {
        let (mut producer, mut consumer) = ring::<u64>(4, 0);
        for entry in 0..4 {
            producer.put(entry);
        }
        assert_eq!(consumer.ready(1), 0);
        producer.submit();
        assert_eq!(consumer.ready(1), 4);
        consumer.take();
        assert_eq!(producer.room(1), 0);
        consumer.release();
        assert_eq!((producer.room(1), producer.size()), (1, 4));
    }

    #[test]
    fn what_was_put_back_is_taken_again_and_was_never_free() {
        let (mut producer, mut consumer) = ring::<u64>(4, u32::MAX - 1);
        for entry in 0..4 {
            producer.put(entry);
        }
        producer.submit();
        assert_eq!(consumer.ready(4), 4);
        assert_eq!(
            (consumer.take(), consumer.take(), consumer.take()),
            (0, 1, 2)
        );
        consumer.put_back(2);
        consumer.release();
        assert_eq!(producer.room(4), 1);
        assert_eq!((consumer.ready(4), consumer.take()), (3, 1));
    }

    #[test]
    fn two_threads_lose_and_repeat_nothing() {
        const COUNT: u64 = 200_000;
        let (mut producer, mut consumer) = ring::<u64>(64, u32::MAX - 1000);
        let putting = std::thread::spawn(move || {
            let mut next = 0;
            while next < COUNT {
                let room = u64::from(producer.room(16)).min(COUNT - next);
                for entry in next..next + room {
                    producer.put(entry);
                }
                next += room;
                producer.submit();
                if room == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < COUNT {
            let ready = consumer.ready(16);
            for _ in 0..ready {
                assert_eq!(consumer.take(), next);
                next += 1;
            }
            consumer.release();
            if ready == 0 {
                std::thread::yield_now();
            }
        }
        putting.join().unwrap();
    }

    #[test]
    fn a_size_that_is_no_power_of_two_is_refused() {
        let file = std::fs::File::open("/dev/zero").unwrap();
        let ring = Producer::<u64>::map(file.as_fd(), 0, OFFSETS, 12);
        assert_eq!(ring.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
