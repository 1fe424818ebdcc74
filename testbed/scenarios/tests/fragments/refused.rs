//! Pieces that cannot be right, and packets that are not, once they are whole.

use super::{A, ALL, B, FOUR, PART, STRANGER, VNET, come, lab, long, over, underlay, way, wrapped};
use sim::{Part, fragment, fragments, ipv4};
use std::net::{IpAddr, Ipv4Addr};
use switch::DropReason;
use wire::l4::Protocol;

#[test]
fn a_piece_that_comes_twice_is_counted_and_changes_nothing() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        let pieces = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
        let twice = [0, 0, 3, 1, 3, 1, 1, 2].map(|n: usize| pieces[n].clone());
        come(&mut lab, &twice);
        lab.settle();
        assert_eq!(lab.received(&guest), [long()]);
        let name = DropReason::FragmentDuplicate.name();
        let expected = format!("received 8, sent 1, merged 3, {name} 4");
        assert_eq!(underlay(&mut lab), expected);
        // Behind the whole it is the first of a packet whose others do not come.
        come(&mut lab, &pieces[2..3]);
        over(&mut lab);
        let name = DropReason::FragmentLate.name();
        assert_eq!(underlay(&mut lab), format!("received 1, {name} 1"));
        assert!(lab.received(&guest).is_empty());
    }
}

#[test]
fn pieces_that_overlap_end_their_packet_and_its_later_ones() {
    let whole = wrapped(VNET, &long());
    for v6 in [false, true] {
        // (from, to, whether more follow): each against the pieces 0..400 and 640..1200.
        for (start, end, more) in [
            (0, 392, true),
            (0, 408, true),
            (392, 640, true),
            (8, 16, true),
            (640, 1192, true),
            (1192, 1408, false),
            (400, 1200, true),
            (400, 700, false),
        ] {
            let (mut lab, guest) = lab(2, v6);
            let ends = way(&lab, 1);
            let pieces = fragments(ends, PART, &whole, &FOUR);
            let part = Part {
                offset: u16::try_from(start).unwrap(),
                more,
                ..PART
            };
            let other = fragment(ends, part, &whole[start..end]);
            let [one, two, three, four] = <[Vec<u8>; 4]>::try_from(pieces).unwrap();
            come(&mut lab, &[one.clone(), three, other, two, four, one]);
            lab.settle();
            assert!(lab.received(&guest).is_empty());
            let (overlap, refused) = (
                DropReason::FragmentOverlap.name(),
                DropReason::FragmentRefused.name(),
            );
            let expected = format!("received 6, {overlap} 3, {refused} 3");
            assert_eq!(underlay(&mut lab), expected, "{start} to {end}");
            over(&mut lab);
            assert_eq!(underlay(&mut lab), "", "nothing is held any more");
        }
    }
}

#[test]
fn a_piece_with_other_bytes_in_its_place_is_no_duplicate() {
    let (mut lab, guest) = lab(2, false);
    let mut pieces = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
    let mut other = pieces[1].clone();
    *other.last_mut().unwrap() ^= 1;
    pieces.insert(2, other);
    come(&mut lab, &pieces);
    lab.settle();
    assert!(lab.received(&guest).is_empty());
    let (overlap, refused) = (
        DropReason::FragmentOverlap.name(),
        DropReason::FragmentRefused.name(),
    );
    let expected = format!("received 5, {overlap} 3, {refused} 2");
    assert_eq!(underlay(&mut lab), expected);
}

#[test]
fn a_piece_that_no_packet_has_is_malformed_and_its_packet_goes_on() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        let ends = way(&lab, 1);
        let mut pieces = fragments(ends, PART, &wrapped(VNET, &long()), &FOUR);
        let odd = |offset, more, len| {
            let part = Part {
                offset,
                more,
                ..PART
            };
            fragment(ends, part, &vec![0; len])
        };
        let strange = [
            odd(400, true, 239),
            odd(400, true, 7),
            odd(400, true, 0),
            odd(1200, false, 0),
        ];
        pieces.splice(1..1, strange);
        come(&mut lab, &pieces);
        lab.settle();
        assert_eq!(lab.received(&guest), [long()]);
        let name = DropReason::FragmentMalformed.name();
        let expected = format!("received 8, sent 1, merged 3, {name} 4");
        assert_eq!(underlay(&mut lab), expected);
    }
}

#[test]
fn gre_in_udp_does_not_come_in_pieces() {
    for v6 in [false, true] {
        let (mut lab, _) = lab(2, v6);
        let part = Part {
            protocol: Protocol::UDP,
            ..PART
        };
        let pieces = fragments(way(&lab, 1), part, &wrapped(VNET, &long()), &FOUR);
        come(&mut lab, &pieces);
        lab.settle();
        let name = DropReason::FragmentMalformed.name();
        assert_eq!(underlay(&mut lab), format!("received 4, {name} 4"));
    }
}

#[test]
fn a_mark_on_one_piece_is_on_the_packet_and_mixed_with_none_it_ends_it() {
    // RFC 3168 §5.3. The inner packet is of an ECN-capable transport.
    let mut frame = ipv4((ALL, STRANGER), (A, B), Protocol(253), &[7; 1366]);
    wire::ecn::set_tos_v4(&mut frame[14..], 0b10);
    let mut marked = frame.clone();
    wire::ecn::set_tos_v4(&mut marked[14..], 0b11);
    for v6 in [false, true] {
        for at in 0..4 {
            for (others, delivered) in [(0b10, true), (0b01, true), (0b11, true), (0b00, false)] {
                let (mut lab, guest) = lab(2, v6);
                let part = |tos| Part { tos, ..PART };
                let whole = wrapped(VNET, &frame);
                let mut pieces = fragments(way(&lab, 1), part(others), &whole, &FOUR);
                let ce = fragments(way(&lab, 1), part(0b11), &whole, &FOUR);
                pieces[at].clone_from(&ce[at]);
                come(&mut lab, &pieces);
                lab.settle();
                if delivered {
                    assert_eq!(lab.received(&guest), [&marked[..]]);
                    assert_eq!(underlay(&mut lab), "received 4, sent 1, merged 3");
                    continue;
                }
                assert!(lab.received(&guest).is_empty());
                let (mixed, refused) = (
                    DropReason::EcnDropped.name(),
                    DropReason::FragmentRefused.name(),
                );
                // With the second at the latest it is seen that they differ.
                let ended = at.max(1) + 1;
                let expected = match 4 - ended {
                    0 => format!("received 4, {mixed} 4"),
                    later => format!("received 4, {mixed} {ended}, {refused} {later}"),
                };
                assert_eq!(sorted(&underlay(&mut lab)), sorted(&expected));
            }
        }
    }
}

/// The words between commas, in order.
fn sorted(words: &str) -> Vec<&str> {
    let mut words: Vec<_> = words.split(", ").collect();
    words.sort_unstable();
    words
}

#[test]
fn what_was_put_together_is_judged_like_any_packet() {
    let (mut lab, guest) = lab(2, false);
    let peer = way(&lab, 1);
    let stranger: (IpAddr, _) = (Ipv4Addr::new(10, 0, 0, 77).into(), lab.endpoint(0));
    let mut version = wrapped(VNET, &long());
    version[1] = 1;
    let mut wrong = wrapped(VNET, &long());
    wrong[0] = 0xa0;
    for (ends, whole, reason, kept) in [
        (peer, wrapped(99, &long()), DropReason::UnknownKey, true),
        (
            stranger,
            wrapped(VNET, &long()),
            DropReason::UnknownPeer,
            false,
        ),
        (peer, version, DropReason::GreVersion, true),
        (peer, wrong, DropReason::GreChecksum, true),
    ] {
        come(&mut lab, &fragments(ends, PART, &whole, &FOUR));
        lab.settle();
        let name = reason.name();
        // What no peer sends is not kept until it is whole.
        let expected = if kept {
            format!("h0 underlay under: received 4, merged 3, {name} 1")
        } else {
            format!("h0 underlay under: received 4, {name} 4")
        };
        assert_eq!(lab.moved(), [expected]);
        assert!(lab.received(&guest).is_empty());
    }
}
