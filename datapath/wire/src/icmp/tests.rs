use super::*;
use crate::random::Random;
use std::vec::Vec;

const HOST_4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER_4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const ROUTER_4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const HOST_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const ROUTER_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xff);

fn v4(protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Repr {
        source: HOST_4,
        destination: PEER_4,
        protocol,
        ttl: 64,
        tos: 0,
        identification: 7,
        dont_fragment: true,
        payload_len: u16::try_from(payload.len()).unwrap(),
    };
    let mut bytes = header.emit().to_vec();
    bytes.extend(payload);
    bytes
}

fn v6(next: Protocol, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Repr {
        source: HOST_6,
        destination: PEER_6,
        next,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(payload.len()).unwrap(),
    };
    let mut bytes = header.emit().to_vec();
    bytes.extend(payload);
    bytes
}

/// Changes the bytes of an IPv4 header and repairs its checksum.
fn changed(packet: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet[10..12].fill(0);
    let checksum = checksum::of(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn answer_v4(original: &[u8]) -> Vec<u8> {
    let mut into = [0xee; 700];
    let len = too_big_v4(&mut into, original, ROUTER_4, HOST_4, 1458);
    assert!(into[len..].iter().all(|byte| *byte == 0xee), "no byte more");
    into[..len].to_vec()
}

fn answer_v6(original: &[u8]) -> Vec<u8> {
    let mut into = [0xee; 1500];
    let len = too_big_v6(&mut into, original, ROUTER_6, HOST_6, 1438);
    assert!(into[len..].iter().all(|byte| *byte == 0xee), "no byte more");
    into[..len].to_vec()
}

#[test]
fn an_answer_on_ipv4_says_what_it_was_told() {
    let original = v4(Protocol::UDP, &[0xab; 1480]);
    let answer = answer_v4(&original);
    assert_eq!(answer.len(), 576, "as much as any network takes");
    let (ip, message) = Ipv4::parse(&answer).unwrap();
    assert_eq!((ip.source(), ip.destination()), (ROUTER_4, HOST_4));
    assert_eq!(
        (ip.ttl(), ip.tos(), ip.protocol()),
        (64, 0xc0, Protocol::ICMP)
    );
    assert_eq!(message[8..], original[..548]);
    let read = TooBig::parse_v4(message).unwrap();
    let quoted = Quoted {
        source: HOST_4.into(),
        destination: PEER_4.into(),
        protocol: Protocol::UDP,
        payload: &original[20..548],
        is_later_fragment: false,
    };
    assert_eq!(read, TooBig { mtu: 1458, quoted });
}

#[test]
fn an_answer_on_ipv6_says_what_it_was_told() {
    let original = v6(Protocol::UDP, &[0xab; 1460]);
    let answer = answer_v6(&original);
    assert_eq!(answer.len(), 1280, "as much as any link takes");
    let (ip, message) = Ipv6::parse(&answer).unwrap();
    assert_eq!((ip.source(), ip.destination()), (ROUTER_6, HOST_6));
    assert_eq!((ip.hop_limit(), ip.next_header()), (64, Protocol::ICMPV6));
    assert_eq!(message[8..], original[..1232]);
    let read = TooBig::parse_v6(&ip, message).unwrap();
    let quoted = Quoted {
        source: HOST_6.into(),
        destination: PEER_6.into(),
        protocol: Protocol::UDP,
        payload: &original[40..1232],
        is_later_fragment: false,
    };
    assert_eq!(read, TooBig { mtu: 1438, quoted });
}

#[test]
fn a_short_packet_is_quoted_whole_and_without_what_ethernet_added() {
    let mut original = v4(Protocol::UDP, &[0xab; 9]);
    original.extend([0; 17]);
    assert_eq!(answer_v4(&original)[28..], original[..29]);
    let mut original = v6(Protocol::UDP, &[0xab; 9]);
    original.extend([0; 17]);
    assert_eq!(answer_v6(&original)[48..], original[..49]);
}

#[test]
fn little_room_is_filled_and_too_little_left_alone() {
    let original = v4(Protocol::UDP, &[0xab; 100]);
    for room in 0..200 {
        let mut into = std::vec![0xee; room];
        let len = too_big_v4(&mut into, &original, ROUTER_4, HOST_4, 1458);
        assert_eq!(len, if room < 28 { 0 } else { room.min(148) });
        assert!(into[len..].iter().all(|byte| *byte == 0xee));
        let mut into = std::vec![0xee; room];
        let len = too_big_v6(&mut into, &original, ROUTER_6, HOST_6, 1438);
        assert!(len == 0 && room < 48 || len >= 48 && len <= room);
    }
    for len in 0..20 {
        answer_v4(&original[..len]);
        answer_v6(&original[..len]);
    }
}

#[test]
fn what_routers_do_to_a_header_does_not_hide_what_it_quotes() {
    let mut original = v4(Protocol::GRE, &[0xab; 1400]);
    original[8] = 1; // one hop left, and the checksum as it was
    let mut answer = answer_v4(&original);
    answer.truncate(20 + 8 + 20 + 8);
    answer[22..24].fill(0);
    let checksum = checksum::of(&answer[20..]);
    answer[22..24].copy_from_slice(&checksum.to_be_bytes());
    let read = TooBig::parse_v4(&answer[20..]).unwrap();
    assert_eq!(read.quoted.protocol, Protocol::GRE);
    assert_eq!(
        read.quoted.payload, [0xab; 8],
        "as much as RFC 792 asks for"
    );
}

#[test]
fn quoted_options_and_extension_headers_are_walked() {
    let mut bytes = v4(Protocol::GRE, &[0x94, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    bytes[0] = 0x46;
    bytes[6..8].copy_from_slice(&[0x20, 0x01]);
    let quoted = Quoted::parse_v4(&bytes).unwrap();
    assert_eq!(quoted.payload, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(quoted.is_later_fragment);

    let chain = [
        60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 47, 0, 0, 1, 0, 0, 0, 9, 0x20,
    ];
    let bytes = v6(Protocol::HOP_BY_HOP, &chain);
    let quoted = Quoted::parse_v6(&bytes).unwrap();
    assert_eq!(
        (quoted.protocol, quoted.payload),
        (Protocol::GRE, &[0x20][..])
    );
    assert!(!quoted.is_later_fragment);
    let cut = Quoted::parse_v6(&bytes[..40 + 18]).unwrap();
    assert_eq!(
        (cut.protocol, cut.payload),
        (Protocol::FRAGMENT, &[47, 0][..])
    );
    let mut later = bytes;
    later[40 + 19] = 0x10;
    assert!(Quoted::parse_v6(&later).unwrap().is_later_fragment);
}

#[test]
fn a_message_that_is_cut_short_bent_or_another_is_refused() {
    let answer = answer_v4(&v4(Protocol::UDP, &[0xab; 100]));
    let message = &answer[20..];
    for len in 0..8 {
        assert_eq!(
            TooBig::parse_v4(&message[..len]),
            Err(ParseError::Truncated)
        );
    }
    for bit in 16..message.len() * 8 {
        let mut bent = message.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(TooBig::parse_v4(&bent), Err(ParseError::Malformed), "{bit}");
    }
    let other = Err(ParseError::Unsupported(Unsupported::IcmpKind));
    assert_eq!(TooBig::parse_v4(&[3, 1, 0, 0, 0, 0, 0, 0]), other);
    assert_eq!(TooBig::parse_v4(&[8, 0, 0, 0, 0, 0, 0, 0]), other);

    let answer = answer_v6(&v6(Protocol::UDP, &[0xab; 100]));
    let (ip, message) = Ipv6::parse(&answer).unwrap();
    for len in 0..8 {
        let parsed = TooBig::parse_v6(&ip, &message[..len]);
        assert_eq!(parsed, Err(ParseError::Truncated));
    }
    for bit in 8..message.len() * 8 {
        let mut bent = message.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            TooBig::parse_v6(&ip, &bent),
            Err(ParseError::Malformed),
            "{bit}"
        );
    }
    assert_eq!(TooBig::parse_v6(&ip, &[1, 0, 0, 0, 0, 0, 0, 0]), other);
}

#[test]
fn a_quote_cut_short_is_truncated() {
    let packet = v4(Protocol::UDP, &[0xab; 8]);
    for len in 0..28 {
        assert_eq!(Quoted::parse_v4(&packet[..len]), Err(ParseError::Truncated));
    }
    let packet = v6(Protocol::UDP, &[]);
    for len in 0..40 {
        assert_eq!(Quoted::parse_v6(&packet[..len]), Err(ParseError::Truncated));
    }
    assert_eq!(Quoted::parse_v6(&[0x45; 40]), Err(ParseError::Malformed));
    assert_eq!(Quoted::parse_v4(&[0x44; 40]), Err(ParseError::Malformed));
    assert_eq!(Quoted::parse_v4(&[0x65; 40]), Err(ParseError::Malformed));
}

#[test]
fn on_ipv4_errors_groups_nobodies_and_later_fragments_are_not_answered() {
    let udp = v4(Protocol::UDP, &[0; 8]);
    assert!(may_be_answered_v4(&udp));
    assert!(
        may_be_answered_v4(&changed(&udp, 6, &[0x20, 0x00])),
        "the first fragment"
    );
    assert!(
        !may_be_answered_v4(&changed(&udp, 6, &[0x20, 0x01])),
        "a later one"
    );
    assert!(
        !may_be_answered_v4(&changed(&udp, 6, &[0x00, 0x01])),
        "the last one"
    );
    for nobody in [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [255; 4],
    ] {
        assert!(
            !may_be_answered_v4(&changed(&udp, 12, &nobody)),
            "from {nobody:?}"
        );
    }
    for group in [[224, 0, 0, 1], [239, 1, 2, 3], [255; 4]] {
        assert!(
            !may_be_answered_v4(&changed(&udp, 16, &group)),
            "to {group:?}"
        );
    }
    for kind in 0..=255u8 {
        let icmp = v4(Protocol::ICMP, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        let expected = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43].contains(&kind);
        assert_eq!(may_be_answered_v4(&icmp), expected, "type {kind}");
    }
    assert!(!may_be_answered_v4(&v4(Protocol::ICMP, &[])));
    assert!(!may_be_answered_v4(&udp[..27]), "cut short");
}

#[test]
fn on_ipv6_errors_groups_nobodies_and_later_fragments_are_not_answered() {
    let udp = v6(Protocol::UDP, &[0; 8]);
    assert!(may_be_answered_v6(&udp));
    for nobody in [
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        crate::nd::ALL_NODES,
    ] {
        let mut packet = udp.clone();
        packet[8..24].copy_from_slice(&nobody.octets());
        assert!(!may_be_answered_v6(&packet), "from {nobody}");
    }
    let mut to_all = udp.clone();
    to_all[24..40].copy_from_slice(&crate::nd::ALL_NODES.octets());
    assert!(!may_be_answered_v6(&to_all), "too big or not");
    for kind in 0..=255u8 {
        let icmp = [kind, 0, 0, 0, 0, 0, 0, 0];
        let expected = kind >= 128 && kind != 137;
        assert_eq!(may_be_answered_v6(&v6(Protocol::ICMPV6, &icmp)), expected);
        let mut hidden = std::vec![58, 0, 1, 4, 0, 0, 0, 0];
        hidden.extend(icmp);
        let packet = v6(Protocol::DESTINATION_OPTIONS, &hidden);
        assert_eq!(may_be_answered_v6(&packet), expected, "type {kind}, hidden");
    }
    assert!(!may_be_answered_v6(&v6(Protocol::ICMPV6, &[])));
    for (offset, expected) in [(0, true), (8, false)] {
        let fragment = [17, 0, 0, offset | 1, 0, 0, 0, 9, 0, 0, 0, 0];
        assert_eq!(
            may_be_answered_v6(&v6(Protocol::FRAGMENT, &fragment)),
            expected
        );
    }
    assert!(!may_be_answered_v6(&udp[..47]), "cut short");
}

#[test]
fn random_bytes_are_read_quoted_and_judged_without_harm() {
    let mut random = Random::new(0x6963_6d70);
    let (mut read, mut answered) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = random.bytes(120);
        if let Some(first) = bytes.first_mut() {
            *first = [0x45, 0x46, 0x4f, 0x60][usize::from(random.below(4))];
        }
        if let Some(next) = bytes.get_mut(6) {
            *next = [0, 44, 60, 17][usize::from(random.below(4))];
        }
        read += u32::from(Quoted::parse_v4(&bytes).is_ok());
        read += u32::from(Quoted::parse_v6(&bytes).is_ok());
        may_be_answered_v4(&bytes);
        may_be_answered_v6(&bytes);
        let answer = answer_v4(&bytes);
        answered += u32::from(answer.len() > 48);
        let (_, message) = Ipv4::parse(&answer).unwrap();
        let _ = TooBig::parse_v4(message);
        let answer = answer_v6(&bytes);
        let (ip, message) = Ipv6::parse(&answer).unwrap();
        let _ = TooBig::parse_v6(&ip, message);
        let _ = TooBig::parse_v4(&bytes);
        let _ = TooBig::parse_v6(&ip, &bytes);
    }
    assert!(read > 5_000 && answered > 5_000, "{read}, {answered}");
}
