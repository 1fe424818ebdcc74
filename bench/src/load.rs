//! Frames and stations to measure with: the same ones in every run.

use program::Vnet;
use std::net::Ipv4Addr;
use tables::Station;
use wire::{EtherType, EthernetRepr, GreRepr, Ipv4Repr, Protocol, checksum};

/// The vnet that everything here is in.
pub const VNET: Vnet = Vnet(5001);

/// Length of what stands in front of a guest's frame on the underlay, in bytes.
pub const OUTER: usize = EthernetRepr::LEN + Ipv4Repr::LEN + GreRepr::KEYED_LEN;

/// An address in the documentation's range, the same one for the same `number`.
#[allow(clippy::cast_possible_truncation)] // to the bytes of a number
pub fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, 0x00, a, b, c, d]
}

/// Station `number` of [`VNET`].
pub fn station(number: u32) -> Station {
    Station::new(VNET, mac(number))
}

/// The numbers below `count`, each once, in an order that no prefetcher guesses: that of
/// a shuffle with a fixed seed.
pub fn shuffled(count: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..numbers.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bound = last as u64 + 1;
        let pick = usize::try_from((state >> 32) % bound).unwrap_or(0);
        numbers.swap(last, pick);
    }
    numbers
}

/// A guest's frame of `len` bytes, 42 at least: Ethernet, IPv4, and UDP with its checksum.
pub fn guest_frame(len: usize) -> Vec<u8> {
    let ip_payload = len.saturating_sub(EthernetRepr::LEN + Ipv4Repr::LEN).max(8);
    let payload_len = u16::try_from(ip_payload).unwrap_or(Ipv4Repr::MAX_PAYLOAD);
    let ethernet = EthernetRepr {
        destination: mac(2),
        source: mac(1),
        ethertype: EtherType::IPV4,
    };
    let ip = Ipv4Repr {
        source: Ipv4Addr::new(10, 1, 0, 1),
        destination: Ipv4Addr::new(10, 1, 0, 2),
        protocol: Protocol::UDP,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len,
    };
    let mut udp = vec![0x82, 0x35, 0x00, 0x35];
    udp.extend(payload_len.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend((8..ip_payload).map(|n| n.to_le_bytes()[0]));
    let pseudo = checksum::pseudo_v4(ip.source, ip.destination, ip.protocol.0, payload_len);
    let sum = checksum::add(pseudo, checksum::sum(&udp));
    udp[6..8].copy_from_slice(&checksum::for_udp(!sum).to_be_bytes());

    let mut frame = ethernet.emit().to_vec();
    frame.extend(ip.emit());
    frame.extend(udp);
    frame
}

/// A frame of `len` bytes, 14 at least, that no kernel answers (EtherType 0x88b5, for local
/// experiments): from station 1 to station 2 if it goes `outward`, or back.
pub fn experiment(len: usize, outward: bool) -> Vec<u8> {
    let (source, destination) = if outward { (1, 2) } else { (2, 1) };
    let ethernet = EthernetRepr {
        destination: mac(destination),
        source: mac(source),
        ethertype: EtherType(0x88b5),
    };
    let mut frame = ethernet.emit().to_vec();
    frame.extend((EthernetRepr::LEN..len).map(|n| n.to_le_bytes()[0]));
    frame
}

/// `inner` as it travels between two hosts: [`OUTER`] bytes in front.
pub fn tunnelled(inner: &[u8]) -> Vec<u8> {
    let from = ([0x02, 0xff, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 1));
    let to = ([0x02, 0xff, 0, 0, 0, 2], Ipv4Addr::new(192, 0, 2, 2));
    tunnelled_between(inner, from, to)
}

/// `inner` as it travels from one host to another, each with its MAC and IP address.
pub fn tunnelled_between(
    inner: &[u8],
    from: ([u8; 6], Ipv4Addr),
    to: ([u8; 6], Ipv4Addr),
) -> Vec<u8> {
    let ethernet = EthernetRepr {
        destination: to.0,
        source: from.0,
        ethertype: EtherType::IPV4,
    };
    let ip = Ipv4Repr {
        source: from.1,
        destination: to.1,
        protocol: Protocol::GRE,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len: u16::try_from(GreRepr::KEYED_LEN + inner.len())
            .unwrap_or(Ipv4Repr::MAX_PAYLOAD),
    };
    let mut frame = ethernet.emit().to_vec();
    frame.extend(ip.emit());
    frame.extend(&GreRepr::keyed(VNET.0).emit()[..GreRepr::KEYED_LEN]);
    frame.extend(inner);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::l4::{Finding, finding};
    use wire::{Ethernet, Gre, Ipv4};

    #[test]
    fn a_tunnelled_frame_is_one_that_a_peer_takes() {
        for len in [42, 64, 512, 1400] {
            let inner = guest_frame(len);
            assert_eq!(inner.len(), len);
            let frame = tunnelled(&inner);
            let (_, packet) = Ethernet::parse(&frame).unwrap();
            let (outer, envelope) = Ipv4::parse(packet).unwrap();
            let (gre, payload) = Gre::parse(envelope).unwrap();
            assert_eq!(outer.protocol(), Protocol::GRE);
            assert_eq!((gre.key(), payload), (Some(VNET.0), &inner[..]));
            let (_, packet) = Ethernet::parse(payload).unwrap();
            let (ip, segment) = Ipv4::parse(packet).unwrap();
            let length = u16::try_from(segment.len()).unwrap();
            let pseudo = checksum::pseudo_v4(ip.source(), ip.destination(), 17, length);
            assert_eq!(finding(Protocol::UDP, pseudo, segment), Ok(Finding::Holds));
        }
    }

    #[test]
    fn a_shuffle_has_every_number_once() {
        let mut numbers = shuffled(1_000);
        assert_ne!(numbers[..5], [0, 1, 2, 3, 4]);
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..1_000));
    }
}
