//! Frames for stories: what is sent, written out.

use std::net::Ipv4Addr;
use wire::checksum;
use wire::ethernet::{EtherType, EthernetRepr};
use wire::ipv4::Ipv4Repr;
use wire::l4::Protocol;

/// The EtherType of frames whose payload nobody is to understand (IEEE 802: local experiments).
const EXPERIMENT: EtherType = EtherType(0x88b5);

/// A frame of 60 bytes from `source` to `destination`.
pub fn ethernet(destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    let header = EthernetRepr {
        destination,
        source,
        ethertype: EXPERIMENT,
    };
    let mut frame = header.emit().to_vec();
    frame.resize(60, 0xa5);
    frame
}

/// An ARP request (RFC 826) of `source`, who has `sender`, for `target`.
pub fn arp(source: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let header = EthernetRepr {
        destination: [0xff; 6],
        source,
        ethertype: EtherType::ARP,
    };
    let mut frame = header.emit().to_vec();
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(source);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

/// An IPv4 packet of `protocol` with `payload`, in a frame.
pub fn ipv4(
    (destination, source): ([u8; 6], [u8; 6]),
    (from, to): (Ipv4Addr, Ipv4Addr),
    protocol: Protocol,
    payload: &[u8],
) -> Vec<u8> {
    let header = EthernetRepr {
        destination,
        source,
        ethertype: EtherType::IPV4,
    };
    let ip = Ipv4Repr {
        tos: 0,
        payload_len: u16::try_from(payload.len()).expect("a payload fits its packet"),
        identification: 0,
        dont_fragment: true,
        ttl: 64,
        protocol,
        source: from,
        destination: to,
    };
    let mut frame = header.emit().to_vec();
    frame.extend(ip.emit());
    frame.extend(payload);
    frame
}

/// A UDP datagram (RFC 768) with its checksum, to go into a packet from `from` to `to`.
pub fn udp((from, to): (Ipv4Addr, Ipv4Addr), payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("a payload fits its datagram");
    let mut datagram = vec![0x30, 0x39, 0x00, 0x07];
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let pseudo = checksum::pseudo_v4(from, to, Protocol::UDP.0, len);
    let sum = checksum::add(pseudo, checksum::sum(&datagram));
    datagram[6..8].copy_from_slice(&checksum::for_udp(!sum).to_be_bytes());
    datagram
}

/// `inner` in GRE with `key`, as the peer `from` sends it to the endpoint `to`.
pub fn gre(from: Ipv4Addr, to: Ipv4Addr, key: u32, inner: &[u8]) -> Vec<u8> {
    let mut header = vec![0x20, 0x00, 0x65, 0x58];
    header.extend(key.to_be_bytes());
    gre_with(from, to, &header, inner)
}

/// `inner` behind any GRE header, as the peer `from` sends it to the endpoint `to`.
pub fn gre_with(from: Ipv4Addr, to: Ipv4Addr, header: &[u8], inner: &[u8]) -> Vec<u8> {
    let payload = [header, inner].concat();
    ipv4(([2; 6], [4; 6]), (from, to), Protocol::GRE, &payload)
}
