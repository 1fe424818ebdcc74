//! What the steering program says of each kind of frame, asked of the kernel itself. Wants root.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

mod packets;
mod reader;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use ebpf::Mode;
use packets::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PASS: u32 = 2;
const REDIRECT: u32 = 4;

/// The program in the kernel, attached to nothing, with a socket for the queue that test frames
/// come in on.
struct Steered {
    object: Ebpf,
    mode: Array<MapData, u32>,
    vlan: Array<MapData, u32>,
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
        let mut endpoints6: HashMap<_, [u8; 16], u8> =
            HashMap::try_from(object.take_map(ebpf::ENDPOINTS6).unwrap()).unwrap();
        for address in [OURS6, ALSO_OURS6] {
            endpoints6.insert(address, 0, 0).unwrap();
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
            vlan: Array::try_from(object.take_map(ebpf::VLAN).unwrap()).unwrap(),
            object,
            sockets,
            _socket: socket,
        };
        steered.mode.set(0, mode as u32, 0).unwrap();
        steered.vlan.set(0, ebpf::UNTAGGED, 0).unwrap();
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

#[test]
fn what_is_ours_is_taken_and_every_part_cut_off_in_front_of_knowing_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for (name, whole, needed) in all_that_is_ours() {
        assert!(needed <= whole.len(), "{name}");
        // The kernel runs no frame shorter than an Ethernet header.
        for len in 14..=whole.len() {
            let expected = if len < needed { PASS } else { REDIRECT };
            let said = steered.verdict(&whole[..len]);
            assert_eq!(said, expected, "{name}: {len} bytes");
        }
    }
}

#[test]
fn what_is_to_another_address_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for (name, mut frame, _) in all_that_is_ours() {
        let tag =
            if frame[12..14] == TAG.to_be_bytes() || frame[12..14] == SERVICE_TAG.to_be_bytes() {
                4
            } else {
                0
            };
        let over6 = frame[14 + tag] >> 4 == 6;
        let last = if over6 { 14 + tag + 39 } else { 14 + tag + 19 };
        assert_eq!(steered.verdict(&frame), REDIRECT, "{name}");
        frame[last] = 3;
        assert_eq!(steered.verdict(&frame), PASS, "{name}");
    }
    for (endpoint, endpoint6) in [(OURS, OURS6), (ALSO_OURS, ALSO_OURS6)] {
        assert_eq!(steered.verdict(&tunnelled(endpoint)), REDIRECT);
        assert_eq!(steered.verdict(&tunnelled6(endpoint6)), REDIRECT);
        let (mut reversed, mut reversed6) = (endpoint, endpoint6);
        reversed.reverse();
        reversed6.reverse();
        assert_eq!(steered.verdict(&tunnelled(reversed)), PASS);
        assert_eq!(steered.verdict(&tunnelled6(reversed6)), PASS);
    }
    // Every bit of an address counts.
    for bit in 0..128 {
        let mut near = OURS6;
        near[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(steered.verdict(&tunnelled6(near)), PASS, "bit {bit}");
    }
}

#[test]
fn every_other_protocol_to_an_endpoint_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for protocol in 0..=255 {
        let expected = if protocol == GRE { REDIRECT } else { PASS };
        let frame = ethernet(IPV4, &ipv4(protocol, OURS, &[], &gre()));
        assert_eq!(steered.verdict(&frame), expected, "protocol {protocol}");
        for extensions in [&[][..], &[HOP_BY_HOP], &[FRAGMENT, OPTIONS]] {
            let frame = extended(extensions, 0, protocol, &gre());
            let said = steered.verdict(&frame);
            assert_eq!(said, expected, "{protocol} behind {extensions:?}");
        }
        // What is GRE-in-UDP's port there is no port in another protocol.
        let expected = match protocol {
            GRE | UDP => REDIRECT,
            _ => PASS,
        };
        let frame = ethernet(IPV4, &ipv4(protocol, OURS, &[], &udp(GRE_PORT)));
        assert_eq!(steered.verdict(&frame), expected, "protocol {protocol}");
        let frame = extended(&[OPTIONS], 0, protocol, &udp(GRE_PORT));
        assert_eq!(steered.verdict(&frame), expected, "next header {protocol}");
    }
}

#[test]
fn every_other_ethertype_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    let (packet, packet6) = (ipv4(GRE, OURS, &[], &gre()), ipv6(GRE, OURS6, &gre()));
    for kind in 0..=0xffff {
        let said = [&packet, &packet6].map(|packet| steered.verdict(&ethernet(kind, packet)));
        let expected = match kind {
            IPV4 => [REDIRECT, PASS],
            IPV6 => [PASS, REDIRECT],
            _ => [PASS, PASS],
        };
        assert_eq!(said, expected, "type {kind:#06x}");
    }
    let arp = ethernet(
        0x0806,
        b"\0\x01\x08\0\x06\x04\0\x01\x02\0\0\0\0\x02\xc0\0\x02\x09\0\0\0\0\0\0\xc0\0\x02\x01",
    );
    assert_eq!(steered.verdict(&arp), PASS);
}

#[test]
fn frames_of_our_vlan_are_ours_and_those_of_every_other_are_not() {
    let mut steered = Steered::new(Mode::Tunnels);
    for frame in [tunnelled(OURS), tunnelled6(OURS6)] {
        // A fresh map holds 0, which is no VLAN too. 0xffff_fffe and 0x1005 are no VLAN's number.
        for told in [ebpf::UNTAGGED, 0, 5, 1, 4094, 0x1005, 0xffff_fffe] {
            steered.vlan.set(0, told, 0).unwrap();
            let untagged = told == ebpf::UNTAGGED || told == 0;
            let expected = if untagged { REDIRECT } else { PASS };
            assert_eq!(steered.verdict(&frame), expected, "{told:#x}, no tag");
            for vlan in 0..=0x0fff {
                let ours = u32::from(vlan) == if untagged { 0 } else { told };
                let expected = if ours { REDIRECT } else { PASS };
                for (kind, priority) in [(TAG, 0), (SERVICE_TAG, 0), (TAG, 0xf000)] {
                    let said = steered.verdict(&tagged(kind, priority | vlan, &frame));
                    assert_eq!(said, expected, "told {told:#x}, {kind:#x} of {vlan}");
                }
            }
        }
    }
}

#[test]
fn a_frame_with_two_tags_or_with_a_tag_of_another_kind_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for told in [ebpf::UNTAGGED, 5] {
        steered.vlan.set(0, told, 0).unwrap();
        for frame in [tunnelled(OURS), tunnelled6(OURS6)] {
            for (outer, inner) in [(TAG, TAG), (SERVICE_TAG, TAG), (TAG, SERVICE_TAG)] {
                for (vlan, behind) in [(0, 0), (5, 5), (0, 5), (5, 0)] {
                    let twice = tagged(outer, vlan, &tagged(inner, behind, &frame));
                    assert_eq!(steered.verdict(&twice), PASS, "{told}: {vlan}, {behind}");
                }
            }
            for kind in [0x9100, 0x8847] {
                assert_eq!(steered.verdict(&tagged(kind, 5, &frame)), PASS);
            }
        }
    }
}

#[test]
fn ip_options_are_looked_past() {
    let mut steered = Steered::new(Mode::Tunnels);
    for words in 0..=10 {
        // Options that would be the port, read where the header ends without them.
        let options = GRE_PORT.to_be_bytes().repeat(words * 2);
        for (protocol, behind, expected) in [
            (GRE, gre(), REDIRECT),
            (UDP, udp(GRE_PORT), REDIRECT),
            (UDP, udp(GRE_PORT + 1), PASS),
            (ICMPV4, icmp(3, 4, &sent4(GRE, OURS, &gre(), 28)), REDIRECT),
            (ICMPV4, icmp(3, 4, &sent4(TCP, OURS, &gre(), 28)), PASS),
        ] {
            let frame = ethernet(IPV4, &ipv4(protocol, OURS, &options, &behind));
            let said = steered.verdict(&frame);
            assert_eq!(said, expected, "{protocol} behind {words} words of options");
        }
    }
}

#[test]
fn only_the_port_of_gre_in_udp_is_ours() {
    let mut steered = Steered::new(Mode::Tunnels);
    for port in (0..=0xffff).step_by(97).chain([4753, 4754, 4755, 0x9212]) {
        let expected = if port == GRE_PORT { REDIRECT } else { PASS };
        let frame = ethernet(IPV4, &ipv4(UDP, OURS, &[], &udp(port)));
        assert_eq!(steered.verdict(&frame), expected, "port {port}");
        let frame = extended(&[], 0, UDP, &udp(port));
        assert_eq!(steered.verdict(&frame), expected, "port {port}");
    }
    // As a source it is an answer to somebody else.
    let mut answer = udp(49152);
    answer[..2].copy_from_slice(&GRE_PORT.to_be_bytes());
    let frame = ethernet(IPV4, &ipv4(UDP, OURS, &[], &answer));
    assert_eq!(steered.verdict(&frame), PASS);
    assert_eq!(steered.verdict(&extended(&[], 0, UDP, &answer)), PASS);
}

#[test]
fn every_fragment_of_gre_is_ours_but_of_udp_only_the_first_and_of_icmp_none() {
    let mut steered = Steered::new(Mode::Tunnels);
    let quoted = icmp(3, 4, &sent4(GRE, OURS, &gre(), 28));
    let quoted6 = icmp(2, 0, &sent6(GRE, OURS6, &gre(), 60));
    let options = [&[GRE, 0, 0, 0, 0, 0, 0, 0], &gre()[..]].concat();
    for (offset, more) in [(0u16, true), (1, true), (100, false), (0x1fff, false)] {
        let first = if offset == 0 { REDIRECT } else { PASS };
        for (protocol, behind, expected) in [
            (GRE, &gre(), REDIRECT),
            (UDP, &udp(GRE_PORT), first),
            (ICMPV4, &quoted, PASS),
        ] {
            let mut frame = ethernet(IPV4, &ipv4(protocol, OURS, &[], behind));
            let field = offset | if more { 0x2000 } else { 0 };
            frame[14 + 6..14 + 8].copy_from_slice(&field.to_be_bytes());
            let said = steered.verdict(&frame);
            assert_eq!(said, expected, "{protocol} at {offset}, IPv4");
        }
        for (protocol, behind, expected) in [
            (GRE, &gre(), REDIRECT),
            (UDP, &udp(GRE_PORT), first),
            (ICMPV6, &quoted6, PASS),
            // What is behind them, a later fragment does not say.
            (OPTIONS, &options, first),
        ] {
            for before in [&[][..], &[HOP_BY_HOP, ROUTING]] {
                let extensions = [before, &[FRAGMENT]].concat();
                let mut frame = extended(&extensions, 0, protocol, behind);
                let at = 54 + before.len() * 8 + 2;
                let field = offset << 3 | u16::from(more);
                frame[at..at + 2].copy_from_slice(&field.to_be_bytes());
                let said = steered.verdict(&frame);
                assert_eq!(said, expected, "{protocol} at {offset}, IPv6");
            }
        }
    }
    // A part stays one, whatever a second fragment header says.
    for (protocol, behind, expected) in [
        (GRE, &gre(), REDIRECT),
        (UDP, &udp(GRE_PORT), REDIRECT),
        (ICMPV6, &quoted6, PASS),
    ] {
        let mut frame = extended(&[FRAGMENT, FRAGMENT], 0, protocol, behind);
        frame[54 + 3] = 1; // the first says that more follow
        assert_eq!(steered.verdict(&frame), expected, "{protocol}");
    }
}

#[test]
fn four_extension_headers_are_walked_and_five_are_not() {
    let mut steered = Steered::new(Mode::Tunnels);
    let kinds = [HOP_BY_HOP, OPTIONS, ROUTING, FRAGMENT];
    // Every chain of up to five: the digits of a number.
    for count in 0..=5 {
        for number in 0..4usize.pow(count) {
            let chain: Vec<_> = (0..count)
                .map(|place| kinds[number >> (2 * place) & 3])
                .collect();
            let expected = if count <= 4 { REDIRECT } else { PASS };
            let frame = extended(&chain, 1, GRE, &gre());
            assert_eq!(steered.verdict(&frame), expected, "{chain:?}");
            let frame = extended(&chain, 0, UDP, &udp(GRE_PORT));
            assert_eq!(steered.verdict(&frame), expected, "{chain:?}");
        }
    }
    // The longest there is; and those that are no extension headers of ours to walk.
    let long = extended(&[OPTIONS], 255, UDP, &udp(GRE_PORT));
    assert_eq!(steered.verdict(&long), REDIRECT);
    assert_eq!(
        steered.verdict(&extended(&[OPTIONS], 255, UDP, &udp(1))),
        PASS
    );
    for other in [50, 51, 59, 135, 139, 140, 253] {
        let frame = extended(&[other], 0, GRE, &gre());
        assert_eq!(steered.verdict(&frame), PASS, "next header {other}");
    }
}

#[test]
fn an_error_that_says_too_big_is_ours_if_it_quotes_what_we_sent() {
    let mut steered = Steered::new(Mode::Tunnels);
    let (to, from) = (udp(GRE_PORT), udp(GRE_PORT + 1));
    for (quoting, us, protocol, payload, expected) in [
        ("GRE", true, GRE, gre(), REDIRECT),
        ("GRE-in-UDP", true, UDP, to.clone(), REDIRECT),
        ("other UDP", true, UDP, from, PASS),
        ("TCP", true, TCP, to.clone(), PASS),
        ("another's GRE", false, GRE, gre(), PASS),
        ("another's GRE-in-UDP", false, UDP, to, PASS),
    ] {
        let (us4, us6) = if us {
            (OURS, OURS6)
        } else {
            (ANOTHERS, ANOTHERS6)
        };
        let quoted = sent4(protocol, us4, &payload, 28);
        let quoted6 = sent6(protocol, us6, &payload, 60);
        let verdicts = [
            steered.verdict(&too_big4(OURS, &quoted)),
            steered.verdict(&too_big6(OURS6, &quoted6)),
        ];
        assert_eq!(verdicts, [expected; 2], "{quoting}");
        // To another, even if it quotes us; and to us, quoting our other endpoint: an error goes
        // to the one it quotes.
        assert_eq!(steered.verdict(&too_big4(ANOTHERS, &quoted)), PASS);
        assert_eq!(steered.verdict(&too_big6(ANOTHERS6, &quoted6)), PASS);
        assert_eq!(steered.verdict(&too_big4(ALSO_OURS, &quoted)), PASS);
        assert_eq!(steered.verdict(&too_big6(ALSO_OURS6, &quoted6)), PASS);
    }
    // What we never send: options, a later fragment of UDP that shows no port, extension headers.
    let mut quoted = sent4(GRE, OURS, &gre(), 28);
    quoted[0] = 0x46;
    assert_eq!(steered.verdict(&too_big4(OURS, &quoted)), PASS);
    let mut quoted = sent4(UDP, OURS, &udp(GRE_PORT), 28);
    quoted[7] = 1;
    assert_eq!(steered.verdict(&too_big4(OURS, &quoted)), PASS);
    let behind = [&[GRE, 0, 0, 0, 0, 0, 0, 0], &gre()[..]].concat();
    let quoted = sent6(OPTIONS, OURS6, &behind, 60);
    assert_eq!(steered.verdict(&too_big6(OURS6, &quoted)), PASS);
    // A later fragment of GRE that we sent is.
    let mut quoted = sent4(GRE, OURS, &gre(), 28);
    quoted[7] = 1;
    assert_eq!(steered.verdict(&too_big4(OURS, &quoted)), REDIRECT);
}

#[test]
fn all_other_icmp_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    let quoted = sent4(GRE, OURS, &gre(), 28);
    let quoted6 = sent6(GRE, OURS6, &gre(), 60);
    for kind in 0..=255 {
        for code in [0, 1, 3, 4, 5, 255] {
            let frame = ethernet(IPV4, &ipv4(ICMPV4, OURS, &[], &icmp(kind, code, &quoted)));
            let expected = if (kind, code) == (3, 4) {
                REDIRECT
            } else {
                PASS
            };
            assert_eq!(steered.verdict(&frame), expected, "ICMP {kind} {code}");
            // RFC 4443 §3.2: of type 2, the code is ignored.
            let frame = ethernet(IPV6, &ipv6(ICMPV6, OURS6, &icmp(kind, code, &quoted6)));
            let expected = if kind == 2 { REDIRECT } else { PASS };
            assert_eq!(steered.verdict(&frame), expected, "ICMPv6 {kind} {code}");
        }
    }
    // Each family has its own.
    let frame = ethernet(IPV4, &ipv4(ICMPV6, OURS, &[], &icmp(2, 0, &quoted6)));
    assert_eq!(steered.verdict(&frame), PASS);
    let frame = ethernet(IPV6, &ipv6(ICMPV4, OURS6, &icmp(3, 4, &quoted)));
    assert_eq!(steered.verdict(&frame), PASS);
    assert_eq!(steered.verdict(&too_big4(OURS, &quoted6)), PASS);
    assert_eq!(steered.verdict(&too_big6(OURS6, &quoted)), PASS);
}

#[test]
fn a_header_of_another_version_or_length_is_the_kernels() {
    let mut steered = Steered::new(Mode::Tunnels);
    for first in 0..=255u8 {
        let (mut frame, mut frame6) = (tunnelled(OURS), tunnelled6(OURS6));
        (frame[14], frame6[14]) = (first, first);
        let valid = first >> 4 == 4 && first & 15 >= 5;
        let expected = if valid { REDIRECT } else { PASS };
        assert_eq!(steered.verdict(&frame), expected, "first byte {first:#04x}");
        let expected = if first >> 4 == 6 { REDIRECT } else { PASS };
        assert_eq!(
            steered.verdict(&frame6),
            expected,
            "first byte {first:#04x}"
        );
    }
}

/// That the program says of `frame` what the simple reader says.
fn agree(steered: &mut Steered, vlan: Option<u16>, frame: &[u8], name: &str) -> bool {
    let ours = reader::is_ours(frame, vlan);
    let expected = if ours { REDIRECT } else { PASS };
    assert_eq!(steered.verdict(frame), expected, "{name}: {frame:02x?}");
    ours
}

#[test]
fn whichever_byte_is_changed_the_program_says_what_a_simple_reader_says() {
    let mut steered = Steered::new(Mode::Tunnels);
    let mut taken = 0;
    for (name, whole, needed) in all_that_is_ours() {
        for at in 12..needed {
            let mut frame = whole.clone();
            for byte in 0..=255 {
                frame[at] = byte;
                taken += u32::from(agree(&mut steered, None, &frame, name));
            }
        }
    }
    assert!(taken > 1000, "{taken}");
}

#[test]
fn whatever_is_changed_and_cut_off_the_program_says_what_a_simple_reader_says() {
    let mut steered = Steered::new(Mode::Tunnels);
    let samples = all_that_is_ours();
    let telling = [
        0, 1, 2, 4, 5, 8, 17, 43, 44, 47, 58, 60, 0x45, 0x60, 0x81, 0xff,
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut chance = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    for vlan in [None, Some(5)] {
        let told = vlan.map_or(ebpf::UNTAGGED, u32::from);
        steered.vlan.set(0, told, 0).unwrap();
        let mut taken = 0;
        for _ in 0..20_000 {
            let (name, whole, needed) = &samples[chance(samples.len())];
            let mut frame = whole.clone();
            for _ in 0..chance(4) {
                frame[12 + chance(needed - 12)] = telling[chance(telling.len())];
            }
            frame.truncate(needed - 3 + chance(frame.len() - needed + 4));
            if let Some(vlan) = vlan {
                frame = tagged(TAG, vlan, &frame);
            }
            taken += u32::from(agree(&mut steered, vlan, &frame, name));
        }
        assert!((1000..19_000).contains(&taken), "{taken}");
    }
}

#[test]
fn a_guests_port_gives_every_frame_and_a_fresh_one_none() {
    let frames = [
        tunnelled(OURS),
        tunnelled(ANOTHERS),
        ethernet(0x0806, &[0; 46]),
        ethernet(IPV6, &[0; 46]),
        ethernet(IPV4, &[]),
        tagged(TAG, 7, &ethernet(IPV4, &[0; 1500])),
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
    assert_eq!((steered.mode.len(), steered.vlan.len()), (1, 1));
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
    let endpoints = object.take_map(ebpf::ENDPOINTS6).unwrap();
    let mut endpoints: HashMap<_, [u8; 16], u8> = HashMap::try_from(endpoints).unwrap();
    for address in 0..u8::try_from(ebpf::ENDPOINTS_MAX).unwrap() {
        endpoints.insert([address; 16], 0, 0).unwrap();
    }
    assert!(
        endpoints.insert([99; 16], 0, 0).is_err(),
        "no room for one more"
    );
}
