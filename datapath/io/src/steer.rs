//! Which frames of an interface come to us: the XDP program `steer`, attached and told.
//!
//! The program and its maps are one interface's. It is attached by a BPF link, which the kernel
//! undoes when its descriptor is closed: dropped, crashed or killed, the interface is the kernel's
//! again at once. That is why the link is made here, by the one system call that makes links: a
//! loader that falls back to netlink when the kernel refuses would leave a program behind.
//!
//! What holds: a fresh `Steer` takes nothing; what it takes is changed in its maps, and the
//! program is never replaced.

use crate::{Preference, attached, interface};
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::{ProgramError, Xdp};
use aya::{EbpfLoader, Pod};
pub use ebpf::Mode as Take;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// In the driver, before a packet has an `sk_buff`.
    Native,
    /// Behind the driver, on any interface, slower. Sockets of such an interface are copy mode.
    Generic {
        /// Why not native, as an error number; `None` if generic was asked for.
        refused: Option<i32>,
    },
}

impl core::fmt::Display for Attachment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Native => f.write_str("native XDP"),
            Self::Generic { refused: None } => f.write_str("generic XDP, as asked"),
            Self::Generic {
                refused: Some(libc::EOPNOTSUPP),
            } => f.write_str("generic XDP: the driver has no native XDP"),
            Self::Generic {
                refused: Some(errno),
            } => {
                let said = io::Error::from_raw_os_error(errno);
                write!(f, "generic XDP: the driver refused native XDP: {said}")
            }
        }
    }
}

/// Frames of an interface by where they went, since the program was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steered {
    /// To a socket of ours.
    pub to_us: u64,
    /// On to the kernel.
    pub to_kernel: u64,
}

/// Why the interface is not steered, or not as it was told. After a failed
/// [`attach`](Steer::attach) nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// No such interface here.
    #[error("there is no interface `{interface}`")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// Not root, or not enough of it.
    #[error("an XDP program needs CAP_BPF and CAP_NET_ADMIN: run as root or give the capabilities")]
    NotPermitted,
    /// Another XDP program is on the interface; an interface has one.
    #[error(
        "`{interface}` already has an XDP program: {program}. Stop the process it belongs to; \
         if it belongs to none, `ip link set dev {interface} xdp off`"
    )]
    Occupied {
        /// The interface's name.
        interface: String,
        /// The program that is there, if the kernel says.
        program: attached::Attached,
    },
    /// Native XDP was asked for, and there is none.
    #[error(
        "the driver of `{interface}` has no native XDP ({source}): ask for `auto` or `generic`"
    )]
    NoNative {
        /// The interface's name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Neither native nor generic.
    #[error("the kernel attaches no XDP program to `{interface}`: {source}")]
    Refused {
        /// The interface's name.
        interface: String,
        /// What it said.
        source: io::Error,
    },
    /// The kernel does not take the program: it is too old, or it is a bug.
    #[error("the kernel does not take the steering program (it wants Linux 5.18): {source}")]
    NotLoaded {
        /// What the loader said, with the verifier's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More addresses of one family than its map has room for.
    #[error(
        "{got} tunnel addresses on one interface: at most {} are possible",
        ebpf::ENDPOINTS_MAX
    )]
    TooManyEndpoints {
        /// How many there were, of that family.
        got: usize,
    },
    /// No identifier of a VLAN.
    #[error("VLAN {vlan}: VLANs 1 to 4094 are possible")]
    NoVlan {
        /// What it was instead.
        vlan: u16,
    },
    /// A queue beyond what the map has room for.
    #[error("queue {queue}: queues 0 to {} can be steered", ebpf::QUEUES_MAX - 1)]
    NoQueue {
        /// The queue.
        queue: u32,
    },
    /// A map does not take what it was told.
    #[error("the kernel refused to change what is steered: {source}")]
    NotTold {
        /// What it said.
        source: MapError,
    },
}

impl From<MapError> for SteerError {
    fn from(source: MapError) -> Self {
        Self::NotTold { source }
    }
}

/// A set, as the program reads it.
type Set<K> = HashMap<MapData, K, u8>;

/// The steering of one interface. Dropping it gives every frame back to the kernel.
pub struct Steer {
    attachment: Attachment,
    /// First of what is dropped: the program goes before its maps.
    _link: OwnedFd,
    mode: Array<MapData, u32>,
    vlan: Array<MapData, u32>,
    endpoints: Set<u32>,
    endpoints6: Set<[u8; 16]>,
    sockets: XskMap<MapData>,
    steered: PerCpuArray<MapData, u64>,
}

impl Steer {
    /// Attaches the program to `interface`, in the calling thread's network namespace: native,
    /// else generic, as far as `preference` allows. It takes nothing yet, knows no address, and its
    /// tunnels' packets are untagged.
    ///
    /// # Errors
    ///
    /// [`SteerError`], in words an operator can act on.
    pub fn attach(interface: &str, preference: Preference) -> Result<Self, SteerError> {
        let index = interface::index(interface).ok_or_else(|| SteerError::NoInterface {
            interface: interface.into(),
        })?;
        // The program asks nothing of the kernel's types; reading them takes half a second.
        let loader = EbpfLoader::new().btf(None).load(ebpf::STEER);
        let mut object = loader.map_err(not_loaded)?;
        let program = object.program_mut(ebpf::PROGRAM);
        let program: &mut Xdp = program
            .ok_or_else(|| not_loaded(ProgramError::NotLoaded))?
            .try_into()
            .map_err(not_loaded)?;
        program.load().map_err(program_not_loaded)?;
        let fd = program.fd().map_err(not_loaded)?.as_fd();
        let (link, attachment) = attach(fd, interface, index, preference)?;

        let mut map = |name| {
            let missing = || MapError::InvalidName {
                name: String::from(name),
            };
            object.take_map(name).ok_or_else(missing)
        };
        Ok(Self {
            attachment,
            _link: link,
            mode: Array::try_from(map(ebpf::MODE)?)?,
            vlan: Array::try_from(map(ebpf::VLAN)?)?,
            endpoints: HashMap::try_from(map(ebpf::ENDPOINTS)?)?,
            endpoints6: HashMap::try_from(map(ebpf::ENDPOINTS6)?)?,
            sockets: XskMap::try_from(map(ebpf::SOCKETS)?)?,
            steered: PerCpuArray::try_from(map(ebpf::STEERED)?)?,
        })
    }

    /// Native or generic, and why.
    pub fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// What to prefer when sockets of this interface are opened: `wanted`, but nothing that
    /// generic XDP does not carry.
    pub fn preference(&self, wanted: Preference) -> Preference {
        match self.attachment {
            Attachment::Native => wanted,
            Attachment::Generic { .. } => Preference::Generic,
        }
    }

    /// Says which frames are ours from now on.
    ///
    /// # Errors
    ///
    /// [`SteerError::NotTold`]; what was taken before is still taken.
    pub fn take(&mut self, take: Take) -> Result<(), SteerError> {
        Ok(self.mode.set(0, take as u32, 0)?)
    }

    /// Says in which VLAN our tunnels' packets come: one of 1 to 4094, or none, which is without a
    /// tag or with one that gives only a priority (VLAN 0). A frame with two tags is the kernel's.
    ///
    /// The program sees a tag that stands in the frame, and no other: where a NIC takes tags out,
    /// the frames of every VLAN look untagged. `ethtool -K` stops that: `rxvlan off` at a NIC,
    /// `txvlan off` at the other end of a veth.
    ///
    /// # Errors
    ///
    /// [`SteerError::NoVlan`], [`SteerError::NotTold`]; what was taken before is still taken.
    pub fn vlan(&mut self, vlan: Option<u16>) -> Result<(), SteerError> {
        let told = match vlan {
            None => ebpf::UNTAGGED,
            Some(vlan @ 1..=4094) => vlan.into(),
            Some(vlan) => return Err(SteerError::NoVlan { vlan }),
        };
        Ok(self.vlan.set(0, told, 0)?)
    }

    /// Says which addresses are our tunnels' on this interface, at most 16 of each family; those
    /// it knew and that are not among `addresses` are ours no more. One that stays is ours
    /// throughout.
    ///
    /// # Errors
    ///
    /// [`SteerError::TooManyEndpoints`], and nothing changed; [`SteerError::NotTold`].
    pub fn endpoints(&mut self, addresses: &[IpAddr]) -> Result<(), SteerError> {
        let (mut wanted, mut wanted6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                // The bytes of the packet, as a number of this machine.
                IpAddr::V4(address) => wanted.push(u32::from_ne_bytes(address.octets())),
                IpAddr::V6(address) => wanted6.push(address.octets()),
            }
        }
        in_room(&mut wanted)?;
        in_room(&mut wanted6)?;
        become_equal(&mut self.endpoints, &wanted)?;
        become_equal(&mut self.endpoints6, &wanted6)
    }

    /// Says that frames of `queue` go to the socket `fd`, which is bound to it.
    ///
    /// # Errors
    ///
    /// [`SteerError::NoQueue`], [`SteerError::NotTold`].
    pub fn socket(&mut self, queue: u32, fd: i32) -> Result<(), SteerError> {
        in_reach(queue)?;
        Ok(self.sockets.set(queue, fd, 0)?)
    }

    /// Says that frames of `queue` go on to the kernel. A socket that is closed is gone from here
    /// by itself; taking it out first loses no frame.
    ///
    /// # Errors
    ///
    /// [`SteerError::NoQueue`], [`SteerError::NotTold`].
    pub fn remove_socket(&mut self, queue: u32) -> Result<(), SteerError> {
        in_reach(queue)?;
        Ok(self.sockets.unset(queue)?)
    }

    /// How many frames went where.
    ///
    /// # Errors
    ///
    /// [`SteerError::NotTold`].
    pub fn counts(&self) -> Result<Steered, SteerError> {
        let sum =
            |index| -> Result<u64, SteerError> { Ok(self.steered.get(&index, 0)?.iter().sum()) };
        Ok(Steered {
            to_us: sum(ebpf::TO_US)?,
            to_kernel: sum(ebpf::TO_KERNEL)?,
        })
    }
}

impl core::fmt::Debug for Steer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut shown = f.debug_struct("Steer");
        shown.field("attachment", &self.attachment);
        shown.finish_non_exhaustive()
    }
}

/// Leaves each address once; checks that there is room for them.
fn in_room<K: Ord>(wanted: &mut Vec<K>) -> Result<(), SteerError> {
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.len() > ebpf::ENDPOINTS_MAX {
        return Err(SteerError::TooManyEndpoints { got: wanted.len() });
    }
    Ok(())
}

/// Puts into `known` what is `wanted`, and nothing else; first what goes, as it may be full.
fn become_equal<K: Pod + PartialEq>(known: &mut Set<K>, wanted: &[K]) -> Result<(), SteerError> {
    let before: Vec<K> = known.keys().collect::<Result<_, _>>()?;
    for gone in before.iter().filter(|known| !wanted.contains(known)) {
        known.remove(gone)?;
    }
    for new in wanted.iter().filter(|wanted| !before.contains(wanted)) {
        known.insert(new, 0, 0)?;
    }
    Ok(())
}

fn in_reach(queue: u32) -> Result<(), SteerError> {
    if queue < ebpf::QUEUES_MAX {
        Ok(())
    } else {
        Err(SteerError::NoQueue { queue })
    }
}

fn not_loaded(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SteerError {
    let source = source.into();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.as_ref());
    while let Some(error) = cause {
        let said = error.downcast_ref::<io::Error>();
        if said.and_then(io::Error::raw_os_error) == Some(libc::EPERM) {
            return SteerError::NotPermitted;
        }
        cause = error.source();
    }
    SteerError::NotLoaded { source }
}

fn program_not_loaded(error: ProgramError) -> SteerError {
    match &error {
        ProgramError::LoadError { io_error, .. }
            if io_error.raw_os_error() == Some(libc::EPERM) =>
        {
            SteerError::NotPermitted
        }
        _ => not_loaded(error),
    }
}

/// The link, native or else generic.
fn attach(
    program: BorrowedFd<'_>,
    interface: &str,
    index: u32,
    preference: Preference,
) -> Result<(OwnedFd, Attachment), SteerError> {
    let named = || interface.to_owned();
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => SteerError::Occupied {
            interface: named(),
            program: attached::to(index),
        },
        Some(libc::ENODEV) => SteerError::NoInterface { interface: named() },
        Some(libc::EPERM) => SteerError::NotPermitted,
        _ => SteerError::Refused {
            interface: named(),
            source,
        },
    };
    let mut refused = None;
    if preference != Preference::Generic {
        match link(program, index, XDP_FLAGS_DRV_MODE) {
            Ok(link) => return Ok((link, Attachment::Native)),
            Err(source) => refused = Some(source.raw_os_error().unwrap_or(libc::EIO)),
        }
    }
    // These would be said of generic XDP too, or would put two programs on one interface.
    if let Some(errno @ (libc::EBUSY | libc::EEXIST | libc::ENODEV | libc::EPERM)) = refused {
        return Err(failed(io::Error::from_raw_os_error(errno)));
    }
    if let (Preference::ZeroCopy, Some(errno)) = (preference, refused) {
        return Err(SteerError::NoNative {
            interface: named(),
            source: io::Error::from_raw_os_error(errno),
        });
    }
    let link = link(program, index, XDP_FLAGS_SKB_MODE).map_err(failed)?;
    Ok((link, Attachment::Generic { refused }))
}

const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_XDP: u32 = 37;
pub(crate) const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
pub(crate) const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `union bpf_attr`, as far as this call reads it.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    kind: u32,
    flags: u32,
}

/// Attaches `program` to the interface with number `interface` by a BPF link; closing what is
/// returned detaches it.
pub(crate) fn link(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let request = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        interface,
        kind: BPF_XDP,
        flags,
    };
    // SAFETY: the kernel reads as many bytes as it is told, all of `request`; what it returns is a
    // new descriptor that nobody else has.
    unsafe {
        let size = size_of::<LinkCreate>();
        let fd = libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const request, size);
        match i32::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
