//! What there is to know of a kernel interface before it is opened.
//!
//! By `ioctl`: the same in every network namespace, with nothing mounted.

use frame::{MAX_FRAME, MAX_JUMBO};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What the kernel says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its number.
    pub index: u32,
    /// The most bytes of a packet behind the Ethernet header.
    pub mtu: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Whether it is administratively up.
    pub up: bool,
    /// How many receive queues it uses now. A frame may come in on any of them, so a port that
    /// wants all its frames opens all of them.
    pub rx_queues: u32,
}

/// Bytes around the MTU's: an Ethernet header and two tags. A kernel lets so much through.
const AROUND: usize = 14 + 8;

/// The largest MTU whose frames lie in one chunk each.
pub(crate) const CHUNK_MTU: usize = MAX_FRAME - AROUND;

/// The largest MTU whose frames lie in one jumbo buffer each.
const JUMBO_MTU: usize = MAX_JUMBO - AROUND;

/// What an interface's longest frames lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffers {
    /// One chunk each.
    Chunks,
    /// Some of them in a jumbo buffer: its sockets are opened for that
    /// ([`OpenRequest::jumbo`](crate::OpenRequest)).
    Jumbo,
}

/// An interface's MTU is larger than what there are buffers for: its longest frames would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MtuTooLarge {
    /// There are chunks only.
    #[error(
        "its MTU is {mtu}, and one buffer holds a frame of {MAX_FRAME} bytes: lower it to \
         {CHUNK_MTU}, or start the datapath with `--jumbo 256`"
    )]
    Chunks {
        /// The MTU.
        mtu: u32,
    },
    /// There are jumbo buffers, and they are too small too.
    #[error(
        "its MTU is {mtu}, and one jumbo buffer holds a frame of {MAX_JUMBO} bytes: lower it to \
         {JUMBO_MTU}"
    )]
    Jumbo {
        /// The MTU.
        mtu: u32,
    },
}

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// No such interface in this network namespace, or no name an interface could have.
    #[error("there is no interface `{interface}`")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// It is no Ethernet interface.
    #[error("`{interface}` is no Ethernet interface")]
    NotEthernet {
        /// Its name.
        interface: String,
    },
    /// The kernel does not say.
    #[error("the kernel says nothing of `{interface}`: {source}")]
    Refused {
        /// Its name.
        interface: String,
        /// What it said.
        source: io::Error,
    },
}

/// Asks the kernel for a number of queues.
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_channels`: counts of queues, those that could be and those that are.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Channels {
    command: u32,
    max: [u32; 4],
    receive: u32,
    send: u32,
    other: u32,
    combined: u32,
}

impl Facts {
    /// Asks the kernel for the facts of `interface`, in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// [`FactsError`], in words an operator can act on.
    pub fn of(interface: &str) -> Result<Self, FactsError> {
        let named = || interface.to_owned();
        let missing = || FactsError::NoInterface { interface: named() };
        let refused = |source: io::Error| match source.raw_os_error() {
            // Any other, such as no descriptor left to ask by, says nothing of the interface.
            Some(libc::ENODEV | libc::ENXIO) | None => missing(),
            Some(_) => FactsError::Refused {
                interface: named(),
                source,
            },
        };
        let query = Query::new(interface).map_err(refused)?;
        let index = index(interface).ok_or_else(|| refused(io::Error::last_os_error()))?;
        Ok(Self {
            index,
            mtu: query.mtu().map_err(refused)?,
            mac: query
                .mac()
                .map_err(refused)?
                .ok_or_else(|| FactsError::NotEthernet { interface: named() })?,
            up: query.up().map_err(refused)?,
            rx_queues: query.rx_queues(),
        })
    }

    /// What its longest frames lie in, if there are jumbo buffers, or if there are none.
    ///
    /// # Errors
    ///
    /// [`MtuTooLarge`], in words an operator can act on.
    pub fn buffers(&self, jumbo: bool) -> Result<Buffers, MtuTooLarge> {
        let mtu = usize::try_from(self.mtu).unwrap_or(usize::MAX);
        match mtu {
            ..=CHUNK_MTU => Ok(Buffers::Chunks),
            ..=JUMBO_MTU if jumbo => Ok(Buffers::Jumbo),
            _ if jumbo => Err(MtuTooLarge::Jumbo { mtu: self.mtu }),
            _ => Err(MtuTooLarge::Chunks { mtu: self.mtu }),
        }
    }
}

/// The number of `interface`, in the calling thread's namespace.
pub(crate) fn index(interface: &str) -> Option<u32> {
    let name = std::ffi::CString::new(interface).ok()?;
    // SAFETY: the name is a C string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// An open socket to ask by, and a request with the interface's name in it.
struct Query {
    socket: OwnedFd,
    request: libc::ifreq,
}

impl Query {
    /// An error without a number: no name an interface could have.
    fn new(interface: &str) -> io::Result<Self> {
        // SAFETY: integers and a union of them, for which zero is a value.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        let room = request.ifr_name.len();
        if interface.len() >= room {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: makes a descriptor; `from_raw_fd` gets it only if it is one, and alone.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { socket, request })
    }

    fn ask(&self, what: libc::c_ulong, mut request: libc::ifreq) -> io::Result<libc::ifreq> {
        // SAFETY: each of the questions asked here reads and writes one `ifreq`, which is ours;
        // the one that carries a pointer has what it points to.
        let failed = unsafe { libc::ioctl(self.socket.as_raw_fd(), what, &raw mut request) } < 0;
        if failed {
            return Err(io::Error::last_os_error());
        }
        Ok(request)
    }

    fn mtu(&self) -> io::Result<u32> {
        let answer = self.ask(libc::SIOCGIFMTU, self.request)?;
        // SAFETY: the kernel answers this question in this member.
        let mtu = unsafe { answer.ifr_ifru.ifru_mtu };
        Ok(u32::try_from(mtu).unwrap_or(0))
    }

    /// `None` if it is no Ethernet address.
    fn mac(&self) -> io::Result<Option<[u8; 6]>> {
        let answer = self.ask(libc::SIOCGIFHWADDR, self.request)?;
        // SAFETY: the kernel answers this question in this member.
        let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(address.sa_data) {
            *to = from.cast_unsigned();
        }
        Ok((address.sa_family == libc::ARPHRD_ETHER).then_some(mac))
    }

    fn up(&self) -> io::Result<bool> {
        let answer = self.ask(libc::SIOCGIFFLAGS, self.request)?;
        // SAFETY: the kernel answers this question in this member.
        let flags = unsafe { answer.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
    }

    /// 1 where the driver does not say.
    fn rx_queues(&self) -> u32 {
        let mut channels = Channels {
            command: ETHTOOL_GCHANNELS,
            ..Channels::default()
        };
        let mut request = self.request;
        request.ifr_ifru.ifru_data = (&raw mut channels).cast();
        let answered = self.ask(libc::SIOCETHTOOL, request).is_ok();
        let queues = channels.receive + channels.combined;
        if answered { queues.max(1) } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_interface_is_said_by_name() {
        for name in ["gh-none", "", "a-name-too-long-for-the-kernel", "a\0b"] {
            let error = Facts::of(name).unwrap_err();
            assert!(matches!(&error, FactsError::NoInterface { interface } if interface == name));
        }
    }

    #[test]
    fn an_mtu_gets_the_buffers_its_longest_frames_lie_in_or_a_refusal_in_words() {
        let buffers = |mtu, jumbo| {
            let facts = Facts {
                index: 1,
                mtu,
                mac: [2; 6],
                up: true,
                rx_queues: 1,
            };
            facts.buffers(jumbo).map_err(|error| error.to_string())
        };
        for (mtu, jumbo, expected) in [
            (68, false, Buffers::Chunks),
            (1770, false, Buffers::Chunks),
            (1770, true, Buffers::Chunks),
            (1771, true, Buffers::Jumbo),
            (9962, true, Buffers::Jumbo),
        ] {
            assert_eq!(buffers(mtu, jumbo), Ok(expected), "{mtu}");
        }
        let chunks = "its MTU is 1771, and one buffer holds a frame of 1792 bytes: lower it to \
                      1770, or start the datapath with `--jumbo 256`";
        assert_eq!(buffers(1771, false).unwrap_err(), chunks);
        let jumbo = "its MTU is 9963, and one jumbo buffer holds a frame of 9984 bytes: lower it \
                     to 9962";
        assert_eq!(buffers(9963, true).unwrap_err(), jumbo);
    }

    #[test]
    fn the_loopback_is_no_ethernet_interface() {
        let error = Facts::of("lo").unwrap_err();
        assert_eq!(error.to_string(), "`lo` is no Ethernet interface");
    }
}
