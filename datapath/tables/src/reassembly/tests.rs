//! What becomes of single packets. `tests/reassembly.rs` has it beside a model.

use super::*;
use core::net::Ipv4Addr;
use std::vec::Vec;

const ROOM: usize = 1_792;
const LIMIT: Duration = Duration::from_secs(1);

fn made(slots: usize) -> Reassembly {
    Reassembly::new(slots, ROOM, LIMIT)
}

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

fn peer(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn fragment(identification: u32, offset: usize, more: bool, payload: &[u8]) -> Fragment<'_> {
    Fragment {
        source: peer(1),
        destination: peer(2),
        protocol: 47,
        identification,
        offset,
        more,
        tos: 0,
        payload,
    }
}

fn nobody(evicted: Evicted) {
    panic!("{evicted:?}");
}

fn whole(payload: &[u8], fragments: u32, tos: u8) -> Held<'_> {
    Held::Whole {
        payload,
        fragments,
        tos,
    }
}

#[test]
fn three_fragments_in_any_order_are_a_packet() {
    let bytes: Vec<u8> = (0..43).collect();
    let pieces = [
        fragment(7, 0, true, &bytes[..16]),
        fragment(7, 16, true, &bytes[16..40]),
        fragment(7, 40, false, &bytes[40..]),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut table = made(4);
        for piece in &order[..2] {
            let held = table.add(at(0), &pieces[*piece], &mut nobody);
            assert_eq!(held, Held::Waiting);
        }
        assert_eq!(table.held(), 2);
        let held = table.add(at(999), &pieces[order[2]], &mut nobody);
        assert_eq!(held, whole(&bytes, 3, 0));
        assert_eq!(table.held(), 0);
        table.expire(at(5_000), &mut nobody);
    }
}

#[test]
fn a_packet_in_one_fragment_is_whole_beside_others_of_its_name() {
    let mut table = made(4);
    table.add(at(0), &fragment(7, 0, true, &[1; 8]), &mut nobody);
    let alone = fragment(7, 0, false, &[2; 5]);
    assert_eq!(table.add(at(0), &alone, &mut nobody), whole(&[2; 5], 1, 0));
    let empty = fragment(7, 0, false, &[]);
    assert_eq!(table.add(at(0), &empty, &mut nobody), whole(&[], 1, 0));
    let long = [0; ROOM + 1];
    let long = fragment(7, 0, false, &long);
    let held = table.add(at(0), &long, &mut nobody);
    assert_eq!(held, Held::TooBig { fragments: 0 });
    let last = fragment(7, 8, false, &[3]);
    let held = table.add(at(0), &last, &mut nobody);
    assert_eq!(held, whole(&[1, 1, 1, 1, 1, 1, 1, 1, 3], 2, 0));
}

#[test]
fn a_fragment_that_no_packet_has_is_malformed_and_its_packet_goes_on() {
    let mut table = made(4);
    table.add(at(0), &fragment(7, 0, true, &[1; 8]), &mut nobody);
    for (offset, more, len) in [
        (4, false, 8),
        (8, true, 9),
        (8, true, 0),
        (8, false, 0),
        (0, true, 0),
    ] {
        let bytes = [0; 9];
        let piece = fragment(7, offset, more, &bytes[..len]);
        assert_eq!(table.add(at(0), &piece, &mut nobody), Held::Malformed);
    }
    let last = fragment(7, 8, false, &[3]);
    assert!(matches!(
        table.add(at(0), &last, &mut nobody),
        Held::Whole { .. }
    ));
}

#[test]
fn the_same_fragment_again_is_a_duplicate() {
    let bytes: Vec<u8> = (0..40).collect();
    let mut table = made(4);
    let pieces = [
        fragment(7, 8, true, &bytes[8..24]),
        fragment(7, 32, false, &bytes[32..]),
        fragment(7, 24, true, &bytes[24..32]),
    ];
    for piece in &pieces {
        assert_eq!(table.add(at(0), piece, &mut nobody), Held::Waiting);
    }
    for piece in &pieces {
        assert_eq!(table.add(at(0), piece, &mut nobody), Held::Duplicate);
    }
    let first = fragment(7, 0, true, &bytes[..8]);
    assert_eq!(table.add(at(0), &first, &mut nobody), whole(&bytes, 4, 0));
}

#[test]
fn any_other_overlap_ends_the_packet_until_its_time_is_over() {
    let bytes = [5; 64];
    let other = [6; 64];
    // Beside [8, 24), [24, 40) and a last [48, 56) of the same bytes.
    let overlaps = [
        fragment(7, 8, true, &other[..16]), // the same range with other bytes
        fragment(7, 8, true, &bytes[..32]), // two in one
        fragment(7, 8, true, &bytes[..8]),  // the front of one
        fragment(7, 16, true, &bytes[..8]), // the end of one
        fragment(7, 16, true, &bytes[..16]), // of each a half
        fragment(7, 0, true, &bytes[..16]),
        fragment(7, 32, true, &bytes[..16]),
        fragment(7, 48, true, &bytes[..8]), // the last, which would not be the last
        fragment(7, 40, true, &bytes[..24]), // over the end
        fragment(7, 40, false, &bytes[..9]), // another end
        fragment(7, 56, false, &bytes[..1]),
        fragment(7, 0, false, &bytes[..8]).with_offset(32),
        fragment(7, 56, true, &bytes[..8]), // behind the end
    ];
    for overlap in &overlaps {
        let mut table = made(4);
        table.add(at(0), &fragment(7, 8, true, &bytes[..16]), &mut nobody);
        table.add(at(1), &fragment(7, 24, true, &bytes[..16]), &mut nobody);
        table.add(at(1), &fragment(7, 48, false, &bytes[..8]), &mut nobody);
        let held = table.add(at(2), overlap, &mut nobody);
        assert_eq!(held, Held::Overlap { fragments: 3 }, "{overlap:?}");
        assert_eq!(table.held(), 0);
        let late = fragment(7, 0, true, &bytes[..8]);
        assert_eq!(table.add(at(999), &late, &mut nobody), Held::Refused);
        assert_eq!(table.add(at(1_000), &late, &mut nobody), Held::Waiting);
    }
}

impl Fragment<'_> {
    fn with_offset(self, offset: usize) -> Self {
        Self { offset, ..self }
    }
}

#[test]
fn what_is_beyond_the_room_ends_the_packet() {
    let mut table = made(4);
    let bytes = [0; 800];
    table.add(at(0), &fragment(7, 0, true, &bytes), &mut nobody);
    table.add(at(0), &fragment(7, 800, true, &bytes), &mut nobody);
    let beyond = fragment(7, 1_600, false, &bytes[..193]);
    let held = table.add(at(0), &beyond, &mut nobody);
    assert_eq!(held, Held::TooBig { fragments: 2 });
    assert_eq!(table.add(at(0), &beyond, &mut nobody), Held::Refused);
    // The first to come may be the one: what comes after it is refused as well.
    let beyond = fragment(8, 65_528, false, &bytes[..100]);
    let held = table.add(at(0), &beyond, &mut nobody);
    assert_eq!(held, Held::TooBig { fragments: 0 });
    let first = fragment(8, 0, true, &bytes);
    assert_eq!(table.add(at(0), &first, &mut nobody), Held::Refused);
    table.expire(at(1_000), &mut nobody);
    assert_eq!(table.add(at(1_000), &first, &mut nobody), Held::Waiting);
}

#[test]
fn a_packet_that_fills_its_room_is_whole() {
    let mut table = made(1);
    let bytes: Vec<u8> = (0..ROOM).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let first = fragment(7, 0, true, &bytes[..1_480]);
    let last = fragment(7, 1_480, false, &bytes[1_480..]);
    assert_eq!(table.add(at(0), &last, &mut nobody), Held::Waiting);
    assert_eq!(table.add(at(0), &first, &mut nobody), whole(&bytes, 2, 0));
}

#[test]
fn congestion_seen_by_a_fragment_is_seen_by_the_packet() {
    const DSCP: u8 = 0b1011_1000;
    let (not, one, zero, ce) = (0b00, 0b01, 0b10, 0b11);
    for (first, last, expected) in [
        (not, not, Some(not)),
        (zero, zero, Some(zero)),
        (zero, one, Some(zero)),
        (zero, ce, Some(ce)),
        (ce, one, Some(ce)),
        (ce, ce, Some(ce)),
        (not, zero, Some(not)),
        (one, not, Some(one)),
        (not, ce, None),
        (ce, not, None),
    ] {
        for reversed in [false, true] {
            let mut table = made(4);
            let mut pieces = [
                fragment(7, 0, true, &[1; 8]),
                fragment(7, 8, false, &[1; 8]),
            ];
            (pieces[0].tos, pieces[1].tos) = (DSCP | first, last);
            if reversed {
                pieces.reverse();
            }
            table.add(at(0), &pieces[0], &mut nobody);
            let held = table.add(at(0), &pieces[1], &mut nobody);
            match expected {
                Some(ecn) => assert_eq!(held, whole(&[1; 16], 2, DSCP | ecn)),
                None => assert_eq!(held, Held::EcnMixed { fragments: 1 }),
            }
        }
    }
}

#[test]
fn what_is_late_is_told_of_once() {
    let mut table = made(8);
    let mut gone = Vec::new();
    table.add(at(0), &fragment(7, 0, true, &[1; 8]), &mut nobody);
    table.add(at(300), &fragment(7, 16, true, &[1; 8]), &mut nobody);
    table.add(at(500), &fragment(8, 0, true, &[1; 8]), &mut nobody);
    table.expire(at(999), &mut nobody);
    table.expire(at(1_000), &mut |evicted| gone.push(evicted));
    let late = |fragments| Evicted {
        fragments,
        source: peer(1),
        why: Why::Late,
    };
    assert_eq!((gone.as_slice(), table.held()), (&[late(2)][..], 1));
    table.expire(at(1_499), &mut nobody);
    // Found late by another fragment, before anyone looked.
    let again = fragment(8, 0, true, &[2; 8]);
    let held = table.add(at(1_500), &again, &mut |evicted| gone.push(evicted));
    assert_eq!((held, gone.len()), (Held::Waiting, 2));
    table.expire(at(2_499), &mut nobody);
    table.expire(at(2_500), &mut |evicted| gone.push(evicted));
    assert_eq!((gone[2], table.held()), (late(1), 0));
}

#[test]
fn a_source_has_a_quarter_and_makes_way_for_itself() {
    let mut table = made(8);
    let mut told = Vec::new();
    let victim = Fragment {
        source: peer(9),
        ..fragment(0, 0, true, &[1; 8])
    };
    table.add(at(0), &victim, &mut nobody);
    for n in 0..100u32 {
        let piece = fragment(n, 0, true, &[1; 8]);
        let now = at(u64::from(n) + 1);
        table.add(now, &piece, &mut |evicted| told.push(evicted));
    }
    let full = Evicted {
        fragments: 1,
        source: peer(1),
        why: Why::Full,
    };
    assert_eq!((told.len(), table.held()), (98, 3));
    assert!(told.iter().all(|evicted| *evicted == full));
    // Its newest two are there still, and the victim's.
    for (source, identification) in [(9, 0), (1, 98), (1, 99)] {
        let last = Fragment {
            source: peer(source),
            ..fragment(identification, 8, false, &[2])
        };
        let held = table.add(at(200), &last, &mut nobody);
        assert!(matches!(held, Held::Whole { fragments: 2, .. }), "{held:?}");
    }
}

#[test]
fn without_a_free_slot_the_oldest_makes_way() {
    let mut table = made(4);
    let of = |source: u8| Fragment {
        source: peer(source),
        ..fragment(0, 0, true, &[1; 8])
    };
    for source in 1..=4 {
        table.add(at(u64::from(source)), &of(source), &mut nobody);
    }
    let mut told = Vec::new();
    table.add(at(5), &of(5), &mut |evicted| told.push(evicted));
    assert_eq!(
        (told.len(), told[0].source, told[0].why),
        (1, peer(1), Why::Full)
    );
    // What is late by then is late, whoever finds out.
    table.add(at(1_002), &of(6), &mut |evicted| told.push(evicted));
    assert_eq!(
        (told.len(), told[1].source, told[1].why),
        (2, peer(2), Why::Late)
    );
}

#[test]
fn it_takes_the_memory_it_says() {
    for (slots, room) in [(0, 0), (1, 1), (64, 1_792), (256, 9_216), (2, 100_000)] {
        let table = Reassembly::new(slots, room, LIMIT);
        assert_eq!(table.bytes(), Reassembly::bytes_for(slots, room));
    }
    let mut none = Reassembly::new(0, 0, LIMIT);
    let held = none.add(at(0), &fragment(1, 0, true, &[0; 8]), &mut nobody);
    assert_eq!(held, Held::TooBig { fragments: 0 });
}
