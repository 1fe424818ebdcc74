//! Network namespaces with a veth between them, for tests; they go away with the value.

#![allow(dead_code)] // each test file uses its part of it

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The interface that is ours in a [`Wire`].
pub(crate) const US: &str = "us";
/// The interface at the other end.
pub(crate) const PEER: &str = "peer";

/// Waits a while until `there` has something.
pub(crate) fn awaited<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(it) = there() {
            return it;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "in vain: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Waits a while until `done`.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    awaited(what, || done().then_some(()));
}

/// A network namespace, removed when dropped.
pub(crate) struct Namespace(String);

impl Namespace {
    /// Makes one. The first call of a process removes what a killed run left.
    pub(crate) fn new() -> Self {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gh-io-{}-{number}", std::process::id());
        run(&["netns", "add", &name]);
        let namespace = Self(name);
        namespace.inside(|| {
            // So that no frame is there but those of the test.
            for which in ["all", "default"] {
                let knob = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
                std::fs::write(knob, "1").unwrap();
            }
        });
        namespace
    }

    /// Its name, as `ip netns` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &[&str]) -> String {
        run(&[&["-n", &self.0], arguments].concat())
    }

    /// Runs `act` on a thread that is in it.
    pub(crate) fn inside<R: Send>(&self, act: impl FnOnce() -> R + Send) -> R {
        let name = &self.0;
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                enter(name);
                act()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let removed = Command::new("ip").args(["netns", "del", &self.0]).status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("namespace {} could not be removed", self.0);
        }
    }
}

/// Puts the calling thread into the namespace called `name`.
pub(crate) fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).unwrap();
    // SAFETY: changes the namespace of this thread alone; the descriptor is open.
    let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(entered, 0, "setns: {}", io::Error::last_os_error());
}

fn run(arguments: &[&str]) -> String {
    let done = Command::new("ip").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Removes the namespaces of test processes that are no more.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("gh-io-")
            .and_then(|rest| rest.split('-').next());
        let Some(owner) = owner else { continue };
        if !std::path::Path::new("/proc").join(owner).exists() {
            eprintln!("left by a killed run, and removed now: {name}");
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

/// Two namespaces and a veth between them: `us` in one, `peer` in the other. Frames of 1614 bytes
/// fit through.
pub(crate) struct Wire {
    pub(crate) here: Namespace,
    pub(crate) there: Namespace,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self::with_queues(1)
    }

    pub(crate) fn with_queues(queues: u32) -> Self {
        let (here, there) = (Namespace::new(), Namespace::new());
        let n = queues.to_string();
        let side = ["mtu", "1600", "numrxqueues", &n, "numtxqueues", &n];
        let ours = [&["link", "add", US], &side[..], &["type", "veth"]].concat();
        let theirs = [&["peer", "name", PEER, "netns", there.name()], &side[..]].concat();
        here.ip(&[ours, theirs].concat());
        here.ip(&["link", "set", US, "up"]);
        there.ip(&["link", "set", PEER, "up"]);
        Self { here, there }
    }
}

/// A raw socket on an interface: sends and hears whole Ethernet frames.
pub(crate) struct Raw(OwnedFd);

impl Raw {
    /// On `interface` of `namespace`.
    pub(crate) fn new(namespace: &Namespace, interface: &str) -> Self {
        namespace.inside(|| {
            let name = std::ffi::CString::new(interface).unwrap();
            let every = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
            // SAFETY: makes a descriptor that nobody else has; the name is a C string; zero is a
            // value of an address; the kernel reads as many bytes of it as it is told.
            unsafe {
                let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                let fd = libc::socket(libc::AF_PACKET, kind, i32::from(every));
                assert!(fd >= 0, "{}", io::Error::last_os_error());
                let socket = OwnedFd::from_raw_fd(fd);
                let mut address: libc::sockaddr_ll = core::mem::zeroed();
                address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
                address.sll_protocol = every;
                address.sll_ifindex = libc::if_nametoindex(name.as_ptr()).cast_signed();
                let bytes = u32::try_from(size_of_val(&address)).unwrap();
                let bound = libc::bind(fd, (&raw const address).cast(), bytes);
                assert_eq!(bound, 0, "{}", io::Error::last_os_error());
                Self(socket)
            }
        })
    }

    /// False if the kernel took nothing.
    pub(crate) fn send(&self, frame: &[u8]) -> bool {
        // SAFETY: the kernel reads the bytes of `frame`.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        sent >= 0
    }

    /// The next frame that came in, if one is there; frames that went out are passed over.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0u8; 16384];
        loop {
            // SAFETY: zero is a value of an address; the kernel writes at most `frame.len()` bytes
            // to `frame`, and at most `bytes` to `from`.
            let (from, received) = unsafe {
                let mut from: libc::sockaddr_ll = core::mem::zeroed();
                let mut bytes = u32::try_from(size_of_val(&from)).unwrap();
                let received = libc::recvfrom(
                    self.0.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut bytes,
                );
                (from, received)
            };
            let received = usize::try_from(received).ok()?;
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                frame.truncate(received);
                return Some(frame);
            }
        }
    }
}

/// A frame of `len` bytes of a kind nobody knows, numbered, and different in every byte.
pub(crate) fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut frame = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5".to_vec();
    frame.extend(number.to_be_bytes());
    while frame.len() < len {
        let n = u32::try_from(frame.len()).unwrap();
        frame.push((n.wrapping_mul(31) ^ number.wrapping_mul(17)).to_le_bytes()[0]);
    }
    frame.truncate(len);
    frame
}
