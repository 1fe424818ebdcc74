//! Frames out of nothing, and where they end: for measuring, never on the way of a packet.
//!
//! [`Generator`] has the kernel make copies of one frame and send them out of an interface, millions
//! a second: the frame is put through a test run of an XDP program that redirects it ("live
//! frames", Linux 5.18). [`Sink`] is an XDP program that counts what arrives, by length, and drops
//! it. Both programs are a few instructions, written here; so nothing has to be compiled.
//!
//! What is sent leaves by the interface's other end. On a veth that end must run its receive work
//! in NAPI, which it does if it has an XDP program or GRO: else every frame is dropped there.

use crate::interface;
use crate::steer::{XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, link};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The longest frame a [`Sink`] counts by its length, in bytes.
pub const LONGEST: u32 = 2047;

/// The `EtherType` for local experiments (IEEE 802.1Q), which a [`Sink`] counts beside GRE.
pub const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// The most frames in one round of the kernel's test run.
const ROUND: u32 = 64;

/// Sends copies of frames out of interfaces of the namespace it was made in.
///
/// The program also stands on that namespace's loopback, which it must have to itself: the kernel
/// keeps a direct way to programs that stand somewhere, and would build one, for milliseconds, at
/// the start of every call otherwise.
#[derive(Debug)]
pub struct Generator {
    _link: OwnedFd,
    program: OwnedFd,
    /// The number of the interface to send by.
    out: OwnedFd,
}

impl Generator {
    /// A generator in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// What the kernel says: not permitted, somebody's program on the loopback.
    pub fn new() -> io::Result<Self> {
        let loopback = interface::index("lo").ok_or(io::ErrorKind::NotFound)?;
        let out = make_map(ARRAY, 4, 1)?;
        let program = load(&redirecting(out.as_raw_fd()))?;
        Ok(Self {
            _link: link(program.as_fd(), loopback, XDP_FLAGS_SKB_MODE)?,
            program,
            out,
        })
    }

    /// Sends `count` copies of `frame` by the interface with the number `by`, on this core, and
    /// returns when all are on their way.
    ///
    /// # Errors
    ///
    /// What the kernel says: no live frames (before Linux 5.18), or a signal came between.
    pub fn send(&self, by: u32, frame: &[u8], count: u32) -> io::Result<()> {
        let (key, value) = (0_u32, by);
        let mut element = Element {
            map: self.out.as_raw_fd().cast_unsigned(),
            key: (&raw const key).addr() as u64,
            value: (&raw const value).addr() as u64,
            ..Element::default()
        };
        // SAFETY: the kernel reads four bytes at each of `key` and `value`, which are there.
        unsafe { bpf(MAP_UPDATE, &mut element) }?;
        let bytes = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut request = TestRun {
            program: self.program.as_raw_fd().cast_unsigned(),
            input_bytes: bytes,
            input: frame.as_ptr().addr() as u64,
            repeat: count,
            flags: LIVE_FRAMES,
            batch: ROUND,
            ..TestRun::default()
        };
        // SAFETY: the kernel reads `bytes` bytes at `frame`, which are there for the call; there
        // is no output to write.
        unsafe { bpf(PROG_TEST_RUN, &mut request) }.map(|_| ())
    }
}

/// Counts the frames that come in by one interface, and drops them: those of [`EXPERIMENT`] and
/// GRE over IPv4. All else goes on to the kernel. Dropped, it leaves the interface.
#[derive(Debug)]
pub struct Sink {
    _link: OwnedFd,
    counts: OwnedFd,
    /// How many CPUs the kernel counts for.
    cpus: usize,
}

impl Sink {
    /// Attaches a sink to `interface`, in the calling thread's namespace: native XDP or not at all.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn attach(interface: &str) -> io::Result<Self> {
        let index = interface::index(interface).ok_or(io::ErrorKind::NotFound)?;
        let counts = make_map(PERCPU_ARRAY, 8, LONGEST + 1)?;
        let program = load(&counting(counts.as_raw_fd()))?;
        let link = link(program.as_fd(), index, XDP_FLAGS_DRV_MODE)?;
        Ok(Self {
            _link: link,
            counts,
            cpus: possible_cpus()?,
        })
    }

    /// How many frames of `length` bytes have come since it was attached.
    ///
    /// # Errors
    ///
    /// What the kernel says; a length beyond [`LONGEST`] is not counted.
    pub fn count(&self, length: usize) -> io::Result<u64> {
        let key = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut counts = vec![0_u64; self.cpus];
        let mut request = Element {
            map: self.counts.as_raw_fd().cast_unsigned(),
            key: (&raw const key).addr() as u64,
            value: counts.as_mut_ptr().addr() as u64,
            ..Element::default()
        };
        // SAFETY: the kernel reads four bytes at `key`, and writes eight a possible CPU at
        // `counts`, which has so many; both are there for the call.
        unsafe { bpf(MAP_LOOKUP, &mut request) }?;
        Ok(counts.into_iter().sum())
    }
}

/// One instruction of the kernel's virtual machine.
#[derive(Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u8,
    /// The destination in the low four bits, the source above.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers: from << 4 | to,
            offset,
            immediate,
        }
    }
}

// `include/uapi/linux/bpf_common.h` and `bpf.h`: class, size and mode in one byte.
const MOVE: u8 = 0xb7;
const COPY: u8 = 0xbf;
const ADD: u8 = 0x07;
const SUBTRACT: u8 = 0x1f;
const LOAD_1: u8 = 0x71;
const LOAD_2: u8 = 0x69;
const LOAD_4: u8 = 0x61;
const LOAD_8: u8 = 0x79;
const STORE_4: u8 = 0x63;
const STORE_8: u8 = 0x7b;
const IMMEDIATE_8: u8 = 0x18;
const IF_ABOVE: u8 = 0x2d;
const IF_IS: u8 = 0x15;
const IF_IS_NOT: u8 = 0x55;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// In the source of [`IMMEDIATE_8`]: the number is a map's descriptor.
const A_MAP: u8 = 1;
const HELPER_LOOKUP: i32 = 1;
const HELPER_REDIRECT: i32 = 23;
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

/// Register 10, the frame pointer.
const STACK: u8 = 10;

/// The program of a generator: sends the packet by the interface whose number stands in `out`.
#[rustfmt::skip]
fn redirecting(out: i32) -> [Instruction; 14] {
    let op = Instruction::new;
    [
        op(MOVE, 1, 0, 0, 0),
        op(STORE_4, STACK, 1, -4, 0),
        op(COPY, 2, STACK, 0, 0),
        op(ADD, 2, 0, 0, -4),
        op(IMMEDIATE_8, 1, A_MAP, 0, out),
        op(0, 0, 0, 0, 0),                   // the upper half of the one before
        op(CALL, 0, 0, 0, HELPER_LOOKUP),
        op(IF_IS, 0, 0, 4, 0),               // drop
        op(LOAD_4, 1, 0, 0, 0),
        op(MOVE, 2, 0, 0, 0),
        op(CALL, 0, 0, 0, HELPER_REDIRECT),
        op(EXIT, 0, 0, 0, 0),
        op(MOVE, 0, 0, 0, XDP_DROP),         // drop:
        op(EXIT, 0, 0, 0, 0),
    ]
}

/// The program of a sink: register 6 is where the packet starts, 7 where it ends, 8 its length.
#[rustfmt::skip]
fn counting(counts: i32) -> [Instruction; 26] {
    let op = Instruction::new;
    let experiment = i32::from(u16::from_ne_bytes(EXPERIMENT));
    let ipv4 = i32::from(u16::from_ne_bytes([0x08, 0x00]));
    [
        op(LOAD_4, 6, 1, 0, 0),
        op(LOAD_4, 7, 1, 4, 0),
        op(COPY, 2, 6, 0, 0),
        op(ADD, 2, 0, 0, 24),
        op(IF_ABOVE, 2, 7, 19, 0),           // shorter than Ethernet and half of IPv4: pass
        op(LOAD_2, 3, 6, 12, 0),
        op(IF_IS, 3, 0, 3, experiment),      // count
        op(IF_IS_NOT, 3, 0, 16, ipv4),       // pass
        op(LOAD_1, 3, 6, 23, 0),
        op(IF_IS_NOT, 3, 0, 14, 47),         // no GRE: pass
        op(COPY, 8, 7, 0, 0),                // count:
        op(SUBTRACT, 8, 6, 0, 0),
        op(STORE_4, STACK, 8, -4, 0),
        op(COPY, 2, STACK, 0, 0),
        op(ADD, 2, 0, 0, -4),
        op(IMMEDIATE_8, 1, A_MAP, 0, counts),
        op(0, 0, 0, 0, 0),                   // the upper half of the one before
        op(CALL, 0, 0, 0, HELPER_LOOKUP),
        op(IF_IS, 0, 0, 5, 0),               // longer than any that is counted: pass
        op(LOAD_8, 1, 0, 0, 0),
        op(ADD, 1, 0, 0, 1),
        op(STORE_8, 0, 1, 0, 0),
        op(MOVE, 0, 0, 0, XDP_DROP),
        op(EXIT, 0, 0, 0, 0),
        op(MOVE, 0, 0, 0, XDP_PASS),         // pass:
        op(EXIT, 0, 0, 0, 0),
    ]
}

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP: libc::c_long = 1;
const MAP_UPDATE: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;

const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
const XDP: u32 = 6;
const LIVE_FRAMES: u32 = 1 << 1;

/// `union bpf_attr`, as far as each call reads it; what the kernel knows beyond is zero.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
}

#[derive(Default)]
#[repr(C)]
struct Element {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
}

#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    returned: u32,
    input_bytes: u32,
    output_bytes: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration: u32,
    context_bytes: u32,
    context_out_bytes: u32,
    context: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    _pad: u32,
}

/// # Safety
///
/// `request` is what `command` reads, and every address in it is good for what the command does.
unsafe fn bpf<T>(command: libc::c_long, request: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes as many bytes as it is told, all of `request`; the rest
    // is the caller's promise.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            core::ptr::from_mut(request),
            size_of::<T>(),
        )
    };
    match i32::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}

fn make_map(kind: u32, value_bytes: u32, entries: u32) -> io::Result<OwnedFd> {
    let mut request = MapCreate {
        kind,
        key_bytes: 4,
        value_bytes,
        entries,
    };
    // SAFETY: there are no addresses in it; what is returned is a new descriptor, ours alone.
    unsafe { bpf(MAP_CREATE, &mut request).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut request = ProgLoad {
        kind: XDP,
        count: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: program.as_ptr().addr() as u64,
        licence: c"Apache-2.0".as_ptr().addr() as u64,
    };
    // SAFETY: the kernel reads `count` instructions and a C string, which are there for the call;
    // what is returned is a new descriptor, ours alone.
    unsafe { bpf(PROG_LOAD, &mut request).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// As many as a per-CPU map has values for: those that could ever be, there or not.
fn possible_cpus() -> io::Result<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit(['-', ',']).next().unwrap_or_default();
    let last: usize = last.parse().map_err(io::Error::other)?;
    Ok(last + 1)
}
