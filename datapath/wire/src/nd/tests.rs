use super::*;
use std::vec::Vec;

const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const THEIRS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x12, 0x3456);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456);
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const OUR_MAC: MacAddr = [2, 0, 0, 0, 0, 1];

/// A packet with the message, its checksum right.
fn packet(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let header = Ipv6Repr {
        source,
        destination,
        next: Protocol::ICMPV6,
        hop_limit,
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(message.len()).unwrap(),
    };
    let mut bytes = header.emit().to_vec();
    bytes.extend(message);
    if message.len() >= 4 {
        bytes[42..44].fill(0);
        let len = u32::from(header.payload_len);
        let pseudo = checksum::pseudo_v6(source, destination, 58, len);
        let checksum = !checksum::add(pseudo, checksum::sum(&bytes[40..]));
        bytes[42..44].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

fn parse(packet: &[u8]) -> Result<Nd, ParseError> {
    let (ip, message) = Ipv6::parse(packet).unwrap();
    Nd::parse(&ip, message)
}

/// What is in front of the options: type, code, flags, and up to two addresses.
fn message(kind: u8, flags: u8, addresses: &[Ipv6Addr]) -> Vec<u8> {
    let mut bytes = std::vec![kind, 0, 0, 0, flags, 0, 0, 0];
    for address in addresses {
        bytes.extend(address.octets());
    }
    bytes
}

fn mac_option(kind: u8, mac: MacAddr) -> Vec<u8> {
    let mut bytes = std::vec![kind, 1];
    bytes.extend(mac);
    bytes
}

fn solicit() -> Vec<u8> {
    let mut bytes = message(135, 0, &[THEIRS]);
    bytes.extend(mac_option(SOURCE_MAC, OUR_MAC));
    bytes
}

#[test]
fn a_solicit_is_read_as_written() {
    let nd = parse(&packet(OURS, GROUP, 255, &solicit())).unwrap();
    assert_eq!(
        (nd.kind(), nd.target()),
        (Kind::NeighbourSolicit, Some(THEIRS))
    );
    assert_eq!((nd.source_mac(), nd.target_mac()), (Some(OUR_MAC), None));
    assert!(!nd.is_probe());
}

#[test]
fn an_advertisement_that_was_written_is_read() {
    for flags in 0..8u8 {
        let repr = NeighbourAdvertRepr {
            source: THEIRS,
            destination: OURS,
            target: THEIRS,
            target_mac: OUR_MAC,
            router: flags & 1 != 0,
            solicited: flags & 2 != 0,
            overrides: flags & 4 != 0,
        };
        let bytes = repr.emit();
        let (ip, _) = Ipv6::parse(&bytes).unwrap();
        let nd = parse(&bytes).unwrap();
        let read = NeighbourAdvertRepr {
            source: ip.source(),
            destination: ip.destination(),
            target: nd.target().unwrap(),
            target_mac: nd.target_mac().unwrap(),
            router: nd.is_from_router(),
            solicited: nd.is_solicited(),
            overrides: nd.overrides(),
        };
        assert_eq!((nd.kind(), read), (Kind::NeighbourAdvert, repr));
        assert_eq!((ip.hop_limit(), nd.source_mac()), (255, None));
    }
}

#[test]
fn all_five_kinds_are_told_apart() {
    let mut advert = message(134, 0, &[]);
    advert.extend([0; 8]);
    let kinds = [
        (message(133, 0, &[]), Kind::RouterSolicit, None),
        (advert, Kind::RouterAdvert, None),
        (
            message(135, 0, &[THEIRS]),
            Kind::NeighbourSolicit,
            Some(THEIRS),
        ),
        (
            message(136, 0x40, &[THEIRS]),
            Kind::NeighbourAdvert,
            Some(THEIRS),
        ),
        (
            message(137, 0, &[THEIRS, THEIRS]),
            Kind::Redirect,
            Some(THEIRS),
        ),
    ];
    for (message, kind, target) in kinds {
        let nd = parse(&packet(OURS, THEIRS, 255, &message)).unwrap();
        assert_eq!((nd.kind(), nd.target()), (kind, target));
        assert_eq!(Kind::from_type(message[0]), Some(kind));
        assert_eq!(nd.is_solicited(), kind == Kind::NeighbourAdvert);
    }
    for other in (0..133).chain(138..=255) {
        assert_eq!(Kind::from_type(other), None);
        let packet = packet(OURS, THEIRS, 255, &message(other, 0, &[THEIRS]));
        assert_eq!(parse(&packet), Err(ParseError::Malformed), "type {other}");
    }
}

#[test]
fn a_probe_is_from_nobody_to_the_owners_group_without_an_address() {
    let nd = parse(&packet(NOBODY, GROUP, 255, &message(135, 0, &[THEIRS]))).unwrap();
    assert!(nd.is_probe());
    let to_one = packet(NOBODY, THEIRS, 255, &message(135, 0, &[THEIRS]));
    assert_eq!(parse(&to_one), Err(ParseError::Malformed));
    let to_all = packet(NOBODY, ALL_NODES, 255, &message(135, 0, &[THEIRS]));
    assert_eq!(parse(&to_all), Err(ParseError::Malformed));
    let with_address = packet(NOBODY, GROUP, 255, &solicit());
    assert_eq!(parse(&with_address), Err(ParseError::Malformed));
}

#[test]
fn what_rfc_4861_calls_invalid_is_malformed() {
    let malformed = |why: &str, packet: Vec<u8>| {
        assert_eq!(parse(&packet), Err(ParseError::Malformed), "{why}");
    };
    malformed(
        "a router was on the way",
        packet(OURS, GROUP, 254, &solicit()),
    );
    let mut coded = solicit();
    coded[1] = 1;
    malformed("a code", packet(OURS, GROUP, 255, &coded));
    let mut wrong = packet(OURS, GROUP, 255, &solicit());
    wrong[42] ^= 1;
    malformed("a checksum", wrong);
    for kind in [135, 136] {
        let group = packet(OURS, THEIRS, 255, &message(kind, 0, &[GROUP]));
        malformed("a target that is a group", group);
    }
    let to_all = packet(OURS, ALL_NODES, 255, &message(136, 0x40, &[THEIRS]));
    malformed("an answer to everyone", to_all);
    let mut advert = message(134, 0, &[]);
    advert.extend([0; 8]);
    malformed(
        "a router from afar",
        packet(THEIRS, ALL_NODES, 255, &advert),
    );
    let mut anonymous = message(133, 0, &[]);
    anonymous.extend(mac_option(SOURCE_MAC, OUR_MAC));
    malformed(
        "nobody's address",
        packet(NOBODY, ALL_NODES, 255, &anonymous),
    );
    for (source, target, about) in [
        (THEIRS, OURS, THEIRS),
        (OURS, THEIRS, GROUP),
        (OURS, THEIRS, Ipv6Addr::LOCALHOST),
    ] {
        let redirect = packet(source, OURS, 255, &message(137, 0, &[target, about]));
        malformed("a redirect", redirect);
    }
}

#[test]
fn options_are_walked_and_those_not_known_are_passed_over() {
    let mut bytes = message(135, 0, &[THEIRS]);
    bytes.extend([14, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(mac_option(SOURCE_MAC, OUR_MAC));
    bytes.extend(mac_option(SOURCE_MAC, OUR_MAC));
    let nd = parse(&packet(OURS, GROUP, 255, &bytes)).unwrap();
    assert_eq!(nd.source_mac(), Some(OUR_MAC), "said twice, but the same");

    bytes.extend(mac_option(SOURCE_MAC, [2, 0, 0, 0, 0, 9]));
    let twice = parse(&packet(OURS, GROUP, 255, &bytes));
    assert_eq!(twice, Err(ParseError::Malformed), "two addresses");
}

#[test]
fn options_without_length_or_cut_short_are_refused() {
    let answer = |option: &[u8]| {
        let mut bytes = message(135, 0, &[THEIRS]);
        bytes.extend(option);
        parse(&packet(OURS, GROUP, 255, &bytes)).map(|nd| nd.source_mac())
    };
    assert_eq!(
        answer(&[1, 0, 0, 0, 0, 0, 0, 0]),
        Err(ParseError::Malformed)
    );
    assert_eq!(answer(&[99, 0]), Err(ParseError::Malformed));
    assert_eq!(answer(&[1]), Err(ParseError::Truncated));
    assert_eq!(answer(&[1, 1, 2, 0, 0, 0, 0]), Err(ParseError::Truncated));
    assert_eq!(
        answer(&[1, 2, 2, 0, 0, 0, 0, 1]),
        Err(ParseError::Truncated)
    );
    let long = [1, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(answer(&long), Err(ParseError::Malformed), "not Ethernet's");
}

#[test]
fn a_message_cut_short_is_truncated() {
    for (kind, len) in [(133, 8), (134, 16), (135, 24), (136, 24), (137, 40)] {
        for short in 0..len {
            let mut bytes = std::vec![0; short];
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let parsed = parse(&packet(OURS, THEIRS, 255, &bytes));
            assert_eq!(parsed, Err(ParseError::Truncated), "{kind}, {short} bytes");
        }
    }
}

#[test]
fn groups_are_those_of_the_rfcs() {
    assert_eq!(solicited_node(THEIRS), GROUP);
    assert!(is_solicited_node(GROUP) && !is_solicited_node(ALL_NODES));
    assert!(!is_solicited_node(THEIRS));
    assert_eq!(multicast_mac(GROUP), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
}

#[test]
fn random_bytes_are_read_or_refused() {
    let mut random = crate::random::Random::new(0x6e64);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let mut bytes = random.bytes(80);
        // Steered, so that more than the first checks are met: a type, no code, short options.
        for (at, byte) in [(0, 133 + random.below(5)), (1, 0), (5, 0)] {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        for at in (8..bytes.len()).step_by(8) {
            bytes[at] = random.below(4);
            if let Some(units) = bytes.get_mut(at + 1) {
                *units = random.below(3);
            }
        }
        let source = [OURS, NOBODY][usize::from(random.below(2))];
        match parse(&packet(source, GROUP, 255, &bytes)) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 1_000 && refused > 1_000,
        "{read} read, {refused} refused"
    );
}
