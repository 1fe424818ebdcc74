//! What our reprs emit, as etherparse reads it.

use etherparse::defrag::IpDefragPool;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
use etherparse::{
    ArpPacketSlice, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, Ipv4Header,
    Ipv4Slice, Ipv6FragmentHeader, Ipv6Header, Ipv6Slice, LaxIpv4Slice, LaxIpv6Slice,
    PacketBuilder, SlicedPacket, UdpHeader, checksum::Sum16BitWords,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::arp::Operation;
use wire::fragment::{FragmentRepr, Pieces};
use wire::icmp::{TooBig, too_big_v4, too_big_v6};
use wire::nd::NeighbourAdvertRepr;
use wire::{Arp, ArpRepr, Ipv4Repr, Ipv6, Ipv6Repr, Protocol, UdpRepr, checksum};

/// The judge's sum: it gives the checksum, in memory order.
fn judged_sum(bytes: &[u8]) -> u16 {
    !Sum16BitWords::new()
        .add_slice(bytes)
        .ones_complement()
        .to_be()
}

proptest! {
    #[test]
    fn an_arp_packet_is_read_by_the_judge_and_by_us(
        operation in any::<u16>(),
        macs in any::<([u8; 6], [u8; 6])>(),
        ips in any::<([u8; 4], [u8; 4])>(),
        padding in vec(any::<u8>(), 0..20),
    ) {
        let repr = ArpRepr {
            operation: Operation(operation),
            sender_mac: macs.0,
            sender_ip: Ipv4Addr::from(ips.0),
            target_mac: macs.1,
            target_ip: Ipv4Addr::from(ips.1),
        };
        let mut bytes = repr.emit().to_vec();
        bytes.extend(padding);

        let judge = ArpPacketSlice::from_slice(&bytes).expect("we wrote it");
        let judge = judge.to_packet().try_eth_ipv4().expect("Ethernet and IPv4");
        prop_assert_eq!(judge.operation.0, operation);
        prop_assert_eq!((judge.sender_mac, judge.target_mac), macs);
        prop_assert_eq!((judge.sender_ipv4, judge.target_ipv4), ips);

        let arp = Arp::parse(&bytes).expect("we wrote it");
        let read = ArpRepr {
            operation: arp.operation(),
            sender_mac: arp.sender_mac(),
            sender_ip: arp.sender_ip(),
            target_mac: arp.target_mac(),
            target_ip: arp.target_ip(),
        };
        prop_assert_eq!(read, repr);
    }

    #[test]
    fn random_bytes_are_arp_only_if_the_judge_agrees(
        mut bytes in vec(any::<u8>(), 0..60),
        steered in any::<bool>(),
    ) {
        if let Some(kind) = bytes.get_mut(..6).filter(|_| steered) {
            kind.copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        }
        let judge = ArpPacketSlice::from_slice(&bytes).ok();
        let judge = judge.and_then(|judge| judge.to_packet().try_eth_ipv4().ok());
        prop_assert_eq!(Arp::parse(&bytes).is_ok(), judge.is_some());
    }

    #[test]
    fn an_ipv6_header_is_read_by_the_judge_and_by_us(
        addresses in any::<([u8; 16], [u8; 16])>(),
        fields in any::<(u8, u8, u8)>(),
        flow_label in 0..1u32 << 20,
        payload_len in 0..2000u16,
    ) {
        let repr = Ipv6Repr {
            source: Ipv6Addr::from(addresses.0),
            destination: Ipv6Addr::from(addresses.1),
            next: Protocol(fields.0),
            hop_limit: fields.1,
            traffic_class: fields.2,
            flow_label,
            payload_len,
        };
        let mut bytes = repr.emit().to_vec();
        bytes.resize(40 + usize::from(payload_len), 0xa5);

        let (judge, behind) = Ipv6Header::from_slice(&bytes).expect("we wrote it");
        prop_assert_eq!(behind.len(), usize::from(payload_len));
        prop_assert_eq!((judge.source, judge.destination), addresses);
        prop_assert_eq!(judge.flow_label.value(), flow_label);
        let read = (judge.next_header.0, judge.hop_limit, judge.traffic_class);
        prop_assert_eq!(read, fields);

        // Hop-by-hop options and no payload are what a jumbogram looks like.
        prop_assume!(payload_len > 0 || fields.0 != 0);
        let (view, behind) = Ipv6::parse(&bytes).expect("we wrote it");
        let read = Ipv6Repr {
            source: view.source(),
            destination: view.destination(),
            next: view.next_header(),
            hop_limit: view.hop_limit(),
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            payload_len: u16::try_from(behind.len()).expect("2000"),
        };
        prop_assert_eq!(read, repr);
    }

    #[test]
    fn a_neighbours_advertisement_is_read_and_summed_by_the_judge(
        addresses in any::<([u8; 16], [u8; 16], [u8; 16])>(),
        target_mac in any::<[u8; 6]>(),
        flags in any::<(bool, bool, bool)>(),
    ) {
        let repr = NeighbourAdvertRepr {
            source: Ipv6Addr::from(addresses.0),
            destination: Ipv6Addr::from(addresses.1),
            target: Ipv6Addr::from(addresses.2),
            target_mac,
            router: flags.0,
            solicited: flags.1,
            overrides: flags.2,
        };
        let bytes = repr.emit();
        let ip = Ipv6Slice::from_slice(&bytes).expect("we wrote it");
        prop_assert_eq!(ip.header().hop_limit(), 255);
        prop_assert_eq!(ip.payload().ip_number, IpNumber::IPV6_ICMP);
        let message = Icmpv6Slice::from_slice(ip.payload().payload).expect("we wrote it");
        prop_assert!(message.is_checksum_valid(addresses.0, addresses.1));
        let Icmpv6Type::NeighborAdvertisement(read) = message.icmp_type() else {
            return Err(TestCaseError::fail("it is one"));
        };
        prop_assert_eq!((read.router, read.solicited, read.r#override), flags);
        let Ok(Icmpv6PayloadSlice::NeighborAdvertisement(payload)) = message.payload_slice() else {
            return Err(TestCaseError::fail("it is one"));
        };
        prop_assert_eq!(payload.target_address(), repr.target);
        let options: Result<Vec<_>, _> = payload.options_iterator().collect();
        let options = options.expect("we wrote them");
        let [NdpOptionSlice::TargetLinkLayerAddress(mac)] = &options[..] else {
            return Err(TestCaseError::fail("it has one option"));
        };
        prop_assert_eq!(mac.link_layer_address(), target_mac);
    }

    #[test]
    fn an_answer_on_ipv4_is_read_and_summed_by_the_judge(
        addresses in any::<([u8; 4], [u8; 4])>(),
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..1400),
        mtu in any::<u16>(),
    ) {
        let mut original = Vec::new();
        PacketBuilder::ipv4(addresses.0, addresses.1, 64)
            .udp(ports.0, ports.1)
            .write(&mut original, &payload)
            .expect("it is small");
        let mut into = [0; 600];
        let router = Ipv4Addr::new(10, 0, 0, 254);
        let len = too_big_v4(&mut into, &original, router, addresses.0.into(), mtu);

        let answer = Ipv4Slice::from_slice(&into[..len]).expect("we wrote it");
        let header = answer.header().to_header();
        prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
        prop_assert_eq!((answer.header().source_addr(), header.destination), (router, addresses.0));
        let bytes = answer.payload().payload;
        let message = Icmpv4Slice::from_slice(bytes).expect("we wrote it");
        prop_assert_eq!(judged_sum(bytes), 0xffff);
        let Icmpv4Type::DestinationUnreachable(read) = message.icmp_type() else {
            return Err(TestCaseError::fail("it is one"));
        };
        prop_assert_eq!(read, DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu });
        prop_assert_eq!(message.payload(), &original[..original.len().min(548)]);

        let ours = TooBig::parse_v4(bytes).expect("we wrote it").quoted;
        let (theirs, _) = LaxIpv4Slice::from_slice(message.payload()).expect("it is quoted");
        prop_assert_eq!(ours.source, theirs.header().source_addr());
        prop_assert_eq!(ours.destination, theirs.header().destination_addr());
        prop_assert_eq!(ours.payload, theirs.payload().payload);
    }

    #[test]
    fn an_answer_on_ipv6_is_read_and_summed_by_the_judge(
        addresses in any::<([u8; 16], [u8; 16])>(),
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..1500),
        mtu in any::<u32>(),
    ) {
        let mut original = Vec::new();
        PacketBuilder::ipv6(addresses.0, addresses.1, 64)
            .udp(ports.0, ports.1)
            .write(&mut original, &payload)
            .expect("it is small");
        let mut into = [0; 1300];
        let router = Ipv6Addr::LOCALHOST;
        let len = too_big_v6(&mut into, &original, router, addresses.0.into(), mtu);

        let answer = Ipv6Slice::from_slice(&into[..len]).expect("we wrote it");
        let message = Icmpv6Slice::from_slice(answer.payload().payload).expect("we wrote it");
        prop_assert!(message.is_checksum_valid(router.octets(), addresses.0));
        prop_assert_eq!(message.icmp_type(), Icmpv6Type::PacketTooBig { mtu });
        prop_assert_eq!(message.payload(), &original[..original.len().min(1232)]);

        let (ip, behind) = Ipv6::parse(&into[..len]).expect("we wrote it");
        let ours = TooBig::parse_v6(&ip, behind).expect("we wrote it").quoted;
        let (theirs, _) = LaxIpv6Slice::from_slice(message.payload()).expect("it is quoted");
        prop_assert_eq!(ours.source, theirs.header().source_addr());
        prop_assert_eq!(ours.destination, theirs.header().destination_addr());
        prop_assert_eq!(ours.payload, theirs.payload().payload);
    }

    #[test]
    fn pieces_are_put_together_by_the_judge(
        addresses in any::<([u8; 4], [u8; 4])>(),
        identification in any::<u16>(),
        payload in vec(any::<u8>(), 200..3000),
        mtu in 68..1500usize,
        backwards in any::<bool>(),
    ) {
        let header = Ipv4Repr {
            source: addresses.0.into(),
            destination: addresses.1.into(),
            protocol: Protocol::UDP,
            ttl: 64,
            tos: 0,
            identification,
            dont_fragment: false,
            payload_len: u16::try_from(payload.len()).expect("3000"),
        };
        let mut packet = header.emit().to_vec();
        packet.extend(&payload);
        let mut pieces: Vec<Vec<u8>> = Pieces::new(&packet, mtu)
            .expect("nothing forbids it")
            .map(|piece| [piece.header(), &packet[piece.payload()]].concat())
            .collect();
        prop_assume!(pieces.len() > 1);
        if backwards {
            pieces.reverse();
        }
        let mut pool = IpDefragPool::<(), ()>::new();
        let mut whole = None;
        for piece in &pieces {
            prop_assert!(whole.is_none(), "whole before its last piece");
            prop_assert!(piece.len() <= mtu);
            let read = Ipv4Header::from_slice(piece).expect("we wrote it").0;
            prop_assert_eq!(read.header_checksum, read.calc_header_checksum());
            let sliced = SlicedPacket::from_ip(piece).expect("we wrote it");
            whole = pool.process_sliced_packet(&sliced, (), ()).expect("we wrote it");
        }
        let whole = whole.expect("all pieces are there");
        prop_assert_eq!((whole.ip_number, whole.payload), (IpNumber::UDP, payload));
    }

    #[test]
    fn a_fragment_header_is_read_by_the_judge(
        fields in any::<(u8, bool, u32)>(),
        units in 0..=0x1fffu16,
    ) {
        let repr = FragmentRepr {
            next: Protocol(fields.0),
            offset: units * 8,
            more: fields.1,
            identification: fields.2,
        };
        let (judge, _) = Ipv6FragmentHeader::from_slice(&repr.emit()).expect("we wrote it");
        let read = (judge.next_header.0, judge.more_fragments, judge.identification);
        prop_assert_eq!(read, fields);
        prop_assert_eq!(judge.fragment_offset.value(), units);
    }

    #[test]
    fn a_udp_header_is_read_and_summed_by_the_judge(
        addresses in any::<([u8; 16], [u8; 16])>(),
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let mut repr = UdpRepr {
            source_port: ports.0,
            destination_port: ports.1,
            len: u16::try_from(8 + payload.len()).expect("208"),
            checksum: 0,
        };
        let (source, destination) = (Ipv6Addr::from(addresses.0), Ipv6Addr::from(addresses.1));
        let pseudo = checksum::pseudo_v6(source, destination, Protocol::UDP.0, repr.len.into());
        repr.checksum = repr.checksum(pseudo, &payload);
        let (judge, _) = UdpHeader::from_slice(&repr.emit()).expect("we wrote it");
        prop_assert_eq!((judge.source_port, judge.destination_port), ports);
        prop_assert_eq!(judge.length, repr.len);
        let right = judge.calc_checksum_ipv6_raw(addresses.0, addresses.1, &payload);
        prop_assert_eq!(right.expect("it is short"), repr.checksum);
    }
}
