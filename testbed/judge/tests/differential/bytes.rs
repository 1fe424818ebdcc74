//! Packets, written out.

use crate::capture::{ALL, MAC, NEIGHBOURS, OWN, VNET};
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::checksum;
use wire::l4::Protocol;

/// Who speaks in the packets of guests.
const ENDS: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));

/// A GRE header.
pub(crate) struct Header {
    pub(crate) checksum: bool,
    pub(crate) key: Option<u32>,
    pub(crate) sequence: Option<u32>,
    /// Other bits of the first two bytes.
    pub(crate) more: u16,
    pub(crate) protocol: u16,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            checksum: false,
            key: Some(VNET),
            sequence: None,
            more: 0,
            protocol: 0x6558,
        }
    }
}

impl Header {
    /// It and `inner`, with the right checksum.
    pub(crate) fn bytes(&self, inner: &[u8]) -> Vec<u8> {
        let mut flags = self.more | u16::from(self.checksum) << 15;
        flags |= u16::from(self.key.is_some()) << 13 | u16::from(self.sequence.is_some()) << 12;
        let mut bytes = [flags.to_be_bytes(), self.protocol.to_be_bytes()].concat();
        if self.checksum {
            bytes.extend([0; 4]);
        }
        for field in [self.key, self.sequence].into_iter().flatten() {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(inner);
        if self.checksum {
            let sum = checksum::of(&bytes);
            bytes[4..6].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
}

/// `inner` behind `header`, as the peer sends it to us.
pub(crate) fn tunnelled(peer: usize, header: &Header, inner: &[u8]) -> Vec<u8> {
    envelope(peer, &header.bytes(inner))
}

/// `gre` in an IPv4 packet from the peer to us.
pub(crate) fn envelope(peer: usize, gre: &[u8]) -> Vec<u8> {
    let (from, mac) = NEIGHBOURS[peer];
    sim::ipv4((MAC, mac), (from, OWN), Protocol::GRE, gre)
}

/// A UDP datagram in IPv4 in a frame, checksums and all.
pub(crate) fn packet(destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    let datagram = sim::udp(ENDS, b"whatever was to be said");
    sim::ipv4((destination, source), ENDS, Protocol::UDP, &datagram)
}

/// The same to all, with the sum of the pseudo-header in place of the checksum.
pub(crate) fn unfinished(source: [u8; 6]) -> Vec<u8> {
    let mut frame = packet(ALL, source);
    let len = u16::try_from(frame.len() - 34).unwrap();
    let sum = checksum::pseudo_v4(ENDS.0, ENDS.1, Protocol::UDP.0, len);
    frame[40..42].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A report that somebody listens to 224.1.2.3 (RFC 2236).
pub(crate) fn igmp(source: [u8; 6]) -> Vec<u8> {
    let group = Ipv4Addr::new(224, 1, 2, 3);
    let mut report = vec![0x16, 0, 0, 0, 224, 1, 2, 3];
    let sum = checksum::of(&report);
    report[2..4].copy_from_slice(&sum.to_be_bytes());
    let macs = ([0x01, 0x00, 0x5e, 1, 2, 3], source);
    sim::ipv4(
        macs,
        (Ipv4Addr::new(192, 0, 2, 1), group),
        Protocol(2),
        &report,
    )
}

/// `frame` with these options in its outer header.
pub(crate) fn with_options(mut frame: Vec<u8>, options: &[u8]) -> Vec<u8> {
    frame.splice(34..34, options.iter().copied());
    frame[14] = 0x45 + u8::try_from(options.len() / 4).unwrap();
    let len = u16::try_from(frame.len() - 14).unwrap();
    frame[16..18].copy_from_slice(&len.to_be_bytes());
    sum_again(&mut frame);
    frame
}

/// Makes the checksum of the IPv4 header behind an untagged Ethernet header right again.
pub(crate) fn sum_again(frame: &mut [u8]) {
    let end = (14 + usize::from(frame[14] & 0x0f) * 4).max(34);
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..end]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// A TCP segment with these flags and this MSS (RFC 9293 §3.7.1), and no data.
pub(crate) fn segment(destination: [u8; 6], source: [u8; 6], flags: u8, mss: u16) -> Vec<u8> {
    let mut segment = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, flags];
    segment.extend([0xff, 0xff, 0, 0, 0, 0, 2, 4]);
    segment.extend(mss.to_be_bytes());
    let pseudo = checksum::pseudo_v4(ENDS.0, ENDS.1, Protocol::TCP.0, 24);
    let sum = !checksum::add(pseudo, checksum::sum(&segment));
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    sim::ipv4((destination, source), ENDS, Protocol::TCP, &segment)
}

/// What only a DHCP server says (RFC 2131): a reply from port 67 to 68.
pub(crate) fn dhcp_offer(source: [u8; 6]) -> Vec<u8> {
    let mut reply = vec![0; 240];
    reply[..3].copy_from_slice(&[2, 1, 6]);
    reply[236..].copy_from_slice(&[99, 130, 83, 99]);
    reply.extend([53, 1, 2, 255]);
    let mut datagram = vec![0, 67, 0, 68];
    datagram.extend(u16::try_from(8 + reply.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(reply);
    sim::ipv4((ALL, source), ENDS, Protocol::UDP, &datagram)
}

/// A router advertisement to all nodes (RFC 4861 §4.2).
pub(crate) fn router_advertisement(source: [u8; 6]) -> Vec<u8> {
    let (from, to): (Ipv6Addr, Ipv6Addr) = ("fe80::1".parse().unwrap(), "ff02::1".parse().unwrap());
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let pseudo = checksum::pseudo_v6(from, to, 58, 16);
    let sum = !checksum::add(pseudo, checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(source);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 58, 255]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(message);
    frame
}

/// `inner` behind `header` in UDP (RFC 8086), as the first peer sends it to us.
pub(crate) fn in_udp(header: &Header, inner: &[u8]) -> Vec<u8> {
    let (from, mac) = NEIGHBOURS[0];
    let mut datagram = sim::udp((from, OWN), &header.bytes(inner));
    datagram[2..4].copy_from_slice(&4754_u16.to_be_bytes());
    datagram[6..8].fill(0); // without a checksum
    sim::ipv4((MAC, mac), (from, OWN), Protocol::UDP, &datagram)
}
