//! ECN and DSCP, in and out: every row of RFC 6040 and RFC 2983, over both IPs, judged by scapy.

#![allow(clippy::unwrap_used)] // a judge that does not answer is no judge

mod greyhound;

use greyhound::{Greyhound, UNDERLAY};
use judge::{Gre, Ip, Outer, Scapy, Setup, hex};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use wire::checksum;
use wire::l4::Protocol;

const VNET: u32 = 5001;

/// RFC 6040 figure 4: what leaves, by what is inside (rows) and outside (columns), both in the
/// order Not-ECT, ECT(1), ECT(0), CE.
const DECAPSULATED: [[Option<u8>; 4]; 4] = [
    [Some(0), Some(0), Some(0), None],
    [Some(1), Some(1), Some(1), Some(3)],
    [Some(2), Some(1), Some(2), Some(3)],
    [Some(3), Some(3), Some(3), Some(3)],
];

#[test]
fn congestion_outside_is_congestion_inside_as_rfc_6040_says() {
    let mut scapy = Scapy::start().unwrap();
    let mut rows = 0;
    for version in [4, 6] {
        let mut host = greyhound(version, "uniform");
        for (outside, inside) in
            (0..4u8).flat_map(|outside| (0..4u8).map(move |in_| (outside, in_)))
        {
            for inner in [v4(10 << 2 | inside), v6(10 << 2 | inside)] {
                let mut outer = packet(version, &inner);
                outer.ip.tos = 10 << 2 | outside;
                let packet = scapy.build(&outer).unwrap();
                let got = host.feed(UNDERLAY, &packet);
                let row = format!("{outside:02b} outside, {inside:02b} inside, IPv{version}");
                match (
                    DECAPSULATED[usize::from(inside)][usize::from(outside)],
                    &got[..],
                ) {
                    (None, []) => {}
                    (Some(ecn), [(_, frame)]) => {
                        assert_eq!(tos(frame), 10 << 2 | ecn, "{row}");
                        assert_eq!(with_tos(frame, 0), with_tos(&inner, 0), "{row}");
                        assert!(scapy.is_summed(frame).unwrap(), "{row}: {}", hex(frame));
                    }
                    (expected, _) => panic!("{row}: {expected:?}, not {got:?}; {:?}", host.moved()),
                }
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 2 * 4 * 4 * 2);
}

#[test]
fn a_uniform_tunnel_hands_the_dscp_on_and_a_pipe_does_not() {
    let mut scapy = Scapy::start().unwrap();
    for version in [4, 6] {
        for (program, handed_on) in [
            (json!("uniform"), true),
            (json!(0), false),
            (json!(46), false),
        ] {
            let mut host = greyhound(version, program.clone());
            for inner in [v4(10 << 2), v6(10 << 2)] {
                let mut outer = packet(version, &inner);
                outer.ip.tos = 34 << 2;
                let packet = scapy.build(&outer).unwrap();
                let got = host.feed(UNDERLAY, &packet);
                let [(_, frame)] = &got[..] else {
                    panic!("{program}: {got:?}")
                };
                let dscp = if handed_on { 34 } else { 10 };
                assert_eq!(tos(frame) >> 2, dscp, "{program}, IPv{version}");
                assert!(scapy.is_summed(frame).unwrap(), "{program}: {}", hex(frame));
            }
        }
    }
}

#[test]
fn what_a_guest_says_of_congestion_is_said_outside() {
    let mut scapy = Scapy::start().unwrap();
    for version in [4, 6] {
        let mut host = greyhound(version, 46);
        for ecn in 0..4 {
            for inner in [v4(ecn), v6(ecn)] {
                let left = host.feed("g1", &inner);
                let [(_, packet)] = &left[..] else {
                    panic!("{left:?}")
                };
                let seen = scapy.read(packet).unwrap();
                assert_eq!(seen.ip.tos, 46 << 2 | ecn, "IPv{version}");
                assert_eq!(seen.inner, hex(&inner));
            }
        }
    }
}

/// A host with a tunnel over this version of IP, and one guest.
fn greyhound(version: u8, dscp: impl Into<serde_json::Value>) -> Greyhound {
    let [own, peer] = ends(version);
    let mut host = Greyhound::new(&Setup {
        mac: [2, 1, 0, 0, 0, 1],
        addresses: vec![(own, 64)],
        neighbours: vec![(peer, [2, 1, 0, 0, 0, 2])],
        guests: vec!["g1".to_owned()],
        mtu: 1600,
    });
    host.put(json!({ "kind": "network", "name": "net", "vnet": VNET }));
    host.put(json!({
        "kind": "tunnel", "name": "t", "vnet": VNET, "remote": peer, "dscp": dscp.into(),
    }));
    host.port("g1", VNET, "any");
    host
}

fn ends(version: u8) -> [IpAddr; 2] {
    let ends = if version == 4 {
        ["10.0.0.1", "10.0.0.2"]
    } else {
        ["fd00::1", "fd00::2"]
    };
    ends.map(|end| end.parse().unwrap())
}

fn packet(version: u8, inner: &[u8]) -> Outer {
    let [own, peer] = ends(version);
    Outer::new(Ip::new(peer, own), Gre::new(Some(VNET)), inner)
}

/// A datagram in IPv4 with this TOS, to a station nobody knows.
fn v4(tos: u8) -> Vec<u8> {
    let ends = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let macs = ([2, 0, 0, 0, 0xff, 0xff], [2, 0, 0, 0, 0, 0xa]);
    let frame = sim::ipv4(macs, ends, Protocol::UDP, &sim::udp(ends, b"hello"));
    with_tos(&frame, tos)
}

/// A packet with nothing in it (next header 59) in IPv6 with this traffic class.
fn v6(class: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0xff, 0xff, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd];
    frame.extend([0x60, 0, 0x12, 0x34, 0, 0, 59, 64]);
    frame.extend(
        "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    frame.extend(
        "2001:db8::2"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    with_tos(&frame, class)
}

/// The TOS or traffic class of the packet in `frame`.
fn tos(frame: &[u8]) -> u8 {
    if frame[12] == 8 {
        frame[15]
    } else {
        frame[14] << 4 | frame[15] >> 4
    }
}

/// `frame` with another TOS or traffic class, and the checksum that goes with it.
fn with_tos(frame: &[u8], tos: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[12] == 8 {
        frame[15] = tos;
        frame[24..26].fill(0);
        let sum = checksum::of(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame[14] = 0x60 | tos >> 4;
        frame[15] = tos << 4 | frame[15] & 0x0f;
    }
    frame
}
