//! The system calls of an `AF_XDP` socket.

use crate::af_xdp::ring::{Consumer, Entry, Offsets, Producer};
use frame::CHUNK;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Socket option: the most frames of one `sendto` in copy mode (Linux 6.17).
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// Socket options of preferred busy polling (Linux 5.11), missing in `libc` for this target.
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

/// An `AF_XDP` socket. Closed when dropped; the kernel lets go of the queue a little later.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: makes a descriptor; `from_raw_fd` gets it only if it is one, and alone.
        unsafe {
            let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    pub(crate) fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    fn set<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
        let bytes = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
        // SAFETY: the kernel reads `bytes` bytes at `value`, which are there.
        let failed = unsafe {
            let value = core::ptr::from_ref(value).cast();
            libc::setsockopt(self.fd(), level, name, value, bytes) != 0
        };
        outcome(failed)
    }

    fn get<T>(&self, name: libc::c_int, value: &mut T) -> io::Result<usize> {
        let mut bytes = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
        // SAFETY: the kernel writes at most `bytes` bytes at `value`, which are ours; every `T`
        // used here is made of integers, for which all bits are a value.
        let failed = unsafe {
            let value = core::ptr::from_mut(value).cast();
            libc::getsockopt(self.fd(), libc::SOL_XDP, name, value, &raw mut bytes) != 0
        };
        outcome(failed).map(|()| bytes as usize)
    }

    /// Registers memory of `bytes` bytes at `base`, cut into chunks. The kernel keeps its pages
    /// until the socket is gone; it reads and writes only what it is given addresses of.
    pub(crate) fn register(&self, base: usize, bytes: usize) -> io::Result<()> {
        let memory = libc::xdp_umem_reg {
            addr: base as u64,
            len: bytes as u64,
            chunk_size: u32::try_from(CHUNK).unwrap_or(0),
            headroom: 0, // XDP leaves its own 256 bytes, which is frame::HEADROOM
            flags: 0,
            tx_metadata_len: 0,
        };
        self.set(libc::SOL_XDP, libc::XDP_UMEM_REG, &memory)
    }

    /// Makes one of the four rings, `name`, of `size` entries.
    pub(crate) fn make_ring(&self, name: libc::c_int, size: u32) -> io::Result<()> {
        self.set(libc::SOL_XDP, name, &size)
    }

    /// Where the parts of each ring lie.
    pub(crate) fn offsets(&self) -> io::Result<libc::xdp_mmap_offsets> {
        // SAFETY: integers, for which zero is a value.
        let mut offsets: libc::xdp_mmap_offsets = unsafe { core::mem::zeroed() };
        let bytes = self.get(libc::XDP_MMAP_OFFSETS, &mut offsets)?;
        if bytes != size_of::<libc::xdp_mmap_offsets>() {
            // Linux before 5.4, whose rings have no flags.
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(offsets)
    }

    pub(crate) fn map_producer<T: Entry>(
        &self,
        page: u64,
        at: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Producer<T>> {
        Producer::map(self.0.as_fd(), page_of(page)?, parts(at)?, size)
    }

    pub(crate) fn map_consumer<T: Entry>(
        &self,
        page: u64,
        at: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Consumer<T>> {
        Consumer::map(self.0.as_fd(), page_of(page)?, parts(at)?, size)
    }

    /// Binds it to a queue of an interface.
    pub(crate) fn bind(&self, interface: u32, queue: u32, flags: u16) -> io::Result<()> {
        let address = libc::sockaddr_xdp {
            sxdp_family: u16::try_from(libc::AF_XDP).unwrap_or(0),
            sxdp_flags: flags,
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        let bytes = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
        // SAFETY: the kernel reads `bytes` bytes at `address`, which are there.
        let failed = unsafe { libc::bind(self.fd(), (&raw const address).cast(), bytes) != 0 };
        outcome(failed)
    }

    /// Whether the kernel says that it is bound in zero-copy mode.
    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        let mut options = libc::xdp_options { flags: 0 };
        self.get(libc::XDP_OPTIONS, &mut options)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Lets one `sendto` send as many as `frames` frames in copy mode, instead of 32.
    pub(crate) fn set_send_budget(&self, frames: u32) -> io::Result<()> {
        self.set(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &frames)
    }

    /// Asks for the driver's receive work to be done in our calls, and not in interrupts.
    pub(crate) fn set_busy_poll(&self, microseconds: u32, budget: u32) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, &1u32)?;
        self.set(libc::SOL_SOCKET, libc::SO_BUSY_POLL, &microseconds)?;
        self.set(libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget)
    }

    /// The same socket under another descriptor.
    pub(crate) fn again(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(crate) fn statistics(&self) -> io::Result<libc::xdp_statistics> {
        // SAFETY: integers, for which zero is a value.
        let mut statistics: libc::xdp_statistics = unsafe { core::mem::zeroed() };
        self.get(libc::XDP_STATISTICS, &mut statistics)?;
        Ok(statistics)
    }

    /// Asks the kernel to look at the send ring: 0, or what it says. Never waits.
    #[inline]
    pub(crate) fn kick_send(&self) -> i32 {
        // SAFETY: no bytes are read: the length is 0.
        let sent = unsafe {
            let nothing = core::ptr::null();
            libc::sendto(
                self.fd(),
                nothing,
                0,
                libc::MSG_DONTWAIT,
                core::ptr::null(),
                0,
            )
        };
        errno(sent < 0)
    }

    /// Asks the kernel to look at the fill ring: 0, or what it says. Never waits.
    #[inline]
    pub(crate) fn kick_receive(&self) -> i32 {
        // SAFETY: no bytes are written: the length is 0.
        let received = unsafe {
            let nothing = core::ptr::null_mut();
            libc::recv(self.fd(), nothing, 0, libc::MSG_DONTWAIT)
        };
        match errno(received < 0) {
            libc::EOPNOTSUPP => self.poll(), // Linux before 5.11
            other => other,
        }
    }

    fn poll(&self) -> i32 {
        let mut descriptor = libc::pollfd {
            fd: self.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor is read and written, and it is there; 0 ms, so it never waits.
        let polled = unsafe { libc::poll(&raw mut descriptor, 1, 0) };
        errno(polled < 0)
    }
}

fn outcome(failed: bool) -> io::Result<()> {
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[inline]
fn errno(failed: bool) -> i32 {
    if !failed {
        return 0;
    }
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

fn page_of(page: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(page).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn parts(at: &libc::xdp_ring_offset) -> io::Result<Offsets> {
    let part = |offset| usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput);
    Ok(Offsets {
        producer: part(at.producer)?,
        consumer: part(at.consumer)?,
        flags: part(at.flags)?,
        entries: part(at.desc)?,
    })
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
