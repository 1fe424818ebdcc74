//! scapy as a builder and a reader.

#![allow(clippy::unwrap_used)]

use judge::{Gre, Ip, Outer, Scapy, Summed, Udp, Written, hex};
use std::net::IpAddr;

fn ip(version: u8) -> Ip {
    let ends = match version {
        4 => ["10.0.0.2", "10.0.0.1"],
        _ => ["fd00::2", "fd00::1"],
    };
    let [source, destination] = ends.map(|text| text.parse::<IpAddr>().unwrap());
    Ip::new(source, destination)
}

#[test]
fn what_is_built_is_read_again_field_by_field() {
    let mut scapy = Scapy::start().unwrap();
    let inner = sim::ethernet([0xff; 6], [2, 0, 0, 0, 0, 1]);
    let mut seen = 0;
    for version in [4, 6] {
        for bits in 0..16 {
            let gre = Gre {
                checksum: if bits & 1 != 0 {
                    Written::Right
                } else {
                    Written::None
                },
                sequence: (bits & 2 != 0).then_some(0x0102_0304),
                ..Gre::new((bits & 4 != 0).then_some(u32::MAX))
            };
            let mut outer = Outer::new(ip(version), gre.clone(), &inner);
            outer.ip.tos = 0xb9;
            outer.ip.ttl = 7;
            outer.udp = (bits & 8 != 0).then_some(Udp {
                source: 50_000,
                destination: 4754,
                checksum: true,
            });
            let frame = scapy.build(&outer).unwrap();
            let read = scapy.read(&frame).unwrap();
            assert_eq!(read.ip, outer.ip, "IPv{version}, {bits:04b}");
            assert_eq!(read.trailing, 0);
            let header = read.gre.unwrap();
            assert_eq!((header.key, header.sequence), (gre.key, gre.sequence));
            let checksum = if bits & 1 != 0 {
                Summed::Right
            } else {
                Summed::None
            };
            assert_eq!(header.checksum, checksum);
            assert_eq!(read.udp.is_some(), outer.udp.is_some());
            assert!(read.udp.is_none_or(|udp| udp.checksum == Summed::Right));
            assert_eq!(read.inner, hex(&inner));
            seen += 1;
        }
    }
    assert_eq!(seen, 32);
}

#[test]
fn a_wrong_bit_is_a_wrong_checksum() {
    let mut scapy = Scapy::start().unwrap();
    let gre = Gre {
        checksum: Written::Right,
        ..Gre::new(Some(1))
    };
    let mut outer = Outer::new(ip(4), gre, &[0x5a; 64]);
    outer.udp = Some(Udp {
        source: 50_000,
        destination: 4754,
        checksum: true,
    });
    let good = scapy.build(&outer).unwrap();
    let sums = |scapy: &mut Scapy, frame: &[u8]| {
        let seen = scapy.read(frame).unwrap();
        (
            seen.ip_checksum,
            seen.udp.unwrap().checksum,
            seen.gre.unwrap().checksum,
        )
    };
    let (right, wrong) = (Summed::Right, Summed::Wrong);
    assert_eq!(sums(&mut scapy, &good), (right, right, right));
    for (at, expected) in [
        (22, (wrong, right, right)),             // TTL
        (34, (right, wrong, right)),             // UDP's source port
        (good.len() - 1, (right, wrong, wrong)), // the last byte
    ] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(sums(&mut scapy, &bad), expected, "byte {at}");
    }
}

#[test]
fn options_extension_headers_tags_and_fragments_are_built_and_read() {
    let mut scapy = Scapy::start().unwrap();
    let mut outer = Outer::new(ip(4), Gre::new(Some(1)), &[0x5a; 64]);
    outer.ip.options = "94040000".to_owned(); // router alert (RFC 2113)
    outer.ip.more = true;
    outer.ip.dont_fragment = false;
    outer.ip.id = 77;
    outer.vlans = vec![5, 6];
    let frame = scapy.build(&outer).unwrap();
    let seen = scapy.read(&frame).unwrap();
    assert_eq!((seen.ip, seen.vlans), (outer.ip, outer.vlans));
    assert_eq!(seen.ip_checksum, Summed::Right);

    let mut outer = Outer::new(ip(6), Gre::new(Some(1)), &[0x5a; 64]);
    outer.ip.extensions = ["hop", "routing", "destination"]
        .map(str::to_owned)
        .to_vec();
    outer.ip.flow_label = 0x12345;
    let mut frame = scapy.build(&outer).unwrap();
    frame.extend([0; 9]);
    let seen = scapy.read(&frame).unwrap();
    assert_eq!((seen.ip, seen.trailing), (outer.ip, 9));
    assert_eq!(seen.inner, hex(&[0x5a; 64]));
}

#[test]
fn a_guests_own_checksums_are_judged() {
    let mut scapy = Scapy::start().unwrap();
    let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let datagram = sim::udp((a, b), b"hello");
    let macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut frame = sim::ipv4(macs, (a, b), wire::l4::Protocol::UDP, &datagram);
    assert!(scapy.is_summed(&frame).unwrap());
    *frame.last_mut().unwrap() ^= 1;
    assert!(!scapy.is_summed(&frame).unwrap());
}
