//! What is asked and answered in a network, and what routers say.

use super::offset;
use core::net::{Ipv4Addr, Ipv6Addr};
use wire::icmp::{self, Quoted, TooBig};
use wire::nd::{self, Nd, NeighbourAdvertRepr};
use wire::{Arp, ArpRepr, Ipv4, Ipv6, Protocol};

/// `bytes` as ARP: what was read is written again byte by byte.
pub(super) fn arp(bytes: &[u8]) {
    let Ok(arp) = Arp::parse(bytes) else {
        return;
    };
    let repr = ArpRepr {
        operation: arp.operation(),
        sender_mac: arp.sender_mac(),
        sender_ip: arp.sender_ip(),
        target_mac: arp.target_mac(),
        target_ip: arp.target_ip(),
    };
    assert_eq!(repr.emit()[..], bytes[..Arp::LEN]);
    assert!(!(arp.is_probe() && arp.is_announcement()));
}

/// `message`, the upper layer of a packet with the header `ip`, as neighbour discovery.
pub(super) fn discovery(ip: Ipv6<'_>, message: &[u8]) {
    let Ok(read) = Nd::parse(&ip, message) else {
        return;
    };
    assert_eq!(nd::Kind::from_type(message[0]), Some(read.kind()));
    assert_eq!(ip.hop_limit(), nd::HOP_LIMIT, "it came through a router");
    assert!(!read.target().is_some_and(|target| target.is_multicast()));
    assert!(
        !(read.is_probe() && read.source_mac().is_some()),
        "nobody has an address"
    );
    let (Some(target), Some(target_mac)) = (read.target(), read.target_mac()) else {
        return;
    };
    if read.kind() != nd::Kind::NeighbourAdvert {
        return;
    }
    let repr = NeighbourAdvertRepr {
        source: ip.source(),
        destination: ip.destination(),
        target,
        target_mac,
        router: read.is_from_router(),
        solicited: read.is_solicited(),
        overrides: read.overrides(),
    };
    let packet = repr.emit();
    let (again, payload) = Ipv6::parse(&packet).expect("we wrote it");
    let again = Nd::parse(&again, payload).expect("we wrote it");
    let flags = |nd: &Nd| (nd.is_from_router(), nd.is_solicited(), nd.overrides());
    assert_eq!(
        (again.target(), again.target_mac(), flags(&again)),
        (Some(target), Some(target_mac), flags(&read))
    );
}

/// `message` as an error message of IPv4, and what it quotes.
pub(super) fn too_big_v4(message: &[u8]) {
    if let Ok(said) = TooBig::parse_v4(message) {
        offset(message, said.quoted.payload);
        assert!(said.quoted.payload.len() >= 8 && u16::try_from(said.mtu).is_ok());
    }
    if let Ok(quoted) = Quoted::parse_v4(message) {
        offset(message, quoted.payload);
    }
}

/// The same, of IPv6.
pub(super) fn too_big_v6(ip: Ipv6<'_>, message: &[u8]) {
    if let Ok(said) = TooBig::parse_v6(&ip, message) {
        offset(message, said.quoted.payload);
    }
    if let Ok(quoted) = Quoted::parse_v6(message) {
        offset(message, quoted.payload);
    }
}

/// What we would say of `packet`, IPv4 that was read: it is read as written, and never answered.
pub(super) fn answer_v4(packet: &[u8], payload: &[u8]) {
    let mut said = [0; 576];
    let (from, to) = (Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(10, 1, 0, 1));
    let len = icmp::too_big_v4(&mut said, packet, from, to, 1400);
    let (ip, message) = Ipv4::parse(&said[..len]).expect("we wrote it");
    assert_eq!(usize::from(ip.total_len()), len);
    assert_eq!((ip.source(), ip.destination()), (from, to));
    assert!(
        !icmp::may_be_answered_v4(&said[..len]),
        "that would not end"
    );
    if payload.len() < 8 {
        return; // nothing so short is too big
    }
    let (sent, _) = Ipv4::parse(packet).expect("it was read");
    let read = TooBig::parse_v4(message).expect("we wrote it");
    assert_eq!((read.mtu, read.quoted.protocol), (1400, sent.protocol()));
    assert_eq!(read.quoted.source, sent.source());
    assert!(payload.starts_with(read.quoted.payload));
}

/// The same, of IPv6.
pub(super) fn answer_v6(packet: &[u8]) {
    let mut said = [0; 1280];
    let (from, to) = (Ipv6Addr::from(2), Ipv6Addr::from(3));
    let len = icmp::too_big_v6(&mut said, packet, from, to, 1400);
    let (ip, message) = Ipv6::parse(&said[..len]).expect("we wrote it");
    assert_eq!(Ipv6::LEN + message.len(), len);
    assert_eq!(ip.next_header(), Protocol::ICMPV6);
    assert!(
        !icmp::may_be_answered_v6(&said[..len]),
        "that would not end"
    );
    let (sent, _) = Ipv6::parse(packet).expect("it was read");
    let read = TooBig::parse_v6(&ip, message).expect("we wrote it");
    assert_eq!((read.mtu, read.quoted.source), (1400, sent.source().into()));
}
