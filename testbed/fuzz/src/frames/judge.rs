//! Looks at every frame that leaves: may it, this way, and is its envelope right?
//!
//! It reads the programs, not what the switch has compiled from them, and puts together what
//! leaves in pieces.

use super::scene::Scene;
use crate::made::{ENDPOINT, ENDPOINT_V6};
use core::net::IpAddr;
use program::{DontFragment, Dscp, Mac, Oversize, Sequence, Transport, TunnelProgram};
use std::collections::BTreeMap;
use switch::{Exit, NOWHERE, Packet, Role, State, Verdict};
use tables::Instant;
use wire::ethernet::{self, payload_behind_tags};
use wire::l4::{Finding, Udp, finding};
use wire::{EtherType, Ethernet, Gre, Ipv4, Ipv6, Protocol, arp, checksum, gre, icmp, nd};

/// What is remembered from one frame to the next.
#[derive(Default)]
pub(super) struct Judge {
    /// The number of each tunnel's last packet.
    numbers: BTreeMap<u16, u32>,
    /// Pieces of tunnel packets, by tunnel and identification.
    pieces: BTreeMap<(u16, u32), Vec<Part>>,
}

/// What a piece of a tunnel packet carries.
struct Part {
    offset: usize,
    more: bool,
    bytes: Vec<u8>,
}

/// What is in the outer IP packet.
struct Outer<'a> {
    protocol: Protocol,
    tos: u8,
    /// Whom it is from, and for.
    addresses: [IpAddr; 2],
    payload: &'a [u8],
    /// Whether no router may cut it; over IPv6 none may.
    dont_fragment: bool,
    /// Identification, offset and whether more follow, if it is a piece.
    piece: Option<(u32, usize, bool)>,
}

impl Judge {
    /// Looks at `packet`, which leaves at `now`.
    pub(super) fn look(&mut self, scene: &Scene, state: &State, now: Instant, packet: &Packet) {
        let config = &scene.config;
        let Verdict::Send(exit) = packet.verdict else {
            panic!("one worker hands nothing over: {:?}", packet.verdict)
        };
        let port = config.port(exit).expect("it leaves by a port");
        let is_answer = packet.is_answer();
        assert!(port.up, "it leaves by a port that is down");
        let network = config.network(packet.vnet).expect("it is of a network");
        let origin = packet.origin;
        let home = match origin.tunnel {
            NOWHERE => config.network_of_port(origin.port),
            slot => config.tunnel(slot).expect("it came through one").network,
        };
        assert_eq!(home, packet.vnet, "it changed its network");
        let back = match packet.exit {
            Exit::Port(slot) => origin.tunnel == NOWHERE && slot == origin.port,
            Exit::Tunnel(slot) => slot == origin.tunnel,
            Exit::Undecided | Exit::Flood => panic!("it leaves by no one exit"),
        };
        assert_eq!(back, is_answer, "only an answer goes to where it came from");
        let bytes = packet.frame.bytes();
        match &port.role {
            Role::Guest(guest) => {
                assert_eq!(packet.exit, Exit::Port(exit));
                assert_eq!(guest.network, packet.vnet, "it leaves its network");
                let room = port.max_frame + tags_len(bytes);
                let len = bytes.len();
                assert!(len <= room, "{len} bytes leave by {exit}");
                inner(bytes, is_answer, network.mtu);
            }
            Role::Underlay => {
                let Exit::Tunnel(slot) = packet.exit else {
                    panic!("it leaves by no tunnel")
                };
                assert!(back || origin.tunnel == NOWHERE, "from peer to peer");
                let tunnel = config.tunnel(slot).expect("it is there");
                assert_eq!(tunnel.network, packet.vnet, "it leaves its network");
                let mtu = state
                    .lowered(slot, now)
                    .unwrap_or(tunnel.mtu)
                    .min(tunnel.mtu);
                if let Some(frame) = self.envelope(scene, slot, mtu, bytes) {
                    inner(&frame, back, network.mtu);
                }
            }
        }
    }

    /// Ends a step. If a piece may have been `lost` in it, for want of room, packets may be left
    /// of which not all pieces are there.
    pub(super) fn rest(&mut self, lost: bool) {
        assert!(lost || self.pieces.is_empty(), "a piece has not left");
        self.pieces.clear();
    }

    /// The frame in an envelope that is right in every field; none if it is a piece, and others
    /// are missing.
    fn envelope(&mut self, scene: &Scene, slot: u16, mtu: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        let program = &scene.tunnels[&slot];
        let packet = link(scene, program, bytes);
        let (len, room) = (packet.len(), mtu);
        assert!(len <= room, "{len} bytes where {room} fit");
        let outer = match program.remote {
            IpAddr::V4(_) => outer_v4(program, packet),
            IpAddr::V6(_) => outer_v6(program, packet),
        };
        assert_eq!(outer.addresses[1], program.remote);
        let Some((identification, offset, more)) = outer.piece else {
            let inner = unwrapped(program, &outer, outer.payload);
            self.count(
                slot,
                program,
                &outer.payload[..outer.payload.len() - inner.len()],
            );
            return Some(inner);
        };
        if offset == 0 {
            self.count(slot, program, outer.payload);
        }
        let parts = self.pieces.entry((slot, identification)).or_default();
        let bytes = outer.payload.to_vec();
        parts.push(Part {
            offset,
            more,
            bytes,
        });
        parts.sort_by_key(|part| part.offset);
        let mut whole = Vec::new();
        for part in &*parts {
            if part.offset != whole.len() {
                assert!(part.offset > whole.len(), "pieces overlap");
                return None;
            }
            whole.extend(&part.bytes);
        }
        if parts.last().is_some_and(|last| last.more) {
            return None;
        }
        self.pieces.remove(&(slot, identification));
        let inner = unwrapped(program, &outer, &whole);
        let asked = program.oversize == Oversize::Outer;
        assert!(asked || is_least_v6(&inner), "nobody asked for pieces");
        Some(inner)
    }

    /// Looks at the number of a packet through the tunnel in `slot`, which `start` is the headers
    /// of: above the last one's.
    fn count(&mut self, slot: u16, program: &TunnelProgram, start: &[u8]) {
        if program.sequence == Sequence::None {
            return;
        }
        let at = match program.transport {
            Transport::Gre => 4,
            Transport::Udp => 12,
        };
        let at = at + 4 * usize::from(program.checksum) + 4 * usize::from(program.keyed);
        let number: &[u8; 4] = start[at..].first_chunk().expect("it is there");
        let number = u32::from_be_bytes(*number);
        let last = self.numbers.insert(slot, number);
        assert!(
            last.is_none_or(|last| number > last),
            "{number} after {last:?}"
        );
    }
}

/// The frame in what the outer IP packet carries.
fn unwrapped(program: &TunnelProgram, outer: &Outer<'_>, payload: &[u8]) -> Vec<u8> {
    let packet = match program.transport {
        Transport::Gre => {
            assert_eq!(outer.protocol, Protocol::GRE);
            payload
        }
        Transport::Udp => datagram(outer, payload),
    };
    let (header, inner) = Gre::parse(packet).expect("its checksum holds, if it has one");
    assert_eq!(header.protocol(), EtherType::BRIDGED);
    let key = program.keyed.then_some(program.vnet.0);
    let fields = (header.key(), header.is_summed());
    assert_eq!(fields, (key, program.checksum));
    let numbered = program.sequence != Sequence::None;
    assert_eq!(header.sequence().is_some(), numbered);
    class(program, outer.tos, inner);
    if program.df == DontFragment::Copy && outer.piece.is_none() && is_ip(inner) {
        let may_be_cut = ipv4_of(inner).is_some_and(|ip| !ip.dont_fragment());
        assert_ne!(
            outer.dont_fragment, may_be_cut,
            "the bit is the inner packet's"
        );
    }
    inner.to_vec()
}

/// The outer IP packet behind Ethernet.
fn link<'a>(scene: &Scene, program: &TunnelProgram, bytes: &'a [u8]) -> &'a [u8] {
    let (header, mut packet) = Ethernet::parse(bytes).expect("we wrote it");
    let hops = &scene.hops[&program.remote].hops;
    let by = (Mac(header.source()), Mac(header.destination()));
    assert!(
        hops.iter().any(|hop| (hop.source, hop.destination) == by),
        "by no hop"
    );
    let mut kind = header.ethertype();
    if let Some(vlan) = scene.underlay.vlan {
        assert_eq!(
            (kind, &packet[..2]),
            (EtherType::VLAN, &vlan.to_be_bytes()[..])
        );
        kind = EtherType(u16::from_be_bytes([packet[2], packet[3]]));
        packet = &packet[4..];
    }
    let family = if program.remote.is_ipv4() {
        EtherType::IPV4
    } else {
        EtherType::IPV6
    };
    assert_eq!(kind, family);
    packet
}

fn outer_v4<'a>(program: &TunnelProgram, packet: &'a [u8]) -> Outer<'a> {
    let (ip, payload) = Ipv4::parse(packet).expect("we wrote it");
    assert_eq!(packet.len(), usize::from(ip.total_len()));
    assert_eq!((ip.source(), ip.ttl()), (ENDPOINT, program.ttl));
    assert!(ip.options().is_empty());
    match program.df {
        DontFragment::Set => assert!(ip.dont_fragment() || ip.is_fragment()),
        DontFragment::Clear => assert!(!ip.dont_fragment()),
        DontFragment::Copy => {} // see `unwrapped`, which has the inner packet
    }
    assert!(
        !(ip.dont_fragment() && ip.is_fragment()),
        "it was forbidden"
    );
    let piece = (
        u32::from(ip.identification()),
        usize::from(ip.fragment_offset()),
        ip.more_fragments(),
    );
    Outer {
        protocol: ip.protocol(),
        tos: ip.tos(),
        addresses: [ip.source().into(), ip.destination().into()],
        payload,
        dont_fragment: ip.dont_fragment(),
        piece: ip.is_fragment().then_some(piece),
    }
}

fn outer_v6<'a>(program: &TunnelProgram, packet: &'a [u8]) -> Outer<'a> {
    let (ip, payload) = Ipv6::parse(packet).expect("we wrote it");
    assert_eq!(packet.len(), Ipv6::LEN + payload.len());
    assert_eq!((ip.source(), ip.hop_limit()), (ENDPOINT_V6, program.ttl));
    assert_ne!(ip.flow_label(), 0, "no flow is told");
    let upper = ip.upper_layer(payload).expect("we wrote it");
    let piece = upper
        .fragment
        .map(|part| (part.identification, part.offset.into(), part.more));
    Outer {
        protocol: upper.protocol,
        tos: ip.traffic_class(),
        addresses: [ip.source().into(), ip.destination().into()],
        payload: upper.bytes,
        dont_fragment: true,
        piece,
    }
}

/// What is in `payload`, a UDP datagram.
fn datagram<'a>(outer: &Outer<'_>, payload: &'a [u8]) -> &'a [u8] {
    assert_eq!(outer.protocol, Protocol::UDP);
    let (header, packet) = Udp::parse(payload).expect("we wrote it");
    assert_eq!(header.destination_port(), gre::UDP_PORT);
    assert!(header.source_port() >= 0xc000, "not of a flow");
    assert_eq!(usize::from(header.total_len()), payload.len());
    let found = match outer.addresses {
        [IpAddr::V6(from), IpAddr::V6(to)] => {
            let len = u32::try_from(payload.len()).expect("16 bits");
            let pseudo = checksum::pseudo_v6(from, to, Protocol::UDP.0, len);
            finding(Protocol::UDP, pseudo, payload)
        }
        _ => Ok(Finding::Absent),
    };
    let absent = header.checksum() == 0;
    let wanted = if absent {
        Finding::Absent
    } else {
        Finding::Holds
    };
    assert_eq!(found, Ok(wanted));
    assert_eq!(
        absent,
        outer.addresses[0].is_ipv4(),
        "needed over IPv6, and there only"
    );
    packet
}

/// The outer type of service is what program and inner packet make it.
fn class(program: &TunnelProgram, tos: u8, inner: &[u8]) {
    let Some(said) = class_of(inner) else {
        return; // it is no IP packet, or not one that can be read
    };
    let wanted = match program.dscp {
        Dscp::Uniform => said,
        Dscp::Pipe(dscp) => dscp << 2 | said & 3,
    };
    assert_eq!(tos, wanted, "the outer class, of {said:#x}");
}

/// The type of service of the IP packet in `frame`, if there is one that can be read.
fn class_of(frame: &[u8]) -> Option<u8> {
    let v4 = ipv4_of(frame).map(|ip| ip.tos());
    v4.or_else(|| ipv6_of(frame).map(|(ip, _)| ip.traffic_class()))
}

fn is_ip(frame: &[u8]) -> bool {
    class_of(frame).is_some()
}

/// Whether it is an IPv6 packet that every way has to carry, whatever the program says
/// (RFC 8200 §5).
fn is_least_v6(frame: &[u8]) -> bool {
    frame.len() - tags_len(frame) <= Ethernet::LEN + 1280 && ipv6_of(frame).is_some()
}

fn ipv4_of(frame: &[u8]) -> Option<Ipv4<'_>> {
    let packet = packet_of(frame, EtherType::IPV4)?;
    Some(Ipv4::parse(packet).ok()?.0)
}

fn ipv6_of(frame: &[u8]) -> Option<(Ipv6<'_>, &[u8])> {
    Ipv6::parse(packet_of(frame, EtherType::IPV6)?).ok()
}

/// What is in `frame` behind its tags, if it is of that `kind`.
fn packet_of(frame: &[u8], kind: EtherType) -> Option<&[u8]> {
    let (header, payload) = Ethernet::parse(frame).ok()?;
    let (found, packet) = payload_behind_tags(header.ethertype(), payload).ok()?;
    (found == kind).then_some(packet)
}

/// Bytes of the tags that do not count against an MTU.
fn tags_len(frame: &[u8]) -> usize {
    let Ok((header, payload)) = Ethernet::parse(frame) else {
        return 0;
    };
    payload_behind_tags(header.ethertype(), payload)
        .map_or(0, |(_, rest)| payload.len() - rest.len())
}

/// What holds for every frame, once it has no envelope.
fn inner(frame: &[u8], is_answer: bool, mtu: Option<usize>) {
    let (header, payload) = Ethernet::parse(frame).expect("it has a header");
    assert!(!ethernet::is_link_local_control(header.destination()));
    let from = Mac(header.source());
    assert!(from.is_station(), "nobody sent it");
    let room = mtu.map_or(usize::MAX, |mtu| mtu + Ethernet::LEN + tags_len(frame));
    let len = frame.len();
    assert!(len <= room, "{len} bytes where {room} fit");
    if is_answer {
        let (kind, packet) = payload_behind_tags(header.ethertype(), payload).expect("we wrote it");
        answer(kind, packet);
    }
}

/// What we say ourselves is sound.
fn answer(kind: EtherType, packet: &[u8]) {
    match kind {
        EtherType::ARP => {
            let arp = arp::Arp::parse(packet).expect("we wrote it");
            assert_eq!(arp.operation(), arp::Operation::REPLY);
            assert!(Mac(arp.sender_mac()).is_station());
        }
        EtherType::IPV4 => {
            let (_, message) = Ipv4::parse(packet).expect("we wrote it");
            let said = icmp::TooBig::parse_v4(message).expect("we wrote it");
            assert!(!icmp::may_be_answered_v4(packet), "that would not end");
            assert!(!said.quoted.is_later_fragment);
        }
        EtherType::IPV6 => {
            let (ip, payload) = Ipv6::parse(packet).expect("we wrote it");
            let message = ip.upper_layer(payload).expect("we wrote it").bytes;
            if let Ok(said) = nd::Nd::parse(&ip, message) {
                assert_eq!(said.kind(), nd::Kind::NeighbourAdvert);
            } else {
                let said = icmp::TooBig::parse_v6(&ip, message).expect("we wrote it");
                assert!(said.mtu >= 1280, "less than every way carries");
                assert!(!icmp::may_be_answered_v6(packet), "that would not end");
            }
        }
        other => panic!("an answer of {other:?}"),
    }
}
