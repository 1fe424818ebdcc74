//! Packets written out, one of each kind: what seeds are made of, and what chance starts from.

use wire::arp::{ArpRepr, Operation};
use wire::ethernet::{BROADCAST, payload_behind_tags};
use wire::fragment::FragmentRepr;
use wire::nd::{NeighbourAdvertRepr, multicast_mac, solicited_node};
use wire::{
    EtherType, Ethernet, EthernetRepr, GreRepr, Ipv4, Ipv4Repr, Ipv6, Ipv6Repr, MacAddr, Protocol,
    UdpRepr, checksum, gre,
};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Our ends of every tunnel.
pub(crate) const ENDPOINT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same, over IPv6.
pub(crate) const ENDPOINT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// A packet, and what it is called.
pub(crate) type Named = (&'static str, Vec<u8>);

/// The address of the station with this number.
pub(crate) fn mac(number: u8) -> MacAddr {
    [2, 0, 0, 0, 0, number]
}

/// Its IPv4 address.
fn ip4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, number)
}

/// Its IPv6 address.
fn ip6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number.into())
}

/// Ethernet around `payload`.
pub(crate) fn ethernet(to: MacAddr, from: MacAddr, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let header = EthernetRepr {
        destination: to,
        source: from,
        ethertype: kind,
    };
    [&header.emit()[..], payload].concat()
}

/// IPv4 around `payload`.
pub(crate) fn ipv4(
    protocol: Protocol,
    addresses: [Ipv4Addr; 2],
    dont_fragment: bool,
    tos: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = Ipv4Repr {
        source: addresses[0],
        destination: addresses[1],
        protocol,
        ttl: 64,
        tos,
        identification: 9,
        dont_fragment,
        payload_len: u16::try_from(payload.len()).unwrap_or(Ipv4Repr::MAX_PAYLOAD),
    };
    [&header.emit()[..], payload].concat()
}

/// IPv6 around `payload`, with as many hops as neighbour discovery asks for.
pub(crate) fn ipv6(
    next: Protocol,
    addresses: [Ipv6Addr; 2],
    traffic_class: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = Ipv6Repr {
        source: addresses[0],
        destination: addresses[1],
        next,
        hop_limit: 255,
        traffic_class,
        flow_label: 0,
        payload_len: u16::try_from(payload.len()).unwrap_or(u16::MAX),
    };
    [&header.emit()[..], payload].concat()
}

/// UDP around `payload`, its checksum left to [`mend`].
pub(crate) fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr {
        source_port: ports[0],
        destination_port: ports[1],
        len: u16::try_from(UdpRepr::LEN + payload.len()).unwrap_or(u16::MAX),
        checksum: 1,
    };
    [&header.emit()[..], payload].concat()
}

/// GRE around `inner`, its checksum made right.
pub(crate) fn gre(header: GreRepr, inner: &[u8]) -> Vec<u8> {
    let mut packet = [&header.emit()[..header.len()], inner].concat();
    gre::complete(&mut packet);
    packet
}

/// The outer headers of `payload`, of `protocol`, from `peer` to us.
pub(crate) fn outer(peer: IpAddr, protocol: Protocol, tos: u8, payload: &[u8]) -> Vec<u8> {
    let (kind, packet) = match peer {
        IpAddr::V4(peer) => {
            let packet = ipv4(protocol, [peer, ENDPOINT], true, tos, payload);
            (EtherType::IPV4, packet)
        }
        IpAddr::V6(peer) => {
            let packet = ipv6(protocol, [peer, ENDPOINT_V6], tos, payload);
            (EtherType::IPV6, packet)
        }
    };
    under(kind, &packet)
}

/// Ethernet between us and the next hop.
fn under(kind: EtherType, packet: &[u8]) -> Vec<u8> {
    ethernet(
        [0x02, 0xff, 0, 0, 0, 1],
        [0x02, 0xff, 0, 0, 0, 2],
        kind,
        packet,
    )
}

/// `frame` with a tag for each of `tags`, outermost first.
pub(crate) fn tagged(frame: &[u8], tags: &[EtherType]) -> Vec<u8> {
    let mut made = frame[..12].to_vec();
    for (number, tag) in (7u16..).zip(tags) {
        made.extend(tag.0.to_be_bytes());
        made.extend(number.to_be_bytes());
    }
    made.extend(&frame[12..]);
    made
}

/// A guest's frame with `len` bytes in UDP, from station 1 to station 2, not to be fragmented.
pub(crate) fn guest_frame(len: usize) -> Vec<u8> {
    from_guest(&datagram(true, len))
}

/// The IPv4 packet in it.
fn datagram(dont_fragment: bool, len: usize) -> Vec<u8> {
    let udp = udp([33_333, 53], &vec![0x5a; len]);
    ipv4(Protocol::UDP, [ip4(1), ip4(2)], dont_fragment, 0xba, &udp)
}

/// A frame from station 1 to station 2, its checksums made right.
fn from_guest(packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 {
        EtherType::IPV4
    } else {
        EtherType::IPV6
    };
    mended(ethernet(mac(2), mac(1), kind, packet))
}

/// A TCP header with SYN and a segment size of 1460 behind one byte of padding.
const SYN: [u8; 28] = [
    0x82, 0x35, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x70, 2, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 4, 0x05,
    0xb4, 0, 0, 0,
];

/// What guests send.
pub(crate) fn guests() -> Vec<Named> {
    let syn = from_guest(&ipv4(Protocol::TCP, [ip4(1), ip4(2)], true, 0, &SYN));
    let long = udp([5000, 5001], &[0x5a; 1400]);
    let dhcp = |ports| udp(ports, &[2, 1, 6, 0]);
    let igmp = ipv4(
        Protocol(2),
        [ip4(1), Ipv4Addr::new(224, 0, 0, 1)],
        false,
        0,
        &[0; 8],
    );
    let extended = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &[128, 0, 0, 0, 0, 1, 0, 1]].concat();
    let mut all = vec![
        ("guest", guest_frame(18)),
        ("udp-long", from_guest(&datagram(false, 1400))),
        ("udp-long-whole", guest_frame(1400)),
        (
            "udp-v6-long",
            from_guest(&ipv6(Protocol::UDP, [ip6(1), ip6(2)], 0, &long)),
        ),
        (
            "syn-v6",
            from_guest(&ipv6(Protocol::TCP, [ip6(1), ip6(2)], 2, &SYN)),
        ),
        ("tagged", tagged(&syn, &[EtherType::VLAN])),
        (
            "tagged-twice",
            tagged(&syn, &[EtherType::SERVICE_VLAN, EtherType::VLAN]),
        ),
        ("syn", syn),
        ("udp-longer", guest_frame(1600)),
        ("udp-unfinished", unfinished()),
        (
            "dhcp-offer",
            from_guest(&ipv4(
                Protocol::UDP,
                [ip4(1), ip4(2)],
                false,
                0,
                &dhcp([67, 68]),
            )),
        ),
        (
            "dhcp-v6-reply",
            from_guest(&ipv6(Protocol::UDP, [ip6(1), ip6(2)], 0, &dhcp([547, 546]))),
        ),
        (
            "igmp",
            ethernet([1, 0, 0x5e, 0, 0, 1], mac(1), EtherType::IPV4, &igmp),
        ),
        (
            "options-v6",
            from_guest(&ipv6(
                Protocol::DESTINATION_OPTIONS,
                [ip6(1), ip6(2)],
                0,
                &extended,
            )),
        ),
        (
            "spanning-tree",
            ethernet([1, 0x80, 0xc2, 0, 0, 0], mac(1), EtherType(38), &[0x42; 38]),
        ),
    ];
    all.extend(questions());
    all
}

/// A frame whose UDP checksum was left to hardware: the sum of the pseudo-header is there.
fn unfinished() -> Vec<u8> {
    let mut frame = guest_frame(18);
    let sum = checksum::pseudo_v4(ip4(1), ip4(2), Protocol::UDP.0, 26);
    frame[40..42].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// ARP, and neighbour discovery.
fn questions() -> Vec<Named> {
    let arp = |operation, from: Ipv4Addr, of| {
        let repr = ArpRepr {
            operation,
            sender_mac: mac(1),
            sender_ip: from,
            target_mac: [0; 6],
            target_ip: ip4(of),
        };
        ethernet(BROADCAST, mac(1), EtherType::ARP, &repr.emit())
    };
    let nobody = Ipv6Addr::UNSPECIFIED;
    let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
    let (asked, group) = (ip6(2), solicited_node(ip6(2)));
    let message = |kind: u8, rest: &[u8]| [&[kind, 0, 0, 0, 0, 0, 0, 0], rest].concat();
    let own = [1, 1, 2, 0, 0, 0, 0, 1]; // the option with the sender's address on Ethernet
    let advert = NeighbourAdvertRepr {
        source: ip6(1),
        destination: ip6(2),
        target: ip6(1),
        target_mac: mac(1),
        router: false,
        solicited: true,
        overrides: true,
    };
    let discovery = |to, message: &[u8], from| {
        let packet = ipv6(Protocol::ICMPV6, [from, to], 0, message);
        mended(ethernet(
            multicast_mac(to),
            mac(1),
            EtherType::IPV6,
            &packet,
        ))
    };
    let solicit = [&asked.octets()[..], &own].concat();
    let nodes = wire::nd::ALL_NODES;
    let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    vec![
        ("arp-request", arp(Operation::REQUEST, ip4(1), 2)),
        (
            "arp-probe",
            arp(Operation::REQUEST, Ipv4Addr::UNSPECIFIED, 2),
        ),
        ("arp-announcement", arp(Operation::REQUEST, ip4(1), 1)),
        ("arp-reply", arp(Operation::REPLY, ip4(1), 2)),
        (
            "neighbour-solicit",
            discovery(group, &message(135, &solicit), ip6(1)),
        ),
        (
            "neighbour-probe",
            discovery(group, &message(135, &asked.octets()), nobody),
        ),
        ("neighbour-advert", from_guest(&advert.emit())),
        (
            "router-advert",
            discovery(nodes, &message(134, &[0; 8]), local),
        ),
        (
            "router-solicit",
            discovery(routers, &message(133, &own), local),
        ),
    ]
}

/// What comes from peers and routers, for red: the network 5001.
pub(crate) fn underlay() -> Vec<Named> {
    let (near, near_v6) = (
        Ipv4Addr::new(192, 0, 2, 2),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
    );
    let peers = [IpAddr::V4(near), IpAddr::V6(near_v6)];
    let guest = guest_frame(18);
    let keyed = gre(GreRepr::keyed(5001), &guest);
    let full = GreRepr {
        checksum: true,
        sequence: Some(7),
        ..GreRepr::keyed(5001)
    };
    let full = gre(full, &guest);
    let flagged = |byte: usize, bits: u8| {
        let mut packet = keyed.clone();
        packet[byte] |= bits;
        outer(peers[0], Protocol::GRE, 0, &packet)
    };
    let mut no_frame = keyed.clone();
    no_frame[2..4].copy_from_slice(&[0x08, 0]);
    let spread = udp([0xc001, gre::UDP_PORT], &keyed);
    let mut all = vec![
        ("tunnelled", outer(peers[0], Protocol::GRE, 0, &keyed)),
        ("tunnelled-full", outer(peers[0], Protocol::GRE, 0, &full)),
        ("tunnelled-v6", outer(peers[1], Protocol::GRE, 3, &full)),
        (
            "gre-in-udp",
            mended(outer(peers[0], Protocol::UDP, 0, &spread)),
        ),
        (
            "gre-in-udp-v6",
            mended(outer(peers[1], Protocol::UDP, 0, &spread)),
        ),
        ("gre-version", flagged(1, 1)),
        ("gre-routing", flagged(0, 0x40)),
        ("gre-reserved", flagged(0, 0x08)),
        ("gre-no-frame", outer(peers[0], Protocol::GRE, 0, &no_frame)),
        (
            "gre-tagged",
            tagged(
                &outer(peers[0], Protocol::GRE, 0, &keyed),
                &[EtherType::VLAN],
            ),
        ),
        ("gre-v6-extended", extended(near_v6, &keyed)),
        ("gre-options", with_options(near, &keyed)),
        (
            "too-big",
            outer(peers[0], Protocol::ICMP, 0xc0, &too_big_v4(near)),
        ),
        (
            "too-big-v6",
            mended(outer(
                peers[1],
                Protocol::ICMPV6,
                0xc0,
                &too_big_v6(near_v6),
            )),
        ),
    ];
    for (peer, names) in peers.into_iter().zip([
        ["fragment-first", "fragment-last"],
        ["fragment-v6-first", "fragment-v6-last"],
    ]) {
        let (first, last) = keyed.split_at(32);
        all.push((names[0], piece(peer, 5, 0, true, first)));
        all.push((names[1], piece(peer, 5, 32, false, last)));
    }
    all
}

/// GRE behind a hop-by-hop, a routing and a destination options header.
fn extended(peer: Ipv6Addr, packet: &[u8]) -> Vec<u8> {
    let headers = [
        [43, 0, 1, 4, 0, 0, 0, 0],
        [60, 0, 4, 0, 0, 0, 0, 0],
        [47, 0, 1, 4, 0, 0, 0, 0],
    ];
    let payload = [headers.as_flattened(), packet].concat();
    outer(peer.into(), Protocol::HOP_BY_HOP, 0, &payload)
}

/// GRE behind an IPv4 header with four bytes of padding for options.
fn with_options(peer: Ipv4Addr, packet: &[u8]) -> Vec<u8> {
    let payload = [&[1, 1, 1, 0], packet].concat();
    let mut frame = outer(peer.into(), Protocol::GRE, 0, &payload);
    frame[Ethernet::LEN] = 0x46;
    mended(frame)
}

/// A part of a tunnel packet from `peer`.
pub(crate) fn piece(
    peer: IpAddr,
    identification: u16,
    offset: usize,
    more: bool,
    part: &[u8],
) -> Vec<u8> {
    let offset = u16::try_from(offset).unwrap_or(0xfff8);
    if peer.is_ipv6() {
        let header = FragmentRepr {
            next: Protocol::GRE,
            offset,
            more,
            identification: identification.into(),
        };
        let payload = [&header.emit()[..], part].concat();
        return outer(peer, Protocol::FRAGMENT, 0, &payload);
    }
    let mut frame = outer(peer, Protocol::GRE, 0, part);
    let field = (offset / 8) | (u16::from(more) << 13);
    frame[18..20].copy_from_slice(&identification.to_be_bytes());
    frame[20..22].copy_from_slice(&field.to_be_bytes());
    mended(frame)
}

/// A router's word that 1,000 of our 1,500 bytes to `peer` fit.
fn too_big_v4(peer: Ipv4Addr) -> Vec<u8> {
    let gre = [GreRepr::keyed(5001).emit().to_vec(), vec![0; 1464]].concat();
    let mut said = [0; 576];
    let sent = ipv4(Protocol::GRE, [ENDPOINT, peer], true, 0, &gre);
    let len = wire::icmp::too_big_v4(&mut said, &sent, peer, ENDPOINT, 1000);
    said[Ipv4::MIN_LEN..len].to_vec()
}

/// The same, of 1,300 bytes, over IPv6, for the tunnel of red that has a checksum and numbers.
fn too_big_v6(peer: Ipv6Addr) -> Vec<u8> {
    let header = GreRepr {
        checksum: true,
        sequence: Some(0),
        ..GreRepr::keyed(5001)
    };
    let gre = [header.emit().to_vec(), vec![0; 1444]].concat();
    let mut said = [0; 1280];
    let sent = ipv6(Protocol::GRE, [ENDPOINT_V6, peer], 0, &gre);
    let len = wire::icmp::too_big_v6(&mut said, &sent, peer, ENDPOINT_V6, 1300);
    said[Ipv6::LEN..len].to_vec()
}

/// `frame`, with its checksums made right.
pub(crate) fn mended(mut frame: Vec<u8>) -> Vec<u8> {
    mend(&mut frame);
    frame
}

/// Makes right what checksums `frame` may have, in its IP header and behind it: so that coverage
/// is not spent on guessing them.
pub(crate) fn mend(frame: &mut [u8]) {
    let Ok((ethernet, payload)) = Ethernet::parse(frame) else {
        return;
    };
    let Ok((kind, packet)) = payload_behind_tags(ethernet.ethertype(), payload) else {
        return;
    };
    let l3 = frame.len() - packet.len();
    let packet = &mut frame[l3..];
    match kind {
        EtherType::IPV4 => mend_v4(packet),
        EtherType::IPV6 => mend_v6(packet),
        _ => {}
    }
}

fn mend_v4(packet: &mut [u8]) {
    let header_len = packet
        .first()
        .map_or(0, |first| usize::from(first & 15) * 4);
    let Some(header) = packet.get_mut(..header_len).filter(|h| h.len() >= 20) else {
        return;
    };
    header[10..12].fill(0);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let Ok((ip, payload)) = Ipv4::parse(packet) else {
        return;
    };
    if ip.is_fragment() {
        return;
    }
    let (protocol, end) = (ip.protocol(), header_len + payload.len());
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let pseudo = match protocol {
        Protocol::ICMP => 0,
        _ => checksum::pseudo_v4(ip.source(), ip.destination(), protocol.0, len),
    };
    mend_segment(protocol, pseudo, &mut packet[header_len..end]);
}

fn mend_v6(packet: &mut [u8]) {
    let Ok((ip, payload)) = Ipv6::parse(packet) else {
        return;
    };
    let Ok(upper) = ip.upper_layer(payload) else {
        return;
    };
    if upper.fragment.is_some() {
        return;
    }
    let (protocol, end) = (upper.protocol, Ipv6::LEN + payload.len());
    let at = end - upper.bytes.len();
    let len = u32::try_from(upper.bytes.len()).unwrap_or(u32::MAX);
    let pseudo = checksum::pseudo_v6(ip.source(), ip.destination(), protocol.0, len);
    mend_segment(protocol, pseudo, &mut packet[at..end]);
}

fn mend_segment(protocol: Protocol, pseudo: u16, segment: &mut [u8]) {
    let at = match protocol {
        Protocol::GRE => return gre::complete(segment),
        Protocol::UDP => {
            if let Some(inner) = segment.get_mut(UdpRepr::LEN..) {
                gre::complete(inner);
            }
            6
        }
        Protocol::TCP => 16,
        Protocol::ICMP | Protocol::ICMPV6 => 2,
        _ => return,
    };
    let Some(field) = segment.get_mut(at..at + 2) else {
        return;
    };
    field.fill(0);
    let sum = checksum::for_udp(!checksum::add(pseudo, checksum::sum(segment)));
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
