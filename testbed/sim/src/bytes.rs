//! Frames for stories: what is sent, written out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::checksum;
use wire::ethernet::{EtherType, EthernetRepr};
use wire::fragment::FragmentRepr;
use wire::ipv4::Ipv4Repr;
use wire::ipv6::Ipv6Repr;
use wire::l4::Protocol;

/// Whom an outer packet is for and from, where nobody looks.
const HOPS: ([u8; 6], [u8; 6]) = ([2; 6], [4; 6]);

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
    ipv4(HOPS, (from, to), Protocol::GRE, &payload)
}

/// An IPv6 packet of `protocol` with `payload`, in a frame.
pub fn ipv6(
    (destination, source): ([u8; 6], [u8; 6]),
    (from, to): (Ipv6Addr, Ipv6Addr),
    protocol: Protocol,
    payload: &[u8],
) -> Vec<u8> {
    let header = EthernetRepr {
        destination,
        source,
        ethertype: EtherType::IPV6,
    };
    let ip = Ipv6Repr {
        source: from,
        destination: to,
        next: protocol,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(payload.len()).expect("a payload fits its packet"),
    };
    let mut frame = header.emit().to_vec();
    frame.extend(ip.emit());
    frame.extend(payload);
    frame
}

/// A TCP segment (RFC 9293) with its checksum, to go into a packet from `from` to `to`: these
/// `flags`, and these `options`, whole words of them.
pub fn tcp((from, to): (IpAddr, IpAddr), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0, "options are padded to whole words");
    let words = u8::try_from(5 + options.len() / 4).expect("few options");
    let mut segment = vec![0x9c, 0x40, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 0];
    segment.extend([words << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(options);
    segment.extend(payload);
    let sum = !upper_sum((from, to), Protocol::TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The sum of `payload`, `protocol` in a packet from `from` to `to`, with its pseudo-header: all
/// ones if it has a checksum in it that holds.
pub fn upper_sum((from, to): (IpAddr, IpAddr), protocol: Protocol, payload: &[u8]) -> u16 {
    let len = u16::try_from(payload.len()).expect("a payload fits its packet");
    let pseudo = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => checksum::pseudo_v4(from, to, protocol.0, len),
        (IpAddr::V6(from), IpAddr::V6(to)) => checksum::pseudo_v6(from, to, protocol.0, len.into()),
        _ => panic!("both ends are of one family"),
    };
    checksum::add(pseudo, checksum::sum(payload))
}

/// `frame` with 802.1Q tags of these VLANs, the outermost first.
pub fn tagged(frame: &[u8], vlans: &[u16]) -> Vec<u8> {
    let tags = vlans.iter().flat_map(|vlan| {
        let [high, low] = vlan.to_be_bytes();
        [0x81, 0x00, high, low]
    });
    let mut tagged = frame.to_vec();
    tagged.splice(12..12, tags);
    tagged
}

/// `frame`, an IPv4 packet without tags, with these options, whole words of them, behind those
/// that it has, and this fragment field: flags, and offset in units of 8 bytes.
pub fn ipv4_with(frame: &[u8], options: &[u8], fragment_field: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let end = 14 + usize::from(frame[14] & 15) * 4;
    frame.splice(end..end, options.iter().copied());
    frame[14] += u8::try_from(options.len() / 4).expect("few options");
    let total = u16::try_from(frame.len() - 14).expect("a packet fits its length");
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[20..22].copy_from_slice(&fragment_field.to_be_bytes());
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..end + options.len()]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// What a router at `from` says to `to`: that the packet `quoted`, from its IP header on, is too
/// big, and that `mtu` bytes fit (RFC 1191 §4, RFC 4443 §3.2).
pub fn too_big((from, to): (IpAddr, IpAddr), mtu: u32, quoted: &[u8]) -> Vec<u8> {
    let protocol = if from.is_ipv4() {
        Protocol::ICMP
    } else {
        Protocol::ICMPV6
    };
    let kind = if from.is_ipv4() { [3, 4] } else { [2, 0] };
    let mut message = [&kind[..], &[0, 0], &mtu.to_be_bytes(), quoted].concat();
    let sum = match (from, to) {
        (IpAddr::V4(_), _) => checksum::of(&message),
        _ => !upper_sum((from, to), protocol, &message),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    outer((from, to), protocol, &message)
}

/// `payload` in an IP packet of the family of `from` and `to`, as a router hands it to a host.
pub fn outer((from, to): (IpAddr, IpAddr), protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(HOPS, (from, to), protocol, payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(HOPS, (from, to), protocol, payload),
        _ => panic!("both ends are of one family"),
    }
}

/// Which part of an IP packet a fragment is.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What is in the packet.
    pub protocol: Protocol,
    /// What tells its fragments from another's; 16 bits of it over IPv4.
    pub identification: u32,
    /// Where in the packet's payload this one starts, in bytes: a multiple of 8.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
    /// Its type of service.
    pub tos: u8,
}

/// One fragment (RFC 791 §3.2, RFC 8200 §4.5) of a packet from `from` to `to`.
pub fn fragment((from, to): (IpAddr, IpAddr), part: Part, payload: &[u8]) -> Vec<u8> {
    if from.is_ipv4() {
        let mut frame = outer((from, to), part.protocol, payload);
        frame[15] = part.tos;
        let [.., high, low] = part.identification.to_be_bytes();
        frame[18..20].copy_from_slice(&[high, low]);
        return ipv4_with(
            &frame,
            &[],
            (u16::from(part.more) << 13) | (part.offset / 8),
        );
    }
    let header = FragmentRepr {
        next: part.protocol,
        offset: part.offset,
        more: part.more,
        identification: part.identification,
    };
    let payload = [&header.emit()[..], payload].concat();
    let mut frame = outer((from, to), Protocol::FRAGMENT, &payload);
    wire::ecn::set_traffic_class_v6(&mut frame[14..], part.tos);
    frame
}

/// The fragments of a packet from `from` to `to` that is cut before each of the bytes `at` of its
/// payload, multiples of 8 that rise; `part` says what they have in common.
pub fn fragments(ends: (IpAddr, IpAddr), part: Part, payload: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let starts = core::iter::once(0).chain(at.iter().copied());
    let stops = at.iter().copied().chain(core::iter::once(payload.len()));
    let pieces = starts.zip(stops).map(|(start, stop)| {
        let part = Part {
            offset: u16::try_from(start).expect("a packet is not that long"),
            more: stop < payload.len(),
            ..part
        };
        fragment(ends, part, &payload[start..stop])
    });
    pieces.collect()
}
