//! What is cut, where that is allowed: the inner packet, or the tunnel's own.

use super::{A, B, PLAIN, VNET, bytes, introduce, says_too_big, told, two, two_with, v4, v6};
use program::{DontFragment, NetworkProgram, Oversize};
use sim::{Lab, Setup, ipv4_with, tagged};
use std::time::Duration;
use wire::checksum;
use wire::l4::Protocol;

/// An IPv4 fragment, as its bytes say.
struct Piece {
    options: Vec<u8>,
    offset: usize,
    more: bool,
    payload: Vec<u8>,
}

/// Reads the IPv4 packet in `frame`, behind `tags` bytes of tags, which is a piece of `whole`.
fn piece(frame: &[u8], whole: &[u8], tags: usize) -> Piece {
    assert_eq!(frame[..14 + tags], whole[..14 + tags]);
    let (ip, of) = (&frame[14 + tags..], &whole[14 + tags..]);
    let header_len = usize::from(ip[0] & 15) * 4;
    assert_eq!(checksum::sum(&ip[..header_len]), 0xffff);
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    assert_eq!(total, ip.len());
    assert_eq!(ip[1], of[1], "its type of service");
    assert_eq!(ip[4..6], of[4..6], "its identification");
    assert_eq!(ip[8..10], of[8..10], "time to live and protocol");
    assert_eq!(ip[12..20], of[12..20], "its addresses");
    let field = usize::from(u16::from_be_bytes([ip[6], ip[7]]));
    assert_eq!(field & 0xc000, 0, "it may be cut again");
    Piece {
        options: ip[20..header_len].to_vec(),
        offset: (field & 0x1fff) * 8,
        more: field & 0x2000 != 0,
        payload: ip[header_len..].to_vec(),
    }
}

/// What the pieces are together, which come in any order and leave nothing out.
fn together(mut pieces: Vec<Piece>, start: usize, more: bool) -> Vec<u8> {
    pieces.sort_by_key(|piece| piece.offset);
    let mut whole = Vec::new();
    let last = pieces.len() - 1;
    for (n, piece) in pieces.iter().enumerate() {
        assert_eq!(piece.offset, start + whole.len());
        assert_eq!(piece.more, more || n < last);
        assert!(!piece.more || piece.payload.len() % 8 == 0);
        whole.extend(&piece.payload);
    }
    whole
}

#[test]
fn an_ipv4_packet_that_allows_it_is_cut_to_what_the_way_carries() {
    for (len, mtu, count) in [(1459, 1458, 2), (1500, 1458, 2), (1500, 600, 3)] {
        for vlans in [&[][..], &[5], &[5, 6]] {
            let (mut lab, a, b) = two(Setup {
                mtu: u32::try_from(mtu + 42).unwrap(),
                ..PLAIN
            });
            let packet = tagged(&ipv4_with(&v4(&a, &b, len), &[], 0), vlans);
            lab.send(&a, &packet);
            let heard = lab.received(&b);
            let fits = |frame: &Vec<u8>| frame.len() <= 14 + mtu;
            assert!(heard.iter().all(fits));
            assert_eq!(heard.len(), count);
            let tags = 4 * vlans.len();
            let pieces = heard.iter().map(|frame| piece(frame, &packet, tags));
            assert_eq!(together(pieces.collect(), 0, false), packet[34 + tags..]);
            let copies = count - 1;
            let (cut, through) = (
                format!("received 1, copied {copies}, sent {count}, fragmented 1"),
                format!("received {count}, sent {count}, transmitted {count}"),
            );
            let all = format!("received 1, copied {copies}, sent {count}, transmitted {count}");
            assert_eq!(
                lab.moved(),
                [
                    format!("h0 g0-1: {cut}"),
                    format!("h0 underlay under: transmitted {count}"),
                    format!("h0 vnet 7: {all}, fragmented 1"),
                    format!("h1 g1-1: transmitted {count}"),
                    format!("h1 underlay under: received {count}, sent {count}"),
                    format!("h1 vnet 7: {through}"),
                ]
            );
            assert!(lab.received(&a).is_empty(), "and nobody is told");
        }
    }
}

#[test]
fn options_go_with_the_first_piece_and_those_marked_so_with_every_one() {
    let (mut lab, a, b) = two(PLAIN);
    // Record route is not copied; a security label is; no-operations are nobody's.
    let options = [
        1, 7, 7, 4, 0, 0, 0, 0, 130, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0,
    ];
    let packet = ipv4_with(&v4(&a, &b, 1480), &options, 0);
    lab.send(&a, &packet);
    let heard = lab.received(&b);
    let pieces: Vec<_> = heard.iter().map(|frame| piece(frame, &packet, 0)).collect();
    assert_eq!(pieces.len(), 2);
    for piece in &pieces {
        if piece.offset == 0 {
            assert_eq!(piece.options, options);
        } else {
            assert_eq!(piece.options, [130, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        }
    }
    assert_eq!(together(pieces, 0, false), packet[54..]);
}

#[test]
fn a_fragment_of_the_guest_is_cut_again_into_parts_of_the_same_packet() {
    let (mut lab, a, b) = two(PLAIN);
    for more in [true, false] {
        let field = if more { 0x2064 } else { 0x0064 }; // at 800 bytes
        let packet = ipv4_with(&v4(&a, &b, 1500), &[], field);
        lab.send(&a, &packet);
        let heard = lab.received(&b);
        let pieces: Vec<_> = heard.iter().map(|frame| piece(frame, &packet, 0)).collect();
        assert_eq!(pieces.len(), 2);
        assert_eq!(together(pieces, 800, more), packet[34..]);
    }
}

#[test]
fn a_frame_that_is_only_padded_too_long_is_sent_without_the_padding() {
    let (mut lab, a, b) = two(PLAIN);
    let packet = ipv4_with(&v4(&a, &b, 1458), &[], 0);
    let mut padded = packet.clone();
    padded.resize(1490, 0);
    lab.send(&a, &padded);
    assert_eq!(lab.received(&b), [packet]);
}

#[test]
fn between_ports_of_one_host_the_smaller_one_counts() {
    let (mut lab, a, b) = two_with(PLAIN, 0, |_| ());
    lab.host(0).0.grow(&b.name, 1000);
    lab.wait(Duration::from_secs(1));
    introduce(&mut lab, &a, &b);
    let packet = ipv4_with(&v4(&a, &b, 1500), &[], 0);
    lab.send(&a, &packet);
    let heard = lab.received(&b);
    let pieces: Vec<_> = heard.iter().map(|frame| piece(frame, &packet, 0)).collect();
    assert_eq!(together(pieces, 0, false), packet[34..]);
    let cut = "received 1, copied 1, sent 2";
    assert_eq!(
        lab.moved(),
        [
            format!("h0 g0-1: {cut}, fragmented 1"),
            "h0 g0-2: transmitted 2".to_owned(),
            format!("h0 vnet 7: {cut}, transmitted 2, fragmented 1"),
        ]
    );
}

#[test]
fn a_tunnel_that_answers_cuts_nothing() {
    let (mut lab, a, b) = two_with(PLAIN, 1, |tunnel| tunnel.oversize = Oversize::Answer);
    let packet = ipv4_with(&v4(&a, &b, 1459), &[], 0);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);
}

#[test]
fn a_tunnel_that_is_cut_carries_what_may_not_be_and_tells_nobody() {
    for (over_v6, mtu) in [(false, 1500), (true, 1500), (false, 700), (true, 1300)] {
        let setup = Setup {
            v6: over_v6,
            mtu,
            ..PLAIN
        };
        let (mut lab, a, b) = two_with(setup, 1, |tunnel| {
            (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
        });
        for packet in [v4(&a, &b, 1500), v6(&a, &b, 1500)] {
            lab.moved();
            lab.send(&a, &packet);
            assert_eq!(lab.received(&b), [packet], "over {mtu} bytes");
            assert!(lab.received(&a).is_empty());
            let sent = lab.captured();
            let (count, copies) = (sent.len(), sent.len() - 1);
            let fits = |frame: &Vec<u8>| frame.len() <= 14 + usize::try_from(mtu).unwrap();
            assert!(count > 1 && sent.iter().all(fits));
            let cut = format!("received 1, copied {copies}, sent {count}");
            assert_eq!(
                lab.moved(),
                [
                    format!("h0 g0-1: {cut}, fragmented 1"),
                    format!("h0 underlay under: transmitted {count}"),
                    format!("h0 vnet 7: {cut}, transmitted {count}, fragmented 1"),
                    "h1 g1-1: transmitted 1".to_owned(),
                    format!("h1 underlay under: received {count}, sent 1, merged {copies}"),
                    "h1 vnet 7: received 1, sent 1, transmitted 1".to_owned(),
                ]
            );
        }
    }
}

#[test]
fn a_tunnel_that_is_cut_still_carries_nothing_longer_than_the_network() {
    let mut lab = Lab::with(PLAIN);
    lab.network_with(
        VNET,
        |network: &mut NetworkProgram| network.mtu = Some(1400),
        |tunnel| (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer),
    );
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    introduce(&mut lab, &a, &b);
    let packet = v4(&a, &b, 1401);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1400);
}

#[test]
fn each_packet_that_is_cut_has_a_number_that_its_pieces_share() {
    for over_v6 in [false, true] {
        let setup = Setup {
            v6: over_v6,
            ..PLAIN
        };
        let (mut lab, a, b) = two_with(setup, 1, |tunnel| {
            (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
        });
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            lab.send(&a, &v4(&a, &b, 1500));
            let sent = lab.captured();
            let number = |packet: &Vec<u8>| {
                let at = if over_v6 { 58..62 } else { 18..20 };
                packet[at].to_vec()
            };
            assert_eq!(sent.len(), 2);
            assert_eq!(number(&sent[0]), number(&sent[1]));
            assert!(seen.insert(number(&sent[0])), "no packet has another's");
        }
    }
}

#[test]
fn what_is_flooded_is_cut_for_each_exit_that_needs_it() {
    let mut lab = Lab::with(Setup { hosts: 3, ..PLAIN });
    lab.network(VNET);
    let (a, near) = (lab.guest(0, VNET), lab.guest(0, VNET));
    let (b, c) = (lab.guest(1, VNET), lab.guest(2, VNET));
    let all = sim::ipv4((super::ALL, a.mac), (A, B), Protocol(253), &bytes(1480));
    let all = ipv4_with(&all, &[], 0);
    lab.moved();
    lab.send(&a, &all);
    assert_eq!(lab.received(&near), [&all[..]], "here it fits whole");
    for far in [&b, &c] {
        let heard = lab.received(far);
        let pieces: Vec<_> = heard.iter().map(|frame| piece(frame, &all, 0)).collect();
        assert_eq!(together(pieces, 0, false), all[34..]);
    }
    let counted = "received 1, copied 4, sent 5, fragmented 2";
    assert_eq!(lab.moved()[0], format!("h0 g0-1: {counted}"));
}

/// A network of 1,470 bytes, more than a tunnel has room for (1,458), and more than a port has.
#[test]
fn pieces_fit_the_way_also_where_the_network_allows_more() {
    let mut lab = Lab::with(PLAIN);
    lab.network_with(VNET, |network| network.mtu = Some(1470), |_| ());
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    introduce(&mut lab, &a, &b);
    let packet = ipv4_with(&v4(&a, &b, 1500), &[], 0);
    lab.send(&a, &packet);
    let longest = lab.captured().iter().map(Vec::len).max().unwrap();
    assert!(
        longest <= 14 + 1500,
        "{longest} bytes on an underlay of 1,500"
    );
    let heard = lab.received(&b);
    let pieces: Vec<_> = heard.iter().map(|frame| piece(frame, &packet, 0)).collect();
    assert_eq!(together(pieces, 0, false), packet[34..]);
}

#[test]
fn a_sender_is_told_at_once_of_the_smaller_of_network_and_way() {
    let mut lab = Lab::with(PLAIN);
    lab.network_with(VNET, |network| network.mtu = Some(1470), |_| ());
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    introduce(&mut lab, &a, &b);
    let packet = v4(&a, &b, 1500);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);
}

#[test]
fn what_a_peer_cannot_put_together_is_not_cut_but_told_of() {
    for over_v6 in [false, true] {
        let setup = Setup {
            v6: over_v6,
            mtu: 1600,
            guest_mtu: 1736,
            ..PLAIN
        };
        let (mut lab, a, b) = two_with(setup, 1, |tunnel| {
            (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
        });
        for len in [1700, 1716, 1717, 1736] {
            let packet = v4(&a, &b, len);
            lab.send(&a, &packet);
            let (there, back) = (lab.received(&b), lab.received(&a));
            assert!(
                there == [packet] || back.len() == 1,
                "{len}, v6 {over_v6}: {:?}",
                lab.moved()
            );
        }
    }
}

#[test]
fn packets_with_numbers_arrive_in_order_also_where_some_are_cut() {
    let (mut lab, a, b) = two_with(PLAIN, 1, |tunnel| {
        (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
        tunnel.sequence = program::Sequence::Ordered;
    });
    let sent: Vec<_> = [1500, 100, 1490, 200, 1480]
        .map(|len| v4(&a, &b, len))
        .into();
    for packet in &sent {
        lab.offer(&a, packet);
    }
    lab.settle();
    assert_eq!(lab.received(&b), sent, "{:?}", lab.moved());
}

#[test]
fn pieces_leave_before_what_was_sent_behind_them() {
    let (mut lab, a, b) = two(PLAIN);
    let long = ipv4_with(&v4(&a, &b, 1500), &[], 0);
    let next = v4(&a, &b, 100);
    lab.offer(&a, &long);
    lab.offer(&a, &next);
    lab.settle();
    let heard = lab.received(&b);
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[2], next, "a flow's packets keep their order");
}

#[test]
fn while_a_station_is_not_known_nobody_says_what_reaches_it() {
    let mut lab = Lab::with(Setup { hosts: 4, ..PLAIN });
    lab.network(VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    let packet = v4(&a, &b, 1500);
    lab.send(&a, &packet);
    assert!(lab.received(&a).is_empty());
    // Once it was heard, there is one way to it.
    lab.send(&b, &sim::ethernet([0xff; 6], b.mac));
    lab.received(&a);
    lab.send(&a, &packet);
    assert_eq!(lab.received(&a).len(), 1);
}

#[test]
fn a_sender_is_not_told_of_what_got_through_elsewhere() {
    // b is here, with room enough, and was not heard yet.
    let mut lab = Lab::with(PLAIN);
    lab.network(VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    let packet = v4(&a, &b, 1500);
    lab.send(&a, &packet);
    assert_eq!(lab.received(&b), [packet]);
    assert!(lab.received(&a).is_empty());
}

#[test]
fn ipv6_of_1280_bytes_gets_through_any_tunnel() {
    // RFC 8200 5, RFC 2473 7.1: who may not be told has to be carried.
    for over_v6 in [false, true] {
        let setup = Setup {
            v6: over_v6,
            mtu: 1300,
            ..PLAIN
        };
        let (mut lab, a, b) = two(setup);
        let packet = v6(&a, &b, 1280);
        lab.send(&a, &packet);
        assert_eq!(lab.received(&b), [packet]);
    }
}
