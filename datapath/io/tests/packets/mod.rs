//! Packets that an underlay brings: ours, and the nearest that are not.

pub(crate) const OURS: [u8; 4] = [192, 0, 2, 1];
pub(crate) const ALSO_OURS: [u8; 4] = [192, 0, 2, 2];
pub(crate) const ANOTHERS: [u8; 4] = [192, 0, 2, 3];

pub(crate) const OURS6: [u8; 16] = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
pub(crate) const ALSO_OURS6: [u8; 16] = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02";
pub(crate) const ANOTHERS6: [u8; 16] = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x03";

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const TAG: u16 = 0x8100;
pub(crate) const SERVICE_TAG: u16 = 0x88a8;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMPV4: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const GRE: u8 = 47;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const OPTIONS: u8 = 60;

/// The port of GRE-in-UDP.
pub(crate) const GRE_PORT: u16 = 4754;

/// An Ethernet frame: two addresses, a type, and what is behind.
pub(crate) fn ethernet(kind: u16, behind: &[u8]) -> Vec<u8> {
    let mut frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02".to_vec();
    frame.extend(kind.to_be_bytes());
    frame.extend(behind);
    frame
}

/// An IPv4 packet of `protocol` to `destination`, with `options` (whole words) in its header.
pub(crate) fn ipv4(protocol: u8, destination: [u8; 4], options: &[u8], payload: &[u8]) -> Vec<u8> {
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
pub(crate) fn gre() -> Vec<u8> {
    let mut packet = vec![0x20, 0, 0x65, 0x58, 0, 0, 0x13, 0x89];
    packet.extend(ethernet(0x88b5, &[0; 46]));
    packet
}

pub(crate) fn tunnelled(destination: [u8; 4]) -> Vec<u8> {
    ethernet(IPV4, &ipv4(GRE, destination, &[], &gre()))
}

/// An IPv6 packet to `destination`, with `next` behind its header.
pub(crate) fn ipv6(next: u8, destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(*b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09");
    packet.extend(destination);
    packet.extend(payload);
    packet
}

pub(crate) fn tunnelled6(destination: [u8; 16]) -> Vec<u8> {
    ethernet(IPV6, &ipv6(GRE, destination, &gre()))
}

/// An IPv6 packet to us with `extensions`, each in front of the next, and `protocol` behind them.
/// A fragment header is that of a whole packet; another has `units` of 8 bytes more than 8.
pub(crate) fn extended(extensions: &[u8], units: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let nexts = extensions.iter().skip(1).chain([&protocol]);
    let mut behind = Vec::new();
    for (kind, next) in extensions.iter().zip(nexts) {
        let units = if *kind == FRAGMENT { 0 } else { units };
        behind.extend([*next, units, 0, 0, 0, 0, 0, 1]);
        behind.extend(vec![0; usize::from(units) * 8]);
    }
    behind.extend(payload);
    let first = extensions.first().unwrap_or(&protocol);
    ethernet(IPV6, &ipv6(*first, OURS6, &behind))
}

/// A UDP datagram to `port`, with GRE in it.
pub(crate) fn udp(port: u16) -> Vec<u8> {
    let mut datagram = 49152u16.to_be_bytes().to_vec();
    datagram.extend(port.to_be_bytes());
    datagram.extend([0, 76, 0, 0]);
    datagram.extend(gre());
    datagram
}

/// An ICMP error of either family, about `quoted`.
pub(crate) fn icmp(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 0, 5, 0x78], quoted].concat()
}

/// The first `len` bytes of a packet of `protocol` that `source` sent.
pub(crate) fn sent4(protocol: u8, source: [u8; 4], payload: &[u8], len: usize) -> Vec<u8> {
    let mut packet = ipv4(protocol, ANOTHERS, &[], payload);
    packet[12..16].copy_from_slice(&source);
    packet.truncate(len);
    packet
}

/// As [`sent4`], for IPv6.
pub(crate) fn sent6(protocol: u8, source: [u8; 16], payload: &[u8], len: usize) -> Vec<u8> {
    let mut packet = ipv6(protocol, ANOTHERS6, payload);
    packet[8..24].copy_from_slice(&source);
    packet.truncate(len);
    packet
}

pub(crate) fn too_big4(destination: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    ethernet(IPV4, &ipv4(ICMPV4, destination, &[], &icmp(3, 4, quoted)))
}

pub(crate) fn too_big6(destination: [u8; 16], quoted: &[u8]) -> Vec<u8> {
    ethernet(IPV6, &ipv6(ICMPV6, destination, &icmp(2, 0, quoted)))
}

/// The same frame with a tag in front of its type.
pub(crate) fn tagged(kind: u16, priority_and_vlan: u16, frame: &[u8]) -> Vec<u8> {
    let tag = [kind.to_be_bytes(), priority_and_vlan.to_be_bytes()].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

/// One of everything that is ours, and how many of its bytes say so.
pub(crate) fn all_that_is_ours() -> Vec<(&'static str, Vec<u8>, usize)> {
    let datagram = udp(GRE_PORT);
    let options = [1; 12];
    vec![
        ("GRE", tunnelled(OURS), 34),
        ("GRE, tagged", tagged(TAG, 0xe000, &tunnelled(OURS)), 38),
        (
            "GRE-in-UDP",
            ethernet(IPV4, &ipv4(UDP, OURS, &[], &datagram)),
            38,
        ),
        (
            "GRE-in-UDP behind options",
            ethernet(IPV4, &ipv4(UDP, OURS, &options, &datagram)),
            50,
        ),
        (
            "too big: GRE",
            too_big4(OURS, &sent4(GRE, OURS, &gre(), 28)),
            62,
        ),
        (
            "too big: GRE-in-UDP",
            too_big4(OURS, &sent4(UDP, OURS, &datagram, 28)),
            66,
        ),
        ("GRE over IPv6", tunnelled6(OURS6), 54),
        (
            "GRE over IPv6, tagged",
            tagged(SERVICE_TAG, 0, &tunnelled6(OURS6)),
            58,
        ),
        (
            "GRE-in-UDP over IPv6",
            ethernet(IPV6, &ipv6(UDP, OURS6, &datagram)),
            58,
        ),
        (
            "GRE behind extension headers",
            extended(&[HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS], 1, GRE, &gre()),
            54 + 16 + 16 + 8 + 8, // of the last one, its first 8 bytes
        ),
        (
            "GRE-in-UDP behind extension headers",
            extended(&[OPTIONS, FRAGMENT], 2, UDP, &datagram),
            54 + 24 + 8 + 4,
        ),
        (
            "ICMPv6 too big: GRE",
            too_big6(OURS6, &sent6(GRE, OURS6, &gre(), 60)),
            102,
        ),
        (
            "ICMPv6 too big: GRE-in-UDP",
            too_big6(OURS6, &sent6(UDP, OURS6, &datagram, 60)),
            106,
        ),
    ]
}
