use super::*;
use crate::random::Random;
use crate::{Ipv6, Ipv6Repr};
use core::net::Ipv6Addr;
use std::vec::Vec;

/// A packet with `options`, a multiple of four, and a payload that counts.
fn packet(options: &[u8], field: u16, payload_len: usize) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut bytes = std::vec![0x40 | u8::try_from(header_len / 4).unwrap(), 0xb8];
    let total_len = u16::try_from(header_len + payload_len).unwrap();
    bytes.extend(total_len.to_be_bytes());
    bytes.extend([0x12, 0x34]);
    bytes.extend(field.to_be_bytes());
    bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend(options);
    let checksum = checksum::of(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend((0..payload_len).map(|n| (n * 31 / 7).to_le_bytes()[0]));
    bytes
}

/// The pieces as whole packets.
fn cut(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Uncut> {
    let pieces = Pieces::new(packet, mtu)?;
    let whole = |piece: Piece| {
        let mut bytes = piece.header().to_vec();
        bytes.extend(&packet[piece.payload()]);
        assert_eq!(bytes.len(), piece.total_len());
        bytes
    };
    Ok(pieces.map(whole).collect())
}

/// Puts pieces together that are in order and without gaps, as they must be.
fn together(pieces: &[Vec<u8>], mtu: usize, start: usize, more: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    for (n, bytes) in pieces.iter().enumerate() {
        let (ip, behind) = Ipv4::parse(bytes).unwrap();
        let is_last = n + 1 == pieces.len();
        assert!(bytes.len() <= mtu, "{} above {mtu}", bytes.len());
        assert_eq!(usize::from(ip.total_len()), bytes.len());
        assert_eq!(usize::from(ip.fragment_offset()), start + payload.len());
        assert_eq!(ip.more_fragments(), more || !is_last);
        assert!(is_last || behind.len() % 8 == 0);
        assert_eq!(
            (ip.identification(), ip.tos(), ip.ttl()),
            (0x1234, 0xb8, 64)
        );
        payload.extend(behind);
    }
    payload
}

#[test]
fn a_packet_is_cut_into_pieces_that_make_it_again() {
    for options in [&[][..], &[0x94, 4, 0, 0], &[7, 3, 4, 0x83, 3, 4, 1, 0]] {
        for payload_len in [0, 1, 8, 9, 100, 1480, 3000] {
            let whole = packet(options, 0, payload_len);
            for mtu in 68..200 {
                let pieces = cut(&whole, mtu).unwrap();
                let payload = together(&pieces, mtu, 0, false);
                assert_eq!(
                    payload,
                    whole[20 + options.len()..],
                    "{payload_len} by {mtu}"
                );
            }
        }
    }
}

#[test]
fn pieces_are_as_long_as_they_may_be() {
    let pieces = cut(&packet(&[], 0, 3000), 1500).unwrap();
    let lens: Vec<_> = pieces.iter().map(Vec::len).collect();
    assert_eq!(lens, [1500, 1500, 60]);
    let pieces = cut(&packet(&[], 0, 1480), 1499).unwrap();
    let lens: Vec<_> = pieces.iter().map(Vec::len).collect();
    assert_eq!(lens, [1492, 28], "cut where 8 divides");
}

#[test]
fn a_packet_that_fits_is_its_own_only_piece_whatever_its_flags() {
    for field in [0x0000, 0x4000, 0x8000, 0x2000, 0x2007, 0x0007] {
        let whole = packet(&[0x94, 4, 0, 0], field, 96);
        assert_eq!(cut(&whole, 120).unwrap(), std::slice::from_ref(&whole));
        let mut padded = whole.clone();
        padded.extend([0; 6]);
        assert_eq!(
            cut(&padded, 120).unwrap(),
            [whole],
            "less what Ethernet added"
        );
    }
}

#[test]
fn a_fragment_is_cut_again_in_its_place() {
    for (field, more) in [(0x2064, true), (0x0064, false)] {
        let fragment = packet(&[], field, 800);
        let pieces = cut(&fragment, 300).unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(together(&pieces, 300, 800, more), fragment[20..]);
    }
}

#[test]
fn later_pieces_have_only_the_options_that_are_copied() {
    #[rustfmt::skip]
    let options = [
        0x07, 0x07, 0x04, 0, 0, 0, 0, // record route: first piece only
        0x01,                         // padding
        0x83, 0x07, 0x04, 10, 0, 0, 9, // loose source route: each piece
        0x94, 0x04, 0x00, 0x00,       // router alert: each piece
        0x00,                         // end, and what is behind it means nothing
        0x94, 0x04, 0x00, 0x00,
    ];
    let pieces = cut(&packet(&options, 0, 300), 120).unwrap();
    let (first, _) = Ipv4::parse(&pieces[0]).unwrap();
    assert_eq!(first.options(), options);
    let copied = [0x83, 0x07, 0x04, 10, 0, 0, 9, 0x94, 0x04, 0x00, 0x00, 0];
    for piece in &pieces[1..] {
        let (later, _) = Ipv4::parse(piece).unwrap();
        assert_eq!(later.options(), copied);
    }
    assert!(pieces[0].len() <= 120 && pieces[1].len() == 32 + 88);
}

#[test]
fn what_must_not_or_cannot_be_cut_is_refused() {
    let forbidden = packet(&[], 0x4000, 1480);
    assert_eq!(cut(&forbidden, 1499), Err(Uncut::Forbidden));
    let long = packet(&[0x94; 40].map(|_| 1), 0, 100);
    assert_eq!(cut(&long, 67), Err(Uncut::NoRoom));
    assert!(cut(&long, 68).is_ok(), "RFC 791 says so");
    assert_eq!(cut(&long, 0), Err(Uncut::NoRoom));
    assert_eq!(
        cut(&long[..59], 68),
        Err(Uncut::Unread(ParseError::Truncated))
    );
    let malformed = Err(Uncut::Unread(ParseError::Malformed));
    for options in [
        [0x94, 1, 0, 0],
        [0x94, 0, 0, 0],
        [0x94, 5, 0, 0],
        [1, 1, 1, 0x94],
    ] {
        assert_eq!(cut(&packet(&options, 0, 100), 68), malformed, "{options:?}");
    }
    let beyond = packet(&[], 0x1fff, 100);
    assert_eq!(cut(&beyond, 68), malformed, "beyond the longest packet");
}

#[test]
fn a_fragment_header_that_was_written_is_read() {
    let repr = FragmentRepr {
        next: Protocol::GRE,
        offset: 1448,
        more: true,
        identification: 0xdead_beef,
    };
    let header = Ipv6Repr {
        source: Ipv6Addr::LOCALHOST,
        destination: Ipv6Addr::LOCALHOST,
        next: Protocol::FRAGMENT,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 8,
    };
    let mut bytes = header.emit().to_vec();
    bytes.extend(repr.emit());
    let (ip, payload) = Ipv6::parse(&bytes).unwrap();
    let found = ip.upper_layer(payload).unwrap();
    let fragment = found.fragment.unwrap();
    let read = FragmentRepr {
        next: found.protocol,
        offset: fragment.offset,
        more: fragment.more,
        identification: fragment.identification,
    };
    assert_eq!(read, repr);
    let uneven = FragmentRepr {
        offset: 1455,
        ..repr
    };
    assert_eq!(uneven.emit(), repr.emit(), "what is no unit is cut off");
}

#[test]
fn random_headers_are_cut_or_refused() {
    let mut random = Random::new(0x6672_6167);
    let mut counts = [0; 2];
    for _ in 0..20_000 {
        let words = usize::from(random.below(11));
        let options: Vec<_> = (0..words * 4)
            .map(|_| [0, 1, 2, 3, 4, 0x82, 0x94][usize::from(random.below(7))])
            .collect();
        let field = u16::try_from(random.next() & 0x3fff).unwrap();
        let whole = packet(&options, field, random.below(255).into());
        let mtu = usize::from(random.below(255));
        let Ok(pieces) = cut(&whole, mtu) else {
            counts[0] += 1;
            continue;
        };
        let start = usize::from(field & 0x1fff) * 8;
        let payload = together(&pieces, mtu, start, field & MORE != 0);
        assert_eq!(payload, whole[20 + options.len()..]);
        counts[1] += 1;
    }
    assert!(counts.into_iter().all(|count| count > 1_000), "{counts:?}");
}
