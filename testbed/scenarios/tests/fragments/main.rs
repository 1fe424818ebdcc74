//! Tunnel packets that come in pieces: put together in any order, within bounds, and nothing of
//! them is unaccounted for.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod bounds;
mod refused;

use sim::{Guest, Lab, Part, Setup, ethernet, fragment, fragments, outer, tagged};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use switch::DropReason;
use wire::l4::Protocol;

const VNET: u32 = 7;
const ALL: [u8; 6] = [0xff; 6];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
const A: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

/// Where a packet is cut, so that there are four pieces.
const FOUR: [usize; 3] = [400, 640, 1200];

/// A fragment of GRE, as nearly all here are.
const PART: Part = Part {
    protocol: Protocol::GRE,
    identification: 0x1234,
    offset: 0,
    more: true,
    tos: 0,
};

/// `frame` in GRE with the key `vnet`, from the GRE header on.
fn wrapped(vnet: u32, frame: &[u8]) -> Vec<u8> {
    [&[0x20, 0x00, 0x65, 0x58][..], &vnet.to_be_bytes(), frame].concat()
}

/// A frame of 1,400 bytes to all.
fn long() -> Vec<u8> {
    let mut frame = ethernet(ALL, STRANGER);
    frame.extend((0..1340u32).map(|n| (n % 251).to_le_bytes()[0]));
    frame
}

/// Hosts, over IPv4 or IPv6, and a guest on the first.
fn lab(hosts: u8, v6: bool) -> (Lab, Guest) {
    let mut lab = Lab::with(Setup {
        hosts,
        v6,
        ..Setup::default()
    });
    lab.network(VNET);
    let guest = lab.guest(0, VNET);
    lab.moved();
    (lab, guest)
}

/// From whom and to whom host `from` sends to host 0.
fn way(lab: &Lab, from: usize) -> (IpAddr, IpAddr) {
    (lab.endpoint(from), lab.endpoint(0))
}

/// Pieces arrive at host 0 one after the other, each in a step of its own. What is held then is
/// not yet accounted for.
fn come(lab: &mut Lab, pieces: &[Vec<u8>]) {
    for piece in pieces {
        lab.arrive_quietly(0, piece);
        lab.step();
    }
    for _ in 0..4 {
        lab.step();
    }
}

/// No fragment waits any longer, and every ledger balances.
fn over(lab: &mut Lab) {
    lab.wait(Duration::from_millis(1001));
}

/// What moved at the underlay of host 0.
fn underlay(lab: &mut Lab) -> String {
    let moved = lab.moved();
    let line = moved.iter().find(|line| line.starts_with("h0 underlay"));
    let name = "h0 underlay under: ";
    line.map_or(String::new(), |line| line[name.len()..].to_owned())
}

/// Every order of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let shorter = orders(count - 1);
    let longer = shorter.iter().flat_map(|order| {
        (0..count).map(|at| {
            let mut order = order.clone();
            order.insert(at, count - 1);
            order
        })
    });
    longer.collect()
}

#[test]
fn four_pieces_are_a_packet_in_each_of_their_orders() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        let ends = way(&lab, 1);
        let orders = orders(4);
        assert_eq!(orders.len(), 24);
        for (number, order) in (100..).zip(orders) {
            let part = Part {
                identification: number,
                ..PART
            };
            let pieces = fragments(ends, part, &wrapped(VNET, &long()), &FOUR);
            let pieces: Vec<_> = order.iter().map(|n| pieces[*n].clone()).collect();
            come(&mut lab, &pieces);
            lab.settle();
            assert_eq!(lab.received(&guest), [long()], "{order:?}");
            assert_eq!(
                lab.moved(),
                [
                    "h0 g0-1: transmitted 1",
                    "h0 underlay under: received 4, sent 1, merged 3",
                    "h0 vnet 7: received 1, sent 1, transmitted 1",
                ]
            );
        }
    }
}

#[test]
fn pieces_of_many_packets_come_mixed_and_each_finds_its_own() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        let ends = way(&lab, 1);
        let mut expected = Vec::new();
        let mut pieces = Vec::new();
        for number in 0..16 {
            let mut frame = long();
            frame[20] = u8::try_from(number).unwrap();
            let part = Part {
                identification: number,
                ..PART
            };
            let whole = wrapped(VNET, &frame);
            pieces.push(fragments(ends, part, &whole, &FOUR));
            expected.push(frame);
        }
        for n in [2, 0, 3, 1] {
            let turn: Vec<_> = pieces.iter().map(|pieces| pieces[n].clone()).collect();
            come(&mut lab, &turn);
        }
        lab.settle();
        assert_eq!(lab.received(&guest), expected);
        assert_eq!(underlay(&mut lab), "received 64, sent 16, merged 48");
    }
}

#[test]
fn pieces_that_come_by_different_queues_to_different_workers_are_put_together() {
    // In a VLAN, the queue of a lab's interface is chosen by the IPv4 checksum, among others.
    for (workers, queues) in [(1, 5), (2, 3), (3, 5)] {
        let mut lab = Lab::with(Setup {
            workers,
            queues,
            ..Setup::default()
        });
        let mut number = 0;
        for vnet in 1..9 {
            lab.network(vnet);
            let guest = lab.guest(0, vnet);
            lab.moved();
            for _ in 0..8 {
                number += 1;
                let part = Part {
                    identification: number,
                    ..PART
                };
                let pieces = fragments(way(&lab, 1), part, &wrapped(vnet, &long()), &FOUR);
                let mut seen = std::collections::BTreeSet::new();
                let pieces = pieces.iter().zip(0..).map(|(piece, n)| {
                    let piece = by_queue(piece, n % queues, queues);
                    seen.insert(queue(&piece, queues));
                    piece
                });
                let pieces: Vec<_> = pieces.collect();
                assert_eq!(seen.len(), 4.min(queues as usize), "not all by one queue");
                for n in [3, 1, 0, 2] {
                    lab.arrive_quietly(0, &pieces[n]);
                }
                lab.settle();
                assert_eq!(lab.received(&guest), [long()], "{workers} workers");
                assert_eq!(
                    lab.moved(),
                    [
                        format!("h0 {}: transmitted 1", guest.name),
                        "h0 underlay under: received 4, sent 1, merged 3".to_owned(),
                        format!("h0 vnet {vnet}: received 1, sent 1, transmitted 1"),
                    ]
                );
            }
        }
    }
}

/// `piece` in a VLAN, of a class by whose checksum it comes in by `wanted` of `queues`.
fn by_queue(piece: &[u8], wanted: u32, queues: u32) -> Vec<u8> {
    let tries = (0..64).map(|class| {
        let mut piece = piece.to_vec();
        wire::ecn::set_tos_v4(&mut piece[14..], class << 2);
        tagged(&piece, &[42])
    });
    let mut found = tries.filter(|piece| queue(piece, queues) == wanted);
    found.next().unwrap()
}

/// The queue by which a lab's host takes it in.
fn queue(packet: &[u8], queues: u32) -> u32 {
    let sum: u32 = packet[26..34].iter().map(|byte| u32::from(*byte)).sum();
    sum % queues
}

#[test]
fn a_fragment_that_is_the_whole_packet_is_taken_whole_beside_others_of_its_number() {
    // RFC 6946.
    let (mut lab, guest) = lab(2, true);
    let ends = way(&lab, 1);
    let pieces = fragments(ends, PART, &wrapped(VNET, &long()), &FOUR);
    come(&mut lab, &pieces[..2]);
    lab.moved();
    let atomic = Part {
        more: false,
        ..PART
    };
    let short = ethernet(ALL, STRANGER);
    let atomic = fragment(ends, atomic, &wrapped(VNET, &short));
    come(&mut lab, &[atomic]);
    assert_eq!(lab.received(&guest), [short]);
    assert_eq!(underlay(&mut lab), "received 1, sent 1");
    come(&mut lab, &pieces[2..]);
    lab.settle();
    assert_eq!(lab.received(&guest), [long()]);
}

#[test]
fn a_last_piece_that_ethernet_had_to_pad_ends_where_its_header_says() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(2, v6);
        let whole = wrapped(VNET, &long());
        let mut pieces = fragments(way(&lab, 1), PART, &whole, &[1400]);
        pieces[1].resize(90, 0xee);
        come(&mut lab, &pieces);
        lab.settle();
        assert_eq!(lab.received(&guest), [long()]);
    }
}

#[test]
fn options_and_extension_headers_of_the_pieces_are_skipped() {
    let (mut lab, guest) = lab(2, false);
    let pieces = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
    let field = |piece: &[u8]| u16::from_be_bytes([piece[20], piece[21]]);
    let mut pieces: Vec<_> = pieces
        .iter()
        .map(|piece| sim::ipv4_with(piece, &[1, 1, 1, 0], field(piece)))
        .collect();
    pieces.reverse();
    come(&mut lab, &pieces);
    lab.settle();
    assert_eq!(lab.received(&guest), [long()]);

    let (mut lab, guest) = self::lab(2, true);
    let ends = way(&lab, 1);
    let pieces = fragments(ends, PART, &wrapped(VNET, &long()), &FOUR);
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let behind = [&[44, 0, 1, 4, 0, 0, 0, 0][..], &piece[54..]].concat();
            outer(ends, Protocol::HOP_BY_HOP, &behind)
        })
        .collect();
    come(&mut lab, &pieces);
    lab.settle();
    assert_eq!(lab.received(&guest), [long()]);
}

#[test]
fn pieces_of_two_peers_with_one_number_are_not_mixed() {
    for v6 in [false, true] {
        let (mut lab, guest) = lab(3, v6);
        let mut other = long();
        other[100] ^= 1;
        let one = fragments(way(&lab, 1), PART, &wrapped(VNET, &long()), &FOUR);
        let two = fragments(way(&lab, 2), PART, &wrapped(VNET, &other), &FOUR);
        let mixed: Vec<_> = one.into_iter().zip(two).flat_map(<[_; 2]>::from).collect();
        come(&mut lab, &mixed);
        lab.settle();
        assert_eq!(lab.received(&guest), [long(), other]);
    }
}

#[test]
fn pieces_that_are_lost_delayed_and_doubled_make_whole_packets_or_none() {
    for seed in 1..6 {
        let mut lab = Lab::with(Setup {
            mtu: 600,
            workers: 2,
            queues: 2,
            seed,
            weather: sim::Weather {
                lost: 50,
                late: 200,
                twice: 100,
                stalled: 100,
            },
            ..Setup::default()
        });
        lab.network_with(
            VNET,
            |_| (),
            |tunnel| {
                (tunnel.df, tunnel.oversize) =
                    (program::DontFragment::Clear, program::Oversize::Outer);
            },
        );
        let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
        let mut sent = std::collections::BTreeSet::new();
        for number in 0..200u32 {
            let mut frame = ethernet(b.mac, a.mac);
            frame.extend(number.to_be_bytes());
            frame.resize(1400, 0x5a);
            lab.offer(&a, &frame);
            lab.step();
            sent.insert(frame);
        }
        for _ in 0..1000 {
            lab.step();
        }
        over(&mut lab);
        let heard = lab.received(&b);
        assert!(heard.len() > 100, "{} of 200, seed {seed}", heard.len());
        assert!(heard.iter().all(|frame| sent.contains(frame)));
        let moved = lab.moved().join("\n");
        assert!(moved.contains(DropReason::FragmentLate.name()), "{moved}");
    }
}
