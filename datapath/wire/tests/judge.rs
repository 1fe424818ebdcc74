//! Our views beside etherparse's, on packets that are random, whole, cut and bent.

use etherparse::{
    Ethernet2HeaderSlice, IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv4Options, Ipv6Slice,
    PacketBuilder, TcpSlice, UdpSlice, checksum::Sum16BitWords,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::l4::{Finding, Icmp, Tcp, Udp, finding};
use wire::{
    EtherType, Ethernet, EthernetRepr, Gre, GreRepr, Ipv4, Ipv4Repr, Ipv6, ParseError, Protocol,
    checksum, ethernet, mss,
};

/// The judge's sum: it gives the checksum, in memory order.
fn judged_sum(bytes: &[u8]) -> u16 {
    !Sum16BitWords::new()
        .add_slice(bytes)
        .ones_complement()
        .to_be()
}

fn options() -> impl Strategy<Value = Ipv4Options> {
    (0..=10usize, any::<[u8; 40]>()).prop_map(|(words, bytes)| {
        Ipv4Options::try_from(&bytes[..words * 4]).expect("a multiple of four, at most 40")
    })
}

prop_compose! {
    /// A header as etherparse has it, its checksum right, its length that of `payload_len`.
    fn ipv4_header(payload_len: u16)(
        fields in any::<(u8, u16, bool, bool, u8, u8)>(),
        addresses in any::<([u8; 4], [u8; 4])>(),
        offset in 0..=0x1fffu16,
        options in options(),
    ) -> Ipv4Header {
        let (tos, identification, dont_fragment, more_fragments, time_to_live, protocol) = fields;
        let mut header = Ipv4Header {
            dscp: etherparse::IpDscp::try_new(tos >> 2).expect("six bits"),
            ecn: etherparse::IpEcn::try_new(tos & 3).expect("two bits"),
            identification,
            dont_fragment,
            more_fragments,
            fragment_offset: etherparse::IpFragOffset::try_new(offset).expect("13 bits"),
            time_to_live,
            protocol: IpNumber(protocol),
            source: addresses.0,
            destination: addresses.1,
            options,
            ..Ipv4Header::default()
        };
        header.total_len = u16::try_from(header.header_len()).expect("60") + payload_len;
        header.header_checksum = header.calc_header_checksum();
        header
    }
}

prop_compose! {
    /// A chain of extension headers in front of `UDP`, as bytes, and the first one's number.
    fn extensions()(
        kinds in vec(prop::sample::select(vec![0u8, 43, 60, 44]), 0..6),
        bytes in any::<[u8; 8]>(),
        units in 0..3u8,
    ) -> (u8, Vec<u8>) {
        let mut chain = Vec::new();
        for (n, kind) in kinds.iter().enumerate() {
            let next = *kinds.get(n + 1).unwrap_or(&17);
            let units = if *kind == 44 { 0 } else { units };
            chain.extend([next, units]);
            // Of a fragment header: the first fragment.
            chain.extend(if *kind == 44 { [0, bytes[1] & 1] } else { [bytes[0], bytes[1]] });
            chain.extend(&bytes[2..6]);
            chain.extend(vec![bytes[7]; 8 * usize::from(units)]);
        }
        (*kinds.first().unwrap_or(&17), chain)
    }
}

fn same_ipv4(ours: &Ipv4<'_>, theirs: &Ipv4HeaderSlice<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.header_len(), theirs.slice().len());
    prop_assert_eq!(ours.total_len(), theirs.total_len());
    prop_assert_eq!(ours.tos(), theirs.dcp().value() << 2 | theirs.ecn().value());
    prop_assert_eq!(ours.identification(), theirs.identification());
    prop_assert_eq!(ours.dont_fragment(), theirs.dont_fragment());
    prop_assert_eq!(ours.more_fragments(), theirs.more_fragments());
    prop_assert_eq!(
        ours.fragment_offset(),
        theirs.fragments_offset().value() * 8
    );
    prop_assert_eq!(ours.is_fragment(), theirs.is_fragmenting_payload());
    prop_assert_eq!(ours.ttl(), theirs.ttl());
    prop_assert_eq!(ours.protocol().0, theirs.protocol().0);
    prop_assert_eq!(ours.checksum(), theirs.header_checksum());
    prop_assert_eq!(ours.source(), theirs.source_addr());
    prop_assert_eq!(ours.destination(), theirs.destination_addr());
    prop_assert_eq!(ours.options(), theirs.options());
    Ok(())
}

proptest! {
    #[test]
    fn the_sum_is_the_judges(bytes in vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(checksum::sum(&bytes), judged_sum(&bytes));
    }

    #[test]
    fn changing_a_checksum_is_summing_again(
        mut bytes in vec(any::<u8>(), 8..200),
        at in any::<prop::sample::Index>(),
        to in any::<[u8; 4]>(),
    ) {
        bytes[0] |= 1; // not all zero
        let at = 4 + 2 * at.index((bytes.len() - 6) / 2);
        let before = checksum::of(&bytes);

        let from = [bytes[at], bytes[at + 1]];
        bytes[at..at + 2].copy_from_slice(&to[..2]);
        let after = checksum::of(&bytes);
        let (from, to16) = (u16::from_be_bytes(from), u16::from_be_bytes([to[0], to[1]]));
        prop_assert_eq!(checksum::updated(before, from, to16), after);

        let from = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let to = u32::from_be_bytes(to) | 1;
        bytes[..4].copy_from_slice(&to.to_be_bytes());
        prop_assert_eq!(checksum::updated_u32(after, from, to), checksum::of(&bytes));
    }

    #[test]
    fn an_ipv4_packet_is_read_as_the_judge_reads_it(
        (header, payload) in vec(any::<u8>(), 0..300).prop_flat_map(|payload| {
            let len = u16::try_from(payload.len()).expect("300");
            (ipv4_header(len), Just(payload))
        }),
        padding in vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend(&payload);
        let len = bytes.len();
        bytes.extend(&padding);

        let (ours, behind) = Ipv4::parse(&bytes).expect("it is whole");
        same_ipv4(&ours, &Ipv4HeaderSlice::from_slice(&bytes).expect("it is whole"))?;
        prop_assert_eq!(behind, &payload[..]);
        for len in 0..len {
            prop_assert_eq!(Ipv4::parse(&bytes[..len]), Err(ParseError::Truncated));
        }
    }

    #[test]
    fn bent_ipv4_is_refused_by_both_or_read_the_same(
        header in ipv4_header(24),
        payload in vec(any::<u8>(), 0..40),
        bends in vec((0..60usize, any::<u8>()), 1..4),
        repaired in any::<bool>(),
    ) {
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend(&payload);
        for (at, byte) in bends {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        let header_len = usize::from(bytes[0] & 15) * 4;
        if repaired && (20..=bytes.len()).contains(&header_len) {
            bytes[10..12].fill(0);
            let right = checksum::of(&bytes[..header_len]);
            bytes[10..12].copy_from_slice(&right.to_be_bytes());
        }
        let theirs = Ipv4HeaderSlice::from_slice(&bytes).ok().filter(|header| {
            let total = usize::from(header.total_len());
            (header.slice().len()..=bytes.len()).contains(&total)
                && judged_sum(header.slice()) == 0xffff
        });
        match (Ipv4::parse(&bytes), theirs) {
            (Ok((ours, _)), Some(theirs)) => same_ipv4(&ours, &theirs)?,
            (Err(_), None) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} but {theirs:?}"),
        }
    }

    #[test]
    fn what_an_ipv4_repr_emits_is_read_back(
        addresses in any::<([u8; 4], [u8; 4])>(),
        fields in any::<(u8, u8, u8, u16, bool)>(),
        payload_len in 0..2000u16,
    ) {
        let repr = Ipv4Repr {
            source: Ipv4Addr::from(addresses.0),
            destination: Ipv4Addr::from(addresses.1),
            protocol: Protocol(fields.0),
            ttl: fields.1,
            tos: fields.2,
            identification: fields.3,
            dont_fragment: fields.4,
            payload_len,
        };
        let mut bytes = repr.emit().to_vec();
        bytes.resize(20 + usize::from(payload_len), 0xa5);
        let (view, payload) = Ipv4::parse(&bytes).expect("we wrote it");
        let read = Ipv4Repr {
            source: view.source(),
            destination: view.destination(),
            protocol: view.protocol(),
            ttl: view.ttl(),
            tos: view.tos(),
            identification: view.identification(),
            dont_fragment: view.dont_fragment(),
            payload_len: u16::try_from(payload.len()).expect("2000"),
        };
        prop_assert_eq!(read, repr);
        let judge = Ipv4Header::from_slice(&bytes).expect("we wrote it").0;
        prop_assert_eq!(judge.calc_header_checksum(), view.checksum());
    }

    #[test]
    fn what_ethernet_and_gre_reprs_emit_is_read_back(
        macs in any::<([u8; 6], [u8; 6])>(),
        ethertype in any::<u16>(),
        key in any::<u32>(),
        payload in vec(any::<u8>(), 0..64),
    ) {
        let repr = EthernetRepr {
            destination: macs.0,
            source: macs.1,
            ethertype: EtherType(ethertype),
        };
        let mut bytes = repr.emit().to_vec();
        bytes.extend(&GreRepr::keyed(key).emit()[..GreRepr::KEYED_LEN]);
        bytes.extend(&payload);

        let judge = Ethernet2HeaderSlice::from_slice(&bytes).expect("we wrote it");
        let (view, behind) = Ethernet::parse(&bytes).expect("we wrote it");
        prop_assert_eq!((view.destination(), view.source()), macs);
        prop_assert_eq!(view.ethertype(), EtherType(ethertype));
        prop_assert_eq!((judge.destination(), judge.source()), macs);
        prop_assert_eq!(judge.ether_type().0, ethertype);

        let (gre, behind) = Gre::parse(behind).expect("we wrote it");
        prop_assert_eq!(gre.key(), Some(key));
        prop_assert_eq!((gre.protocol(), gre.header_len()), (EtherType::BRIDGED, GreRepr::KEYED_LEN));
        prop_assert_eq!(behind, &payload[..]);
    }

    #[test]
    fn an_ipv6_chain_ends_where_the_judge_says(
        (first, chain) in extensions(),
        addresses in any::<([u8; 16], [u8; 16])>(),
        fields in any::<(u8, u8, u16)>(),
        payload in vec(any::<u8>(), 1..100),
    ) {
        let len = u16::try_from(chain.len() + payload.len()).expect("small");
        let [label, more] = fields.2.to_be_bytes();
        let mut bytes = vec![0x60 | fields.0 >> 4, fields.0 << 4 | label & 15, label, more];
        bytes.extend(len.to_be_bytes());
        bytes.extend([first, fields.1]);
        bytes.extend(addresses.0);
        bytes.extend(addresses.1);
        bytes.extend(&chain);
        bytes.extend(&payload);

        let (view, behind) = Ipv6::parse(&bytes).expect("it is whole");
        let found = view.upper_layer(behind).expect("it is whole");
        prop_assert_eq!((found.protocol, found.bytes), (Protocol::UDP, &payload[..]));
        prop_assert_eq!(view.source(), Ipv6Addr::from(addresses.0));
        prop_assert_eq!(view.destination(), Ipv6Addr::from(addresses.1));

        // The judge insists that hop-by-hop options come first, and so does not judge all chains.
        if let Ok(judge) = Ipv6Slice::from_slice(&bytes) {
            prop_assert_eq!(judge.header().flow_label().value(), view.flow_label());
            prop_assert_eq!(judge.header().traffic_class(), view.traffic_class());
            prop_assert_eq!(judge.header().hop_limit(), view.hop_limit());
            prop_assert_eq!(judge.payload().payload, found.bytes);
            prop_assert_eq!(judge.payload().ip_number.0, found.protocol.0);
        }
    }

    #[test]
    fn a_built_segment_holds_and_a_bent_one_does_not(
        addresses in any::<([u8; 4], [u8; 4])>(),
        ports in any::<(u16, u16)>(),
        tcp in any::<bool>(),
        tagged in any::<bool>(),
        payload in vec(any::<u8>(), 0..200),
        bend in any::<prop::sample::Index>(),
    ) {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let vlan = etherparse::VlanId::try_new(42).expect("12 bits");
        let mut bytes = Vec::new();
        let built = match (tagged, tcp) {
            (true, true) => builder.single_vlan(vlan).ipv4(addresses.0, addresses.1, 64)
                .tcp(ports.0, ports.1, 7, 1024).write(&mut bytes, &payload),
            (true, false) => builder.single_vlan(vlan).ipv4(addresses.0, addresses.1, 64)
                .udp(ports.0, ports.1).write(&mut bytes, &payload),
            (false, true) => builder.ipv4(addresses.0, addresses.1, 64)
                .tcp(ports.0, ports.1, 7, 1024).write(&mut bytes, &payload),
            (false, false) => builder.ipv4(addresses.0, addresses.1, 64)
                .udp(ports.0, ports.1).write(&mut bytes, &payload),
        };
        built.expect("it is small");

        let (ether, behind) = Ethernet::parse(&bytes).expect("whole");
        let (ethertype, packet) =
            ethernet::payload_behind_tags(ether.ethertype(), behind).expect("whole");
        prop_assert_eq!(ethertype, EtherType::IPV4);
        let (ip, segment) = Ipv4::parse(packet).expect("whole");
        let len = u16::try_from(segment.len()).expect("small");
        let pseudo = checksum::pseudo_v4(ip.source(), ip.destination(), ip.protocol().0, len);
        prop_assert_eq!(finding(ip.protocol(), pseudo, segment), Ok(Finding::Holds));
        if tcp {
            let (ours, behind) = Tcp::parse(segment).expect("whole");
            let theirs = TcpSlice::from_slice(segment).expect("whole");
            prop_assert_eq!((ours.source_port(), ours.destination_port()), ports);
            prop_assert_eq!((ours.flags(), behind), (segment[13], theirs.payload()));
        } else {
            let (ours, behind) = Udp::parse(segment).expect("whole");
            let theirs = UdpSlice::from_slice(segment).expect("whole");
            prop_assert_eq!((ours.source_port(), ours.destination_port()), ports);
            prop_assert_eq!(behind, theirs.payload());
        }
        let mut bent = segment.to_vec();
        bent[bend.index(len.into())] ^= 0x10;
        prop_assert_ne!(finding(ip.protocol(), pseudo, &bent), Ok(Finding::Holds));
    }

    #[test]
    fn an_ipv6_segment_holds(
        addresses in any::<([u8; 16], [u8; 16])>(),
        ports in any::<(u16, u16)>(),
        echo in any::<bool>(),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let builder = PacketBuilder::ipv6(addresses.0, addresses.1, 64);
        let mut bytes = Vec::new();
        if echo {
            builder.icmpv6_echo_request(ports.0, 1).write(&mut bytes, &payload)
        } else {
            builder.udp(ports.0, ports.1).write(&mut bytes, &payload)
        }
        .expect("it is small");
        let (ip, behind) = Ipv6::parse(&bytes).expect("whole");
        let upper = ip.upper_layer(behind).expect("whole");
        let len = u32::try_from(upper.bytes.len()).expect("small");
        let pseudo = checksum::pseudo_v6(ip.source(), ip.destination(), upper.protocol.0, len);
        prop_assert_eq!(finding(upper.protocol, pseudo, upper.bytes), Ok(Finding::Holds));
        if echo {
            let (icmp, _) = Icmp::parse(upper.bytes).expect("whole");
            prop_assert_eq!((icmp.kind(), icmp.identifier()), (128, ports.0));
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused_and_payloads_lie_inside(
        bytes in vec(any::<u8>(), 0..200),
        version in prop::sample::select(vec![0x45u8, 0x46, 0x4f, 0x60, 0x20, 0x80, 0xb0]),
    ) {
        let mut steered = bytes.clone();
        if let Some(first) = steered.first_mut() {
            *first = version; // so that more than the first check is met
        }
        for bytes in [&bytes, &steered] {
            let inside = |payload: &[u8]| {
                bytes.windows(payload.len().max(1)).any(|window| window == payload)
                    || payload.is_empty()
            };
            let payloads = [
                Ethernet::parse(bytes).ok().map(|(_, payload)| payload),
                Ipv4::parse(bytes).ok().map(|(_, payload)| payload),
                Gre::parse(bytes).ok().map(|(_, payload)| payload),
                Tcp::parse(bytes).ok().map(|(_, payload)| payload),
                Udp::parse(bytes).ok().map(|(_, payload)| payload),
                Icmp::parse(bytes).ok().map(|(_, payload)| payload),
                Ipv6::parse(bytes).ok()
                    .and_then(|(ip, payload)| ip.upper_layer(payload).ok())
                    .map(|upper| upper.bytes),
                ethernet::payload_behind_tags(EtherType::VLAN, bytes).ok().map(|(_, rest)| rest),
            ];
            for payload in payloads.into_iter().flatten() {
                prop_assert!(inside(payload));
            }
        }
    }

    #[test]
    fn a_clamped_syn_is_what_the_judge_reads_and_sums(
        addresses in any::<([u8; 4], [u8; 4])>(),
        says in any::<u16>(),
        max in any::<u16>(),
        before in 0..=3usize,
        wide in any::<bool>(),
        wrong in prop::option::of(1..=0xfffeu16),
        payload in vec(any::<u8>(), 0..40),
    ) {
        use etherparse::{TcpHeader, TcpOptionElement as Option_};
        let mut options = vec![Option_::Noop; before];
        if wide {
            options.push(Option_::WindowScale(7));
        }
        options.push(Option_::MaximumSegmentSize(says));
        let mut header = TcpHeader::new(1, 2, 3, 4);
        header.syn = true;
        header.set_options(&options).expect("they fit");
        let right = header.calc_checksum_ipv4_raw(addresses.0, addresses.1, &payload);
        header.checksum = right.expect("small") ^ wrong.unwrap_or(0);
        let mut segment = header.to_bytes().to_vec();
        segment.extend(&payload);

        let changed = mss::clamp(&mut segment, max);
        prop_assert_eq!(changed, (says > max).then_some(says));
        let (judge, behind) = TcpHeader::from_slice(&segment).expect("whole");
        prop_assert_eq!(behind, &payload[..]);
        let read: Vec<_> = judge.options_iterator().collect::<Result<_, _>>().expect("whole");
        prop_assert!(read.contains(&Option_::MaximumSegmentSize(says.min(max))));
        let right = judge.calc_checksum_ipv4_raw(addresses.0, addresses.1, &payload);
        prop_assert_eq!(right.expect("small") == judge.checksum, wrong.is_none());
    }

    #[test]
    fn random_segments_are_clamped_or_left_and_never_more_than_the_header(
        mut bytes in vec(any::<u8>(), 0..100),
        kinds in vec(0..5u8, 40),
        max in any::<u16>(),
    ) {
        if let Some(offset_and_flags) = bytes.get_mut(12..14) {
            offset_and_flags[1] |= 2;
        }
        for (byte, kind) in bytes.iter_mut().skip(20).step_by(2).zip(kinds) {
            *byte = kind; // so that options are met
        }
        let before = bytes.clone();
        let changed = mss::clamp(&mut bytes, max);
        prop_assert_eq!(changed.is_some(), before != bytes);
        prop_assert_eq!(bytes.get(60..), before.get(60..));
    }
}
