//! What waits for its other pieces is bounded: in time, in number, in length, and for each peer.

use super::{FOUR, PART, VNET, come, lab, long, over, underlay, way, wrapped};
use sim::{Lab, Part, fragment, fragments};
use std::net::IpAddr;
use switch::DropReason;

#[test]
fn pieces_wait_a_second_for_each_other_and_not_longer() {
    for (v6, steps, arrives) in [(false, 99_900, true), (true, 100_100, false)] {
        let (mut lab, guest) = lab(2, v6);
        let pieces = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
        come(&mut lab, &pieces[..3]);
        for _ in 0..steps {
            lab.step(); // 10 µs
        }
        come(&mut lab, &pieces[3..]);
        over(&mut lab);
        assert_eq!(lab.received(&guest).len(), usize::from(arrives));
        let late = DropReason::FragmentLate.name();
        let expected = if arrives {
            "received 4, sent 1, merged 3".to_owned()
        } else {
            format!("received 4, {late} 4")
        };
        assert_eq!(underlay(&mut lab), expected);
    }
}

#[test]
fn each_piece_may_be_the_one_that_is_missing() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        for missing in 0..4 {
            let part = Part {
                identification: missing,
                ..PART
            };
            let mut pieces = fragments(way(&lab, 1), part, &wrapped(VNET, &long()), &FOUR);
            pieces.remove(usize::try_from(missing).unwrap());
            come(&mut lab, &pieces);
            over(&mut lab);
            let name = DropReason::FragmentLate.name();
            assert_eq!(
                lab.moved(),
                [format!("h0 underlay under: received 3, {name} 3")]
            );
            assert!(lab.received(&guest).is_empty());
        }
    }
}

/// The first piece of the packet `number` from `source`.
fn first(lab: &Lab, source: IpAddr, number: u32) -> Vec<u8> {
    let part = Part {
        identification: number,
        ..PART
    };
    fragment((source, lab.endpoint(0)), part, &[0x20; 64])
}

#[test]
fn one_peer_has_a_quarter_of_the_room_and_makes_way_for_itself() {
    // Of 64 packets, 16.
    let (mut lab, guest) = lab(3, false);
    let theirs = fragments(way(&lab, 2), PART, &wrapped(VNET, &long()), &FOUR);
    come(&mut lab, &theirs[..2]);
    let peer = lab.endpoint(1);
    let firsts: Vec<_> = (0..17).map(|number| first(&lab, peer, number)).collect();
    come(&mut lab, &firsts[..16]);
    assert_eq!(underlay(&mut lab), "received 18");
    come(&mut lab, &firsts[16..]);
    let name = DropReason::FragmentLimit.name();
    assert_eq!(underlay(&mut lab), format!("received 1, {name} 1"));
    // It was its own oldest.
    let part = Part {
        identification: 1,
        offset: 64,
        more: false,
        ..PART
    };
    let last = fragment((peer, lab.endpoint(0)), part, &[0; 8]);
    come(&mut lab, &[last]);
    assert!(
        underlay(&mut lab).contains("merged 1"),
        "the second is held"
    );
    come(&mut lab, &theirs[2..]);
    assert_eq!(lab.received(&guest), [long()]);
    over(&mut lab);
    let late = DropReason::FragmentLate.name();
    assert_eq!(
        underlay(&mut lab),
        format!("received 2, sent 1, merged 3, {late} 15")
    );
}

#[test]
fn when_all_the_room_is_taken_the_oldest_packet_makes_way() {
    let (mut lab, _) = lab(6, false);
    for peer in 1..5 {
        let source = lab.endpoint(peer);
        let firsts: Vec<_> = (0..16).map(|number| first(&lab, source, number)).collect();
        come(&mut lab, &firsts);
    }
    assert_eq!(underlay(&mut lab), "received 64");
    let another = first(&lab, lab.endpoint(5), 1);
    come(&mut lab, &[another]);
    let (limit, late) = (
        DropReason::FragmentLimit.name(),
        DropReason::FragmentLate.name(),
    );
    assert_eq!(underlay(&mut lab), format!("received 1, {limit} 1"));
    over(&mut lab);
    assert_eq!(underlay(&mut lab), format!("{late} 64"));
}

#[test]
fn a_flood_of_pieces_from_one_peer_does_not_stop_anothers_packets() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(3, v6);
        let (bad, good) = (lab.endpoint(1), way(&lab, 2));
        let whole = wrapped(VNET, &long());
        let mut number = 0;
        for packet in 0..50 {
            let part = Part {
                identification: packet,
                ..PART
            };
            for piece in fragments(good, part, &whole, &FOUR) {
                for _ in 0..50 {
                    number += 1;
                    let flood = first(&lab, bad, number);
                    lab.arrive_quietly(0, &flood);
                }
                come(&mut lab, &[piece]);
            }
        }
        assert_eq!(number, 10_000);
        assert_eq!(lab.lost_by_wire(), 0);
        assert_eq!(lab.received(&guest), vec![long(); 50]);
        over(&mut lab);
        let (limit, late) = (
            DropReason::FragmentLimit.name(),
            DropReason::FragmentLate.name(),
        );
        let expected = format!("received 10200, sent 50, merged 150, {late} 16, {limit} 9984");
        assert_eq!(underlay(&mut lab), expected);
    }
}

#[test]
fn a_packet_longer_than_a_buffer_is_refused_with_all_its_pieces() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        let pieces = fragments(way(&lab, 1), PART, &[0x20; 2000], &[600, 1200, 1800]);
        come(&mut lab, &pieces);
        lab.settle();
        let (long, refused) = (
            DropReason::FragmentTooBig.name(),
            DropReason::FragmentRefused.name(),
        );
        // The third ends at 1,800, the longest payload there is room for at 1,738.
        let expected = format!("received 4, {refused} 1, {long} 3");
        assert_eq!(underlay(&mut lab), expected);
        // The last byte that an IP packet can have, and one that it cannot.
        for (number, offset) in [(1, 65_512), (2, 65_528)] {
            let part = Part {
                identification: number,
                offset,
                more: false,
                ..PART
            };
            let piece = fragment(way(&lab, 1), part, &[0; 16]);
            come(&mut lab, &[piece]);
            assert_eq!(underlay(&mut lab), format!("received 1, {long} 1"));
        }
        over(&mut lab);
        assert!(lab.received(&guest).is_empty());
    }
}

#[test]
fn an_underlay_that_is_withdrawn_with_pieces_waiting_leaves_a_ledger_that_balances() {
    let (mut lab, _) = lab(2, false);
    let pieces = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
    come(&mut lab, &pieces[..3]);
    let name = program::Name::try_from("under".to_owned()).unwrap();
    let id = program::Id {
        kind: program::Kind::Underlay,
        name: name.clone(),
    };
    let endpoint = lab.address(0).into();
    let (host, now) = lab.host(0);
    host.withdraw(id, now).unwrap();
    let program =
        program::UnderlayProgram::new(name, endpoint, "under".to_owned().try_into().unwrap());
    lab.put(0, program::Program::Underlay(program));
    over(&mut lab);
    come(&mut lab, &pieces);
    over(&mut lab);
}

#[test]
fn nobody_but_peers_takes_room_from_peers() {
    let (mut lab, guest) = lab(2, false);
    let pieces = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
    come(&mut lab, &pieces[..2]);
    for n in 0..200u8 {
        let stranger = std::net::Ipv4Addr::new(198, 51, 100, n).into();
        let piece = first(&lab, stranger, 7);
        lab.arrive_quietly(0, &piece);
    }
    come(&mut lab, &pieces[2..]);
    assert_eq!(lab.received(&guest), [long()]);
}
