//! What a tunnel may want beside a key: checksums, numbers, UDP, IPv6, a VLAN, marks, fragments.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use program::UnderlayProgram;
use program::link::{Hop, NextHop, Request};
use program::{DontFragment, Dscp, Mac, Oversize, Program, Sequence, Transport, TunnelProgram};
use sim::{Guest, Lab, Setup, ethernet, gre_with, ipv4, udp};
use std::net::Ipv4Addr;
use switch::DropReason;
use wire::checksum;
use wire::ecn::{Ecn, decapsulated};
use wire::l4::Protocol;

const VNET: u32 = 7;
const ALL: [u8; 6] = [0xff; 6];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
const A: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

/// Two hosts whose tunnels `say` more, a guest on each, and both known to both.
fn two(setup: Setup, say: impl Fn(&mut TunnelProgram)) -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(setup);
    lab.network_with(VNET, |_| (), say);
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    lab.send(&a, &ethernet(ALL, a.mac));
    lab.send(&b, &ethernet(a.mac, b.mac));
    lab.received(&a);
    lab.received(&b);
    lab.wire();
    lab.captured();
    lab.moved();
    (lab, a, b)
}

/// A UDP datagram of `len` bytes from `a` to `b`, with this type of service.
fn datagram(a: &Guest, b: &Guest, len: usize, tos: u8) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
    let datagram = udp((A, B), &payload);
    let mut frame = ipv4((b.mac, a.mac), (A, B), Protocol::UDP, &datagram);
    wire::ecn::set_tos_v4(&mut frame[14..], tos);
    frame
}

#[test]
fn all_eight_headers_go_both_ways_over_both_families_plain_and_in_udp() {
    for combination in 0..32u8 {
        let bit = |n: u8| combination >> n & 1 == 1;
        let setup = Setup {
            v6: bit(3),
            ..Setup::default()
        };
        let (mut lab, a, b) = two(setup, |tunnel| {
            tunnel.keyed = bit(0);
            tunnel.checksum = bit(1);
            tunnel.sequence = if bit(2) {
                Sequence::Ordered
            } else {
                Sequence::None
            };
            tunnel.transport = if bit(4) {
                Transport::Udp
            } else {
                Transport::Gre
            };
        });
        let frame = datagram(&a, &b, 333, 0);
        lab.send(&a, &frame);
        assert_eq!(lab.received(&b), [frame], "{combination:05b}");
        let back = ethernet(a.mac, b.mac);
        lab.send(&b, &back);
        assert_eq!(lab.received(&a), [back], "{combination:05b}");

        let hosts = if bit(3) {
            "fd00::1 > fd00::2"
        } else {
            "10.0.0.1 > 10.0.0.2"
        };
        let within = if bit(4) { "udp gre" } else { "gre" };
        let key = if bit(0) { "key 7" } else { "no key" };
        let summed = if bit(1) { " csum" } else { "" };
        let number = if bit(2) { " seq 1" } else { "" };
        let line = format!("{hosts} {within} {key}{summed}{number} | eth 01 > 02, 375 bytes");
        assert_eq!(lab.wire()[0], line, "{combination:05b}");
    }
}

/// A GRE packet with the key of the network and `number`, if any, from host 1 to host 0.
fn numbered(lab: &Lab, number: Option<u32>) -> Vec<u8> {
    let mut header = vec![0x20, 0x00, 0x65, 0x58];
    header.extend(VNET.to_be_bytes());
    if let Some(number) = number {
        header[0] |= 0x10;
        header.extend(number.to_be_bytes());
    }
    let inner = ethernet(ALL, STRANGER);
    gre_with(lab.address(1), lab.address(0), &header, &inner)
}

#[test]
fn numbers_are_noted_and_where_order_is_asked_for_it_is_kept() {
    for ordered in [false, true] {
        let mut lab = Lab::with(Setup::default());
        lab.network_with(
            VNET,
            |_| (),
            |tunnel| {
                tunnel.sequence = if ordered {
                    Sequence::Ordered
                } else {
                    Sequence::Sent
                };
            },
        );
        let a = lab.guest(0, VNET);
        // Any number may be the first; then two are missing; then one is late, and one comes
        // twice; then they go on, around the end of all numbers.
        let start = u32::MAX - 2;
        let mut came = |number: Option<u32>| {
            lab.moved();
            let packet = numbered(&lab, number);
            lab.arrive(0, &packet);
            (lab.received(&a).len(), lab.moved().pop().unwrap())
        };
        let late = usize::from(!ordered);
        assert_eq!(came(Some(start)).0, 1);
        let (delivered, moved) = came(Some(start.wrapping_add(3)));
        assert_eq!(delivered, 1);
        assert!(moved.contains("sequence_gap 2"), "{moved}");
        for number in [start.wrapping_add(1), start.wrapping_add(3)] {
            let (delivered, moved) = came(Some(number));
            assert_eq!(delivered, late, "{moved}");
            assert!(moved.contains("sequence_late 1"), "{moved}");
            let name = DropReason::OutOfOrder.name();
            assert_eq!(moved.contains(name), ordered, "{moved}");
        }
        assert_eq!(came(Some(start.wrapping_add(4))).0, 1);
        let (delivered, moved) = came(None);
        assert_eq!(delivered, late);
        let name = DropReason::NoSequence.name();
        assert_eq!(moved.contains(name), ordered, "{moved}");
    }
}

#[test]
fn a_peer_has_a_keyed_and_an_unkeyed_tunnel_and_neither_is_the_other() {
    let mut lab = Lab::with(Setup::default());
    lab.network(0);
    lab.network_with(VNET, |_| (), |tunnel| tunnel.keyed = false);
    let (zero, none) = (lab.guest(0, 0), lab.guest(0, VNET));
    let (from, to) = (lab.address(1), lab.address(0));
    let inner = ethernet(ALL, STRANGER);
    lab.arrive(
        0,
        &gre_with(from, to, &[0x20, 0, 0x65, 0x58, 0, 0, 0, 0], &inner),
    );
    assert_eq!(
        (lab.received(&zero).len(), lab.received(&none).len()),
        (1, 0)
    );
    lab.arrive(0, &gre_with(from, to, &[0, 0, 0x65, 0x58], &inner));
    assert_eq!(
        (lab.received(&zero).len(), lab.received(&none).len()),
        (0, 1)
    );
    // Its own number as a key is no key of an unkeyed tunnel.
    lab.moved();
    lab.arrive(
        0,
        &gre_with(from, to, &[0x20, 0, 0x65, 0x58, 0, 0, 0, 7], &inner),
    );
    let name = DropReason::UnknownPeer.name();
    let moved = lab.moved();
    assert!(moved[0].contains(name), "{moved:?}");
}

#[test]
fn every_mark_on_the_way_reaches_the_guest_as_rfc_6040_says() {
    for v6 in [false, true] {
        let setup = Setup {
            v6,
            ..Setup::default()
        };
        for inner in 0..4u8 {
            let (mut lab, a, b) = two(setup, |_| ());
            lab.send(&a, &datagram(&a, &b, 100, inner | 0x20));
            let packet = lab.captured().remove(0);
            assert_eq!(
                tos(&packet[14..]),
                inner,
                "the mark goes out, and the class does not"
            );
            lab.received(&b);
            for outer in 0..4u8 {
                let mut packet = packet.clone();
                set_tos(&mut packet[14..], outer);
                lab.moved();
                lab.arrive(1, &packet);
                let arrived = lab.received(&b);
                let expected = decapsulated(Ecn::from_tos(inner), Ecn::from_tos(outer));
                let seen = arrived.first().map(|frame| Ecn::from_tos(frame[15]));
                assert_eq!(seen, expected, "inner {inner}, outer {outer}");
                if let Some(frame) = arrived.first() {
                    assert_eq!(checksum::sum(&frame[14..34]), 0xffff);
                    assert_eq!(frame[15] >> 2, 0x20 >> 2);
                } else {
                    let moved = lab.moved().join("; ");
                    let name = DropReason::EcnDropped.name();
                    assert!(
                        moved.contains(name) && moved.contains("ecn_odd 1"),
                        "{moved}"
                    );
                }
            }
        }
    }
}

fn tos(ip: &[u8]) -> u8 {
    if ip[0] >> 4 == 4 {
        ip[1]
    } else {
        ip[0] << 4 | ip[1] >> 4
    }
}

fn set_tos(ip: &mut [u8], tos: u8) {
    if ip[0] >> 4 == 4 {
        wire::ecn::set_tos_v4(ip, tos);
    } else {
        wire::ecn::set_traffic_class_v6(ip, tos);
    }
}

#[test]
fn a_class_goes_through_in_the_uniform_model_and_stays_in_the_pipe() {
    let class = |dscp| {
        let (mut lab, a, b) = two(Setup::default(), |tunnel| {
            (tunnel.dscp, tunnel.ttl) = (dscp, 17);
        });
        lab.send(&a, &datagram(&a, &b, 100, 0xb8));
        let mut packet = lab.captured().remove(0);
        assert_eq!(packet[22], 17, "the time to live is the tunnel's");
        assert_eq!(checksum::sum(&packet[14..34]), 0xffff);
        let out = packet[15];
        // Somebody on the way makes another class of it.
        set_tos(&mut packet[14..], 0x28);
        lab.received(&b);
        lab.arrive(1, &packet);
        (out, lab.received(&b)[0][15])
    };
    assert_eq!(class(Dscp::Uniform), (0xb8, 0x28));
    assert_eq!(class(Dscp::Pipe(10)), (10 << 2, 0xb8));
}

#[test]
fn the_inner_packet_says_whether_the_outer_one_may_be_cut() {
    for (df, cut, whole) in [
        (DontFragment::Set, 0x40, 0x40),
        (DontFragment::Clear, 0, 0),
        (DontFragment::Copy, 0, 0x40),
    ] {
        let (mut lab, a, b) = two(Setup::default(), |tunnel| tunnel.df = df);
        let mut frame = datagram(&a, &b, 100, 0);
        let mut sent = |frame: &[u8]| {
            lab.send(&a, frame);
            let packet = lab.captured().remove(0);
            assert_eq!(checksum::sum(&packet[14..34]), 0xffff);
            (
                packet[20] & 0x40,
                u16::from_be_bytes([packet[18], packet[19]]),
            )
        };
        let (first, second) = (sent(&frame), sent(&frame));
        assert_eq!(first.0, whole, "{df:?}");
        let told_apart = first.1 != second.1;
        assert_eq!(
            told_apart,
            whole == 0,
            "{df:?}: fragments need a number of their own"
        );
        frame[20] = 0;
        frame[24..26].fill(0);
        let sum = checksum::of(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(sent(&frame).0, cut, "{df:?}");
        // What is not IP says nothing, and must then not be cut.
        let other = sent(&ethernet(b.mac, a.mac)).0;
        assert_eq!(other, if df == DontFragment::Clear { 0 } else { 0x40 });
    }
}

#[test]
fn tunnel_packets_in_fragments_are_put_together_in_any_order() {
    for (v6, mtu, pieces) in [
        (false, 600, 3),
        (true, 600, 3),
        (false, 1400, 2),
        (true, 1400, 2),
    ] {
        let setup = Setup {
            v6,
            mtu,
            ..Setup::default()
        };
        let (mut lab, a, b) = two(setup, |tunnel| {
            (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
        });
        let frame = datagram(&a, &b, 1450, 0);
        lab.send(&a, &frame);
        assert_eq!(lab.received(&b).first(), Some(&frame), "v6 {v6}, mtu {mtu}");
        assert_eq!(lab.wire().len(), pieces, "v6 {v6}, mtu {mtu}");
        let moved = lab.moved().join("\n");
        assert!(moved.contains(&format!("copied {}", pieces - 1)), "{moved}");
        assert!(moved.contains(&format!("merged {}", pieces - 1)), "{moved}");
        let mut packets = lab.captured();
        assert!(
            packets
                .iter()
                .all(|packet| packet.len() <= 14 + mtu as usize)
        );
        packets.reverse();
        for packet in &packets {
            lab.arrive_quietly(1, packet);
        }
        lab.settle();
        assert_eq!(lab.received(&b), [frame], "backwards");
    }
}

#[test]
fn a_vlan_carries_the_underlay_and_guests_tags_go_through_inside() {
    let mut lab = Lab::new(2, VNET);
    for n in 0..2 {
        let endpoint = lab.address(n).into();
        let interface = "under".to_owned().try_into().unwrap();
        let name = "under".to_owned().try_into().unwrap();
        let mut program = UnderlayProgram::new(name, endpoint, interface);
        program.vlan = Some(42);
        lab.put(n, Program::Underlay(program));
    }
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    let mut inner = ethernet(b.mac, a.mac);
    inner.splice(12..12, [0x88, 0xa8, 0, 7, 0x81, 0, 0, 9]);
    lab.send(&a, &inner);
    let packet = lab.captured().remove(0);
    assert_eq!(packet[12..18], [0x81, 0x00, 0, 42, 0x08, 0x00]);
    lab.arrive(1, &packet);
    assert_eq!(lab.received(&b), [inner]);
}

#[test]
fn flows_are_spread_over_equal_ways_and_each_keeps_to_its_own() {
    let (mut lab, a, b) = two(Setup::default(), |_| ());
    let (remote, from) = (lab.endpoint(1), Mac([2, 1, 0, 0, 0, 1]));
    let hop = |last| Hop {
        interface: "under".to_owned().try_into().unwrap(),
        source: from,
        destination: Mac([2, 9, 0, 0, 0, last]),
    };
    let next_hops = vec![NextHop {
        remote,
        hops: vec![hop(1), hop(2), hop(3)],
        mtu: 1600,
    }];
    let (host, now) = lab.host(0);
    host.ask(Request::NextHops { next_hops }, now);
    let mut taken = [0; 3];
    for port in 10_000..10_300u16 {
        let mut frame = datagram(&a, &b, 64, 0);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[40..42].fill(0);
        lab.send(&a, &frame);
        lab.send(&a, &frame);
        let ways: Vec<u8> = lab.captured().iter().map(|packet| packet[5]).collect();
        assert_eq!(ways[0], ways[1], "one flow, one way");
        taken[usize::from(ways[0]) - 1] += 1;
    }
    assert!(
        taken.iter().all(|count| (60..140).contains(count)),
        "{taken:?}"
    );
}

#[test]
fn in_udp_a_flow_has_its_port_and_over_ipv6_its_label() {
    let setup = Setup {
        v6: true,
        ..Setup::default()
    };
    let (mut lab, a, b) = two(setup, |tunnel| tunnel.transport = Transport::Udp);
    let mut seen = std::collections::BTreeSet::new();
    for port in 10_000..10_064u16 {
        let mut frame = datagram(&a, &b, 64, 0);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[40..42].fill(0);
        lab.send(&a, &frame);
        let packet = lab.captured().remove(0);
        let label = u32::from_be_bytes([0, packet[15] & 15, packet[16], packet[17]]);
        let from = u16::from_be_bytes([packet[54], packet[55]]);
        assert!(label != 0 && from >= 0xc000, "label {label}, port {from}");
        assert_eq!(packet[56..58], 4754u16.to_be_bytes());
        seen.insert((label, from));
    }
    assert!(seen.len() > 60, "{} of 64 flows are told apart", seen.len());
}

#[test]
fn gre_in_udp_with_a_wrong_checksum_is_told_apart() {
    let setup = Setup {
        v6: true,
        ..Setup::default()
    };
    let (mut lab, a, b) = two(setup, |tunnel| tunnel.transport = Transport::Udp);
    lab.send(&a, &datagram(&a, &b, 64, 0));
    let mut packet = lab.captured().remove(0);
    let last = packet.len() - 1;
    packet[last] ^= 1;
    lab.received(&b);
    lab.moved();
    lab.arrive(1, &packet);
    let name = DropReason::UdpChecksum.name();
    assert!(
        lab.moved()
            .contains(&format!("h1 underlay under: received 1, {name} 1"))
    );
    assert!(lab.received(&b).is_empty());
}
