//! The XDP program that steers, and the layout of its maps.
//!
//! Read `steer.c`; `packet.h` and `kernel.h` are only shapes and numbers. The object built from it is committed, so that a build needs
//! no clang; a test builds it again and compares every byte. This crate knows no kernel: `io`
//! loads the program and fills its maps.
//!
//! What holds, whatever arrives: the program passes a frame to one of our sockets or to the
//! kernel. It drops none, changes none, and knows no policy.
#![no_std]

/// The program and its maps, as an ELF object for little-endian eBPF, aligned for a loader that
/// reads it in place.
pub static STEER: &[u8] = &ALIGNED.0;

/// The program's name in the object.
pub const PROGRAM: &str = "steer";

/// What to take: an array of one [`Mode`].
pub const MODE: &str = "steer_mode";

/// The VLAN our tunnels' packets come in: an array of one `u32`, [`UNTAGGED`] or an identifier
/// (IEEE 802.1Q: 1 to 4094) in this machine's byte order. 0, which is what a fresh map holds, says
/// the same as [`UNTAGGED`]; any other number says no frame.
pub const VLAN: &str = "steer_vlan";

/// In [`VLAN`]: frames without a tag, or with one that gives a priority only (VLAN 0).
pub const UNTAGGED: u32 = u32::MAX;

/// Our tunnels' IPv4 addresses: a set of at most [`ENDPOINTS_MAX`], as a hash from a `u32`, the
/// address as it stands in a packet, to a `u8` that says nothing.
pub const ENDPOINTS: &str = "endpoints";

/// Our tunnels' IPv6 addresses: a set of at most [`ENDPOINTS_MAX`], as a hash from 16 bytes, the
/// address as it stands in a packet, to a `u8` that says nothing.
pub const ENDPOINTS6: &str = "endpoints6";

/// Our sockets: an `XSKMAP` of [`QUEUES_MAX`] entries, by receive queue.
pub const SOCKETS: &str = "xsks";

/// Frames by where they went: a per-CPU array of `u64`, at [`TO_US`] and at [`TO_KERNEL`].
pub const STEERED: &str = "steered";

/// The most tunnel addresses of one interface, of each family.
pub const ENDPOINTS_MAX: usize = 16;

/// The most receive queues of one interface.
pub const QUEUES_MAX: u32 = 64;

/// In [`STEERED`]: frames handed to a socket of ours.
pub const TO_US: u32 = 0;

/// In [`STEERED`]: frames left to the kernel.
pub const TO_KERNEL: u32 = 1;

/// Which frames of an interface are ours. Its value is what stands in the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// None.
    #[default]
    Nothing = 0,
    /// Every one: a guest's port.
    Everything = 1,
    /// The underlay: IPv4 and IPv6 packets in our [`VLAN`] to one of our endpoints that are GRE
    /// (protocol 47, fragments included), GRE-in-UDP (RFC 8086: to port 4754; of fragments only
    /// the first), or an ICMP error that says one of these was too big (type 3 code 4, for IPv6
    /// type 2). At most one tag and four IPv6 extension headers are looked behind.
    Tunnels = 2,
}

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static ALIGNED: Aligned<[u8; include_bytes!("../steer.o").len()]> =
    Aligned(*include_bytes!("../steer.o"));
