//! Packets that guests send to each other, and to deceive each other, byte for byte.

#![allow(dead_code)] // each test uses what it needs

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::checksum;

/// The address of every station.
pub(crate) const ALL: [u8; 6] = [0xff; 6];

/// A type of ICMP for IPv6 (RFC 4861 §4).
pub(crate) const ROUTER_SOLICIT: u8 = 133;
/// The same.
pub(crate) const ROUTER_ADVERT: u8 = 134;
/// The same.
pub(crate) const NEIGHBOUR_SOLICIT: u8 = 135;
/// The same.
pub(crate) const NEIGHBOUR_ADVERT: u8 = 136;
/// The same.
pub(crate) const REDIRECT: u8 = 137;

/// An option of neighbour discovery: the sender's Ethernet address.
pub(crate) const SOURCE: u8 = 1;
/// An option of neighbour discovery: the target's Ethernet address.
pub(crate) const TARGET: u8 = 2;

/// A header of IPv6.
pub(crate) const DESTINATION_OPTIONS: u8 = 60;
/// A header of IPv6.
pub(crate) const FRAGMENT: u8 = 44;
/// ICMP for IPv6.
pub(crate) const ICMPV6: u8 = 58;
/// UDP.
pub(crate) const UDP: u8 = 17;

/// `text` as an IPv4 address.
pub(crate) fn v4(text: &str) -> Ipv4Addr {
    text.parse().expect("an IPv4 address")
}

/// `text` as an IPv6 address.
pub(crate) fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an IPv6 address")
}

/// A frame of at least 60 bytes.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &ethertype.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// `frame` behind VLAN tags, the first one outermost.
pub(crate) fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    for (kind, vlan) in tags {
        tagged.extend(kind.to_be_bytes());
        tagged.extend(vlan.to_be_bytes());
    }
    tagged.extend(&frame[12..]);
    tagged
}

/// No tag, an 802.1Q tag, and one behind an 802.1ad tag: however a guest's frame may come.
pub(crate) const TAGS: [&[(u16, u16)]; 3] = [&[], &[(0x8100, 5)], &[(0x88a8, 6), (0x8100, 5)]];

/// One who speaks ARP, or is spoken of: Ethernet and IPv4 address.
pub(crate) type Station = ([u8; 6], Ipv4Addr);

/// An ARP packet (RFC 826) of `sender` about `target`, in a frame from `from` to `to`.
pub(crate) fn arp(
    (to, from): ([u8; 6], [u8; 6]),
    operation: u8,
    sender: Station,
    target: Station,
) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    for (mac, ip) in [sender, target] {
        packet.extend(mac);
        packet.extend(ip.octets());
    }
    frame(to, from, 0x0806, &packet)
}

/// Who has `target`? `sender` asks.
pub(crate) fn who_has(sender: Station, target: Ipv4Addr) -> Vec<u8> {
    arp((ALL, sender.0), 1, sender, ([0; 6], target))
}

/// `sender` answers `asker`.
pub(crate) fn is_at(sender: Station, asker: Station) -> Vec<u8> {
    arp((asker.0, sender.0), 2, sender, asker)
}

/// An IPv4 packet whose fragment field is `fragment`, in a frame.
pub(crate) fn ipv4_part(
    (to, from): ([u8; 6], [u8; 6]),
    (source, destination): (Ipv4Addr, Ipv4Addr),
    protocol: u8,
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).expect("a packet");
    let mut ip = vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    ip[6..8].copy_from_slice(&fragment.to_be_bytes());
    ip.extend(source.octets());
    ip.extend(destination.octets());
    let sum = checksum::of(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(payload);
    frame(to, from, 0x0800, &ip)
}

/// The same, of a whole packet.
pub(crate) fn ipv4(
    macs: ([u8; 6], [u8; 6]),
    ips: (Ipv4Addr, Ipv4Addr),
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    ipv4_part(macs, ips, protocol, 0, payload)
}

/// An IPv6 packet, in a frame. `next` is what `payload` starts with.
pub(crate) fn ipv6(
    (to, from): ([u8; 6], [u8; 6]),
    (source, destination): (Ipv6Addr, Ipv6Addr),
    next: u8,
    payload: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a packet");
    let mut ip = vec![0x60, 0, 0, 0, 0, 0, next, 255];
    ip[4..6].copy_from_slice(&len.to_be_bytes());
    ip.extend(source.octets());
    ip.extend(destination.octets());
    ip.extend(payload);
    frame(to, from, 0x86dd, &ip)
}

/// A message of ICMP for IPv6 with its checksum (RFC 4443 §2.3): type, code 0, and `body`.
pub(crate) fn icmpv6(ips: (Ipv6Addr, Ipv6Addr), kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend(body);
    let len = u32::try_from(message.len()).expect("a message");
    let pseudo = checksum::pseudo_v6(ips.0, ips.1, ICMPV6, len);
    let sum = !checksum::add(pseudo, checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// What neighbour discovery says: its type, flags, target, and an option with its address.
#[derive(Clone, Copy)]
pub(crate) struct Saying {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) target: Option<Ipv6Addr>,
    pub(crate) option: Option<(u8, [u8; 6])>,
}

impl Saying {
    /// Who has `target`?
    pub(crate) fn who_has(target: Ipv6Addr, asker: Option<[u8; 6]>) -> Self {
        Self {
            kind: NEIGHBOUR_SOLICIT,
            flags: 0,
            target: Some(target),
            option: asker.map(|mac| (SOURCE, mac)),
        }
    }

    /// `mac` has `target`.
    pub(crate) fn is_at(target: Ipv6Addr, mac: [u8; 6], flags: u8) -> Self {
        Self {
            kind: NEIGHBOUR_ADVERT,
            flags,
            target: Some(target),
            option: Some((TARGET, mac)),
        }
    }

    /// Is there a router?
    pub(crate) const ROUTER_SOLICIT: Self = Self {
        kind: ROUTER_SOLICIT,
        flags: 0,
        target: None,
        option: None,
    };

    /// The message, for a packet between `ips`.
    pub(crate) fn message(&self, ips: (Ipv6Addr, Ipv6Addr)) -> Vec<u8> {
        let mut body = vec![self.flags, 0, 0, 0];
        if self.kind == ROUTER_ADVERT {
            body.extend([0; 8]);
        }
        if let Some(target) = self.target {
            body.extend(target.octets());
        }
        if self.kind == REDIRECT {
            body.extend(v6("2001:db8::99").octets()); // whom it is about
        }
        if let Some((kind, mac)) = self.option {
            body.extend([kind, 1]);
            body.extend(mac);
        }
        icmpv6(ips, self.kind, &body)
    }

    /// The message in a packet in a frame.
    pub(crate) fn frame(&self, macs: ([u8; 6], [u8; 6]), ips: (Ipv6Addr, Ipv6Addr)) -> Vec<u8> {
        ipv6(macs, ips, ICMPV6, &self.message(ips))
    }
}

/// The group that the owner of `ip` listens to (RFC 4291 §2.7.1), and its Ethernet address.
pub(crate) fn solicited(ip: Ipv6Addr) -> (Ipv6Addr, [u8; 6]) {
    let [.., a, b, c] = ip.octets();
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    (group.into(), [0x33, 0x33, 0xff, a, b, c])
}

/// A neighbour solicitation of (`mac`, `ip`) for `target`.
pub(crate) fn solicit((mac, ip): ([u8; 6], Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let (group, to) = solicited(target);
    Saying::who_has(target, Some(mac)).frame((to, mac), (ip, group))
}

/// Is `target` free? `mac` asks (RFC 4862 §5.4.2).
pub(crate) fn probe(mac: [u8; 6], target: Ipv6Addr) -> Vec<u8> {
    let (group, to) = solicited(target);
    Saying::who_has(target, None).frame((to, mac), (Ipv6Addr::UNSPECIFIED, group))
}

/// The IPv6 link-local address that belongs to `mac` (RFC 4291 appendix A).
pub(crate) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let mut own = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    own[8..11].copy_from_slice(&mac[..3]);
    own[8] ^= 2;
    own[13..].copy_from_slice(&mac[3..]);
    own.into()
}

/// A UDP datagram from port to port (RFC 768), with its checksum, for a packet between `ips`.
pub(crate) fn udp(ips: (IpAddr, IpAddr), (from, to): (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("a datagram");
    let mut datagram = [from, to, len, 0].map(u16::to_be_bytes).concat();
    datagram.extend(payload);
    let pseudo = match ips {
        (IpAddr::V4(a), IpAddr::V4(b)) => checksum::pseudo_v4(a, b, UDP, len),
        (IpAddr::V6(a), IpAddr::V6(b)) => checksum::pseudo_v6(a, b, UDP, len.into()),
        mixed => panic!("one packet has one version: {mixed:?}"),
    };
    let sum = checksum::add(pseudo, checksum::sum(&datagram));
    datagram[6..8].copy_from_slice(&checksum::for_udp(!sum).to_be_bytes());
    datagram
}
