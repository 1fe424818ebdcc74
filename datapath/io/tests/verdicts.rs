//! What the steering program says of each kind of frame, asked of the kernel itself. Wants root.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use ebpf::Mode;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PASS: u32 = 2;
const REDIRECT: u32 = 4;

const OURS: [u8; 4] = [192, 0, 2, 1];
const ALSO_OURS: [u8; 4] = [192, 0, 2, 2];
const ANOTHERS: [u8; 4] = [192, 0, 2, 3];

const GRE: u8 = 47;
const UDP: u8 = 17;

/// The program in the kernel, attached to nothing, with a socket for the queue that test frames
/// come in on.
struct Steered {
    object: Ebpf,
    mode: Array<MapData, u32>,
    sockets: XskMap<MapData>,
    _socket: OwnedFd,
}

impl Steered {
    fn new(mode: Mode) -> Self {
        let mut object = Ebpf::load(ebpf::STEER).unwrap();
        let program: &mut Xdp = object
            .program_mut(ebpf::PROGRAM)
            .unwrap()
            .try_into()
            .unwrap();
        program.load().unwrap();

        let mut endpoints: HashMap<_, u32, u8> =
            HashMap::try_from(object.take_map(ebpf::ENDPOINTS).unwrap()).unwrap();
        for address in [OURS, ALSO_OURS] {
            endpoints.insert(u32::from_ne_bytes(address), 0, 0).unwrap();
        }
        // SAFETY: makes a descriptor that nobody else has.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        let mut sockets = XskMap::try_from(object.take_map(ebpf::SOCKETS).unwrap()).unwrap();
        sockets.set(0, socket.as_raw_fd(), 0).unwrap();
        let mut steered = Self {
            mode: Array::try_from(object.take_map(ebpf::MODE).unwrap()).unwrap(),
            object,
            sockets,
            _socket: socket,
        };
        steered.mode.set(0, mode as u32, 0).unwrap();
        steered
    }

    /// What the program says of `frame`; that it left the bytes alone is checked here.
    fn verdict(&mut self, frame: &[u8]) -> u32 {
        let mut out = vec![0; frame.len()];
        let program: &mut Xdp = self
            .object
            .program_mut(ebpf::PROGRAM)
            .unwrap()
            .try_into()
            .unwrap();
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        let ran = program.test_run(options).unwrap();
        assert_eq!(out, frame, "the frame was changed");
        ran.return_value
    }

    fn counts(&self) -> (u64, u64) {
        let map = self.object.map(ebpf::STEERED).unwrap();
        let counts: PerCpuArray<_, u64> = PerCpuArray::try_from(map).unwrap();
        let sum = |index| counts.get(&index, 0).unwrap().iter().sum();
        (sum(ebpf::TO_US), sum(ebpf::TO_KERNEL))
    }
}

/// An Ethernet frame: two addresses, a type, and what is behind.
fn ethernet(kind: u16, behind: &[u8]) -> Vec<u8> {
    let mut frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02".to_vec();
    frame.extend(kind.to_be_bytes());
    frame.extend(behind);
    frame
}

/// An IPv4 packet of `protocol` to `destination`, with `options` (whole words) in its header.
fn ipv4(protocol: u8, destination: [u8; 4], options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let length = u16::try_from(20 + options.len() + payload.len()).unwrap();
    let mut packet = vec![0x40 | words, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]); // id 1, do not fragment, TTL 64
    packet.extend([192, 0, 2, 9]);
    packet.extend(destination);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// GRE with a key, and an Ethernet frame in it.
fn gre() -> Vec<u8> {
    let mut packet = vec![0x20, 0, 0x65, 0x58, 0, 0, 0x13, 0x89];
    packet.extend(ethernet(0x88b5, &[0; 46]));
    packet
}

fn tunnelled(destination: [u8; 4]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(GRE, destination, &[], &gre()))
}

#[test]
fn gre_to_an_endpoint_is_ours_and_gre_to_others_is_not() {
    let mut steered = Steered::new(Mode::Tunnels);
    assert_eq!(steered.verdict(&tunnelled(OURS)), REDIRECT);
    assert_eq!(steered.verdict(&tunnelled(ALSO_OURS)), REDIRECT);
    assert_eq!(steered.verdict(&tunnelled(ANOTHERS)), PASS);
    let mut reversed = OURS;
    reversed.reverse();
    assert_eq!(steered.verdict(&tunnelled(reversed)), PASS);
    assert_eq!(steered.counts(), (2, 2));
}

#[test]
fn every_other_protocol_to_an_endpoint_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for protocol in 0..=255 {
        let frame = ethernet(0x0800, &ipv4(protocol, OURS, &[], &gre()));
        let expected = if protocol == GRE { REDIRECT } else { PASS };
        assert_eq!(steered.verdict(&frame), expected, "protocol {protocol}");
    }
}

#[test]
fn every_other_ethertype_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    let packet = ipv4(GRE, OURS, &[], &gre());
    for kind in (0..=0xffff).filter(|kind| *kind != 0x0800) {
        assert_eq!(
            steered.verdict(&ethernet(kind, &packet)),
            PASS,
            "type {kind:#06x}"
        );
    }
    // ARP and IPv6 in their own shape, and GRE to us behind one tag and two.
    let arp = ethernet(
        0x0806,
        b"\0\x01\x08\0\x06\x04\0\x01\x02\0\0\0\0\x02\xc0\0\x02\x09\0\0\0\0\0\0\xc0\0\x02\x01",
    );
    assert_eq!(steered.verdict(&arp), PASS);
    let mut ipv6 = vec![0x60, 0, 0, 0, 0, 8, GRE, 64];
    ipv6.extend([0x20; 32]);
    ipv6.extend(gre());
    assert_eq!(steered.verdict(&ethernet(0x86dd, &ipv6)), PASS);
    let tagged = [&[0, 5, 0x08, 0], &packet[..]].concat();
    assert_eq!(steered.verdict(&ethernet(0x8100, &tagged)), PASS);
    let twice = [&[0, 5, 0x81, 0], &tagged[..]].concat();
    assert_eq!(steered.verdict(&ethernet(0x88a8, &twice)), PASS);
}

#[test]
fn a_frame_cut_off_before_the_destination_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    let whole = tunnelled(OURS);
    // The kernel runs no frame shorter than an Ethernet header.
    for len in 14..=whole.len() {
        let expected = if len < 34 { PASS } else { REDIRECT };
        assert_eq!(steered.verdict(&whole[..len]), expected, "{len} bytes");
    }
}

#[test]
fn ip_options_and_fragments_are_looked_past() {
    let mut steered = Steered::new(Mode::Tunnels);
    for words in 0..=10 {
        let options = vec![1; words * 4];
        let frame = ethernet(0x0800, &ipv4(GRE, OURS, &options, &gre()));
        assert_eq!(
            steered.verdict(&frame),
            REDIRECT,
            "{words} words of options"
        );
        let frame = ethernet(0x0800, &ipv4(UDP, OURS, &options, &gre()));
        assert_eq!(steered.verdict(&frame), PASS, "{words} words of options");
    }
    for fragment in [[0x20, 0], [0x20, 100], [0, 100], [0x1f, 0xff]] {
        let mut frame = tunnelled(OURS);
        frame[14 + 6..14 + 8].copy_from_slice(&fragment);
        assert_eq!(steered.verdict(&frame), REDIRECT, "fragment {fragment:?}");
    }
}

#[test]
fn a_header_that_is_no_ipv4_header_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for first in 0..=255u8 {
        let mut frame = tunnelled(OURS);
        frame[14] = first;
        let valid = first >> 4 == 4 && first & 15 >= 5;
        let expected = if valid { REDIRECT } else { PASS };
        assert_eq!(steered.verdict(&frame), expected, "first byte {first:#04x}");
    }
}

#[test]
fn a_guests_port_gives_every_frame_and_a_fresh_one_none() {
    let frames = [
        tunnelled(OURS),
        tunnelled(ANOTHERS),
        ethernet(0x0806, &[0; 46]),
        ethernet(0x86dd, &[0; 46]),
        ethernet(0x0800, &[]),
        ethernet(0x0800, &[0; 1500]),
    ];
    let mut everything = Steered::new(Mode::Everything);
    let mut nothing = Steered::new(Mode::Nothing);
    for frame in &frames {
        assert_eq!(everything.verdict(frame), REDIRECT);
        assert_eq!(nothing.verdict(frame), PASS);
    }
    assert_eq!(everything.counts(), (6, 0));
    assert_eq!(nothing.counts(), (0, 6));
}

#[test]
fn a_mode_nobody_defined_takes_nothing() {
    let mut steered = Steered::new(Mode::Everything);
    for mode in [3, 4, 255, u32::MAX] {
        steered.mode.set(0, mode, 0).unwrap();
        assert_eq!(steered.verdict(&tunnelled(OURS)), PASS, "mode {mode}");
    }
}

#[test]
fn a_queue_without_a_socket_is_the_kernels() {
    for mode in [Mode::Everything, Mode::Tunnels] {
        let mut steered = Steered::new(mode);
        assert_eq!(steered.verdict(&tunnelled(OURS)), REDIRECT);
        steered.sockets.unset(0).unwrap();
        assert_eq!(steered.verdict(&tunnelled(OURS)), PASS);
        assert_eq!(steered.counts(), (1, 1));
    }
}

#[test]
fn the_maps_have_the_room_the_layout_says() {
    let mut steered = Steered::new(Mode::Nothing);
    assert_eq!(steered.sockets.len(), ebpf::QUEUES_MAX);
    assert_eq!(steered.mode.len(), 1);
    let counts = steered.object.take_map(ebpf::STEERED).unwrap();
    let counts: PerCpuArray<_, u64> = PerCpuArray::try_from(counts).unwrap();
    assert_eq!(counts.len(), 2);

    let mut object = Ebpf::load(ebpf::STEER).unwrap();
    let endpoints = object.take_map(ebpf::ENDPOINTS).unwrap();
    let mut endpoints: HashMap<_, u32, u8> = HashMap::try_from(endpoints).unwrap();
    for address in 0..u32::try_from(ebpf::ENDPOINTS_MAX).unwrap() {
        endpoints.insert(address, 0, 0).unwrap();
    }
    assert!(endpoints.insert(99, 0, 0).is_err(), "no room for one more");
}
