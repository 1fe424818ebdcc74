//! Routers on the way say that our own packets are too big: they are believed, within reason.

use super::{PLAIN, VNET, arrives, introduce, says_too_big, told, two, two_with, v4, v6};
use program::report::{Report, Subject};
use program::{DontFragment, Oversize, Sequence, Transport, TunnelProgram};
use sim::{Guest, Lab, Setup, too_big};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use switch::DropReason;

/// A router, and where the first host meets it.
fn router(v6: bool) -> IpAddr {
    if v6 {
        "fd00::99".parse().unwrap()
    } else {
        Ipv4Addr::new(10, 9, 9, 9).into()
    }
}

/// The tunnel packet, from its IP header on, in which an inner packet of `len` bytes goes.
fn tunnel_packet(lab: &mut Lab, a: &Guest, b: &Guest, len: usize) -> Vec<u8> {
    lab.captured();
    lab.send(a, &v4(a, b, len));
    let sent = lab.captured().remove(0);
    lab.received(b);
    lab.wire();
    lab.moved();
    sent[14..].to_vec()
}

/// A router says to host 0 of `quoted` that `mtu` bytes fit.
fn says(lab: &mut Lab, mtu: u32, quoted: &[u8]) {
    let us = lab.endpoint(0);
    let message = too_big((router(us.is_ipv6()), us), mtu, quoted);
    lab.arrive(0, &message);
}

/// What host 0 shows of its tunnel: to what a router has lowered it, in bytes, or 0.
fn lowered_to(lab: &mut Lab) -> u32 {
    let (host, now) = lab.host(0);
    let Report::Tunnels(tunnels) = host.show(Subject::Tunnels, now) else {
        panic!("tunnels were asked for")
    };
    tunnels[0].lowered_to
}

/// What happened at host 0, by kind.
fn kinds(lab: &mut Lab) -> Vec<String> {
    lab.events(0).into_iter().map(|(kind, _)| kind).collect()
}

/// Guests are told of `mtu` now, and of nothing less.
fn carries(lab: &mut Lab, a: &Guest, b: &Guest, mtu: usize) {
    arrives(lab, a, b, &v4(a, b, mtu));
    let packet = v4(a, b, mtu + 1);
    let answer = told(lab, a, b, &packet);
    says_too_big(&answer, &packet, mtu);
}

const LOWERED: [&str; 2] = [
    "h0 underlay under: received 1, answered 1, mtu_lowered 1",
    "h0 vnet 7: mtu_lowered 1",
];

#[test]
fn a_router_that_says_so_lowers_the_tunnel_and_guests_are_told_less() {
    for (over_v6, headers) in [(false, 42), (true, 62)] {
        let setup = Setup {
            v6: over_v6,
            ..PLAIN
        };
        let (mut lab, a, b) = two(setup);
        let sent = tunnel_packet(&mut lab, &a, &b, 1500 - headers);
        assert_eq!(lowered_to(&mut lab), 0);
        // As much as RFC 792 has a router quote, as much as RFC 1812 does, and all.
        let least = if over_v6 { 40 + 8 } else { 20 + 8 };
        for (mtu, quoted) in [(1400, sent.len()), (1399, 548), (1398, least)] {
            lab.moved();
            says(&mut lab, mtu, &sent[..quoted]);
            assert_eq!(lab.moved(), LOWERED);
            assert_eq!(lowered_to(&mut lab), mtu);
            let fits = usize::try_from(mtu).unwrap() - headers;
            carries(&mut lab, &a, &b, fits);
            let packet = v6(&a, &b, fits + 1);
            let answer = told(&mut lab, &a, &b, &packet);
            says_too_big(&answer, &packet, fits);
        }
        assert_eq!(kinds(&mut lab), ["mtu_lowered"; 3]);
        let (_, text) = lab.events(0).remove(0);
        assert!(text.contains("t7-0-1") && text.contains("1400"), "{text}");
        // Said again it is no news.
        says(&mut lab, 1398, &sent[..548]);
        assert_eq!(lab.moved(), LOWERED);
        assert_eq!(kinds(&mut lab).len(), 3);
    }
}

#[test]
fn every_envelope_is_known_again_when_a_router_quotes_it() {
    for combination in 0..16u8 {
        let bit = |n: u8| combination >> n & 1 == 1;
        let setup = Setup {
            v6: bit(3),
            ..PLAIN
        };
        let say = |tunnel: &mut TunnelProgram| {
            (tunnel.keyed, tunnel.checksum) = (bit(0), bit(1));
            if bit(1) {
                tunnel.sequence = Sequence::Sent;
            }
            if bit(2) {
                tunnel.transport = Transport::Udp;
            }
        };
        let (mut lab, a, b) = two_with(setup, 1, say);
        let sent = tunnel_packet(&mut lab, &a, &b, 1400);
        says(&mut lab, 1380, &sent[..548]);
        assert_eq!(lowered_to(&mut lab), 1380, "{combination:04b}");
        let headers = sent.len() - 1400;
        carries(&mut lab, &a, &b, 1380 - headers);
    }
}

#[test]
fn a_router_that_names_no_number_is_taken_to_mean_the_next_size_of_link() {
    // RFC 1191 §5.
    let (mut lab, a, b) = two(PLAIN);
    for mtu in [1492u32, 1006, 576, 552] {
        let largest = lowered_to(&mut lab);
        let largest = if largest == 0 { 1500 } else { largest };
        let fits = usize::try_from(largest).unwrap() - 42;
        let sent = tunnel_packet(&mut lab, &a, &b, fits);
        assert_eq!(sent.len(), fits + 42);
        says(&mut lab, 0, &sent);
        assert_eq!(lowered_to(&mut lab), mtu);
        carries(&mut lab, &a, &b, usize::try_from(mtu).unwrap() - 42);
    }
}

#[test]
fn nobody_makes_a_tunnel_carry_less_than_every_way_does() {
    for (over_v6, least) in [(false, 552), (true, 1280)] {
        for mtu in [1, 68, 551] {
            let setup = Setup {
                v6: over_v6,
                ..PLAIN
            };
            let (mut lab, a, b) = two(setup);
            let sent = tunnel_packet(&mut lab, &a, &b, 1400);
            says(&mut lab, mtu, &sent);
            assert_eq!(lowered_to(&mut lab), least);
        }
    }
}

/// Every way to get it wrong, on a packet that is right.
fn forgeries(sent: &[u8], us: IpAddr) -> Vec<(&'static str, Vec<u8>)> {
    let v6 = us.is_ipv6();
    let (addresses, gre) = if v6 { (8, 40) } else { (12, 20) };
    let len = if v6 { 16 } else { 4 };
    let ends = (router(v6), us);
    let wrong = |at: usize, to: u8| {
        let mut quoted = sent.to_vec();
        quoted[at] = to;
        too_big(ends, 1400, &quoted)
    };
    let mut forged = vec![
        ("another key", wrong(gre + 7, 8)),
        ("another peer", wrong(addresses + 2 * len - 1, 77)),
        ("not from us", wrong(addresses + len - 1, 77)),
        ("TCP", wrong(if v6 { 6 } else { 9 }, 6)),
        ("a GRE header we do not send", wrong(gre, 0xa0)),
        ("no key", wrong(gre, 0)),
        ("no Ethernet", wrong(gre + 2, 0x08)),
        ("as long as fits", too_big(ends, 1500, sent)),
        ("longer than fits", too_big(ends, 9000, sent)),
        (
            "longer than we send",
            too_big(ends, 1501, &{
                let mut quoted = sent.to_vec();
                let total = if v6 { 1600 - 40 } else { 1600u16 };
                let at = if v6 { 4 } else { 2 };
                quoted[at..at + 2].copy_from_slice(&total.to_be_bytes());
                quoted
            }),
        ),
        ("cut short", too_big(ends, 1400, &sent[..gre + 7])),
    ];
    let mut from_peer = sent.to_vec();
    let (source, destination) = from_peer[addresses..].split_at_mut(len);
    source.swap_with_slice(&mut destination[..len]);
    forged.push(("the peer's own packet", too_big(ends, 1400, &from_peer)));
    let mut sum = too_big(ends, 1400, sent);
    sum[14 + gre + 2] ^= 1;
    forged.push(("a wrong checksum", sum));
    let mut other = too_big((router(v6), us), 1400, sent);
    other[14 + gre] = if v6 { 1 } else { 11 };
    let at = 14 + gre + 2;
    let fix = |message: &mut Vec<u8>| {
        message[at..at + 2].fill(0);
        let sum = if v6 {
            let protocol = wire::l4::Protocol::ICMPV6;
            !sim::upper_sum((router(v6), us), protocol, &message[14 + gre..])
        } else {
            wire::checksum::of(&message[14 + gre..])
        };
        message[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    };
    fix(&mut other);
    forged.push(("another error", other));
    if v6 {
        let later = [&[47, 0, 0, 8, 0, 0, 0, 1][..], &sent[40..]].concat();
        let mut quoted = sent[..40].to_vec();
        quoted[6] = 44;
        quoted.extend(later);
        forged.push(("a later fragment", too_big(ends, 1400, &quoted)));
    } else {
        forged.push(("a later fragment", wrong(7, 8)));
    }
    forged
}

#[test]
fn what_we_have_not_sent_is_not_believed() {
    for over_v6 in [false, true] {
        let setup = Setup {
            v6: over_v6,
            ..PLAIN
        };
        let (mut lab, a, b) = two(setup);
        let largest = if over_v6 { 1438 } else { 1458 };
        let sent = tunnel_packet(&mut lab, &a, &b, largest);
        let us = lab.endpoint(0);
        let name = DropReason::IcmpRefused.name();
        for (what, message) in forgeries(&sent, us) {
            lab.moved();
            lab.arrive(0, &message);
            let expected = [format!("h0 underlay under: received 1, {name} 1")];
            assert_eq!(lab.moved(), expected, "{what}, v6 {over_v6}");
            assert_eq!(lowered_to(&mut lab), 0, "{what}");
        }
        assert!(kinds(&mut lab).is_empty());
        carries(&mut lab, &a, &b, largest);
    }
}

#[test]
fn what_a_router_said_is_forgotten_after_ten_minutes() {
    let (mut lab, a, b) = two(PLAIN);
    let sent = tunnel_packet(&mut lab, &a, &b, 1458);
    says(&mut lab, 1400, &sent);
    lab.wait(Duration::from_secs(9 * 60 + 58));
    introduce(&mut lab, &a, &b);
    carries(&mut lab, &a, &b, 1358);
    assert_eq!(lowered_to(&mut lab), 1400);
    lab.wait(Duration::from_secs(3));
    carries(&mut lab, &a, &b, 1458);
    assert_eq!(lowered_to(&mut lab), 0);
    for _ in 0..20 {
        lab.wait(Duration::from_secs(1));
    }
    assert_eq!(kinds(&mut lab), ["mtu_lowered", "mtu_forgotten"]);
    // And if it is still so, the router says it again.
    says(&mut lab, 1400, &sent);
    carries(&mut lab, &a, &b, 1358);
    assert_eq!(kinds(&mut lab).len(), 3);
}

#[test]
fn a_router_that_says_it_again_is_believed_for_longer() {
    let (mut lab, a, b) = two(PLAIN);
    let sent = tunnel_packet(&mut lab, &a, &b, 1458);
    for _ in 0..3 {
        says(&mut lab, 1400, &sent);
        lab.wait(Duration::from_mins(9));
    }
    introduce(&mut lab, &a, &b);
    carries(&mut lab, &a, &b, 1358);
}

#[test]
fn one_tunnel_is_lowered_and_the_others_keep_what_they_have() {
    let mut lab = Lab::with(Setup { hosts: 3, ..PLAIN });
    lab.network(VNET);
    lab.network(8);
    let (a, b, c) = (lab.guest(0, VNET), lab.guest(1, VNET), lab.guest(2, VNET));
    let others = (lab.guest(0, 8), lab.guest(1, 8));
    introduce(&mut lab, &a, &b);
    introduce(&mut lab, &a, &c);
    introduce(&mut lab, &others.0, &others.1);
    let sent = tunnel_packet(&mut lab, &a, &b, 1458);
    says(&mut lab, 1400, &sent);
    carries(&mut lab, &a, &b, 1358);
    carries(&mut lab, &a, &c, 1458);
    let packet = v4(&others.0, &others.1, 1458);
    arrives(&mut lab, &others.0, &others.1, &packet);
}

#[test]
fn whichever_worker_hears_it_the_one_that_sends_there_heeds_it() {
    let mut lab = Lab::with(Setup {
        workers: 3,
        ..PLAIN
    });
    for vnet in 1..9 {
        lab.network(vnet);
        let (a, b) = (lab.guest(0, vnet), lab.guest(1, vnet));
        introduce(&mut lab, &a, &b);
        let sent = tunnel_packet(&mut lab, &a, &b, 1458);
        says(&mut lab, 1400, &sent);
        let expected = [
            "h0 underlay under: received 1, answered 1, mtu_lowered 1".to_owned(),
            format!("h0 vnet {vnet}: mtu_lowered 1"),
        ];
        assert_eq!(lab.moved(), expected);
        let packet = v4(&a, &b, 1359);
        lab.send(&a, &packet);
        let heard = lab.received(&a);
        assert_eq!(heard.len(), 1);
        says_too_big(&heard[0], &packet, 1358);
    }
}

#[test]
fn a_tunnel_that_is_cut_is_cut_to_what_the_router_said() {
    let setup = Setup { v6: true, ..PLAIN };
    let (mut lab, a, b) = two_with(setup, 1, |tunnel| {
        (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
    });
    let sent = tunnel_packet(&mut lab, &a, &b, 1400);
    says(&mut lab, 1300, &sent);
    let packet = v4(&a, &b, 1500);
    lab.send(&a, &packet);
    assert!(lab.captured().iter().all(|piece| piece.len() <= 14 + 1300));
    assert_eq!(lab.received(&b), [packet]);
}

#[test]
fn the_first_piece_of_a_tunnel_packet_is_quoted_by_a_router_that_dropped_it() {
    for over_v6 in [false, true] {
        let setup = Setup {
            v6: over_v6,
            ..PLAIN
        };
        let (mut lab, a, b) = two_with(setup, 1, |tunnel| {
            (tunnel.df, tunnel.oversize) = (DontFragment::Clear, Oversize::Outer);
        });
        lab.send(&a, &v4(&a, &b, 1500));
        let sent = lab.captured();
        let number = |packet: &Vec<u8>| core::cmp::Reverse(packet.len());
        let first = sent.iter().min_by_key(|packet| number(packet)).unwrap();
        lab.moved();
        says(&mut lab, 1400, &first[14..]);
        if over_v6 {
            assert_eq!(lab.moved(), LOWERED);
            assert_eq!(lowered_to(&mut lab), 1400);
        } else {
            // What may be cut on its way is too big for no router: somebody lies.
            let name = DropReason::IcmpRefused.name();
            assert_eq!(
                lab.moved(),
                [format!("h0 underlay under: received 1, {name} 1")]
            );
        }
    }
}

#[test]
fn another_transport_than_the_tunnels_is_not_believed() {
    for over_v6 in [false, true] {
        for udp in [false, true] {
            let setup = Setup {
                v6: over_v6,
                ..PLAIN
            };
            let say = |tunnel: &mut TunnelProgram| {
                if udp {
                    tunnel.transport = Transport::Udp;
                }
            };
            let (mut lab, a, b) = two_with(setup, 1, say);
            let sent = tunnel_packet(&mut lab, &a, &b, 1400);
            let ip = if over_v6 { 40 } else { 20 };
            let next = if over_v6 { 6 } else { 9 };
            let mut other = sent.clone();
            if udp {
                // The same in plain GRE, which this tunnel never sends.
                other.drain(ip..ip + 8);
                other.extend([0; 8]);
                other[next] = 47;
                refused(&mut lab, &other, "GRE where we send UDP");
                let mut other = sent.clone();
                other[ip + 2..ip + 4].copy_from_slice(&53u16.to_be_bytes());
                refused(&mut lab, &other, "another port");
                let mut other = sent.clone();
                other[ip..ip + 2].copy_from_slice(&53u16.to_be_bytes());
                refused(&mut lab, &other, "from a port that we do not send from");
            } else {
                other.splice(ip..ip, [0xc0, 1, 0x12, 0x92, 5, 0, 0, 0]);
                other[next] = 17;
                refused(&mut lab, &other, "UDP where we send GRE");
            }
        }
    }
}

fn refused(lab: &mut Lab, quoted: &[u8], what: &str) {
    lab.moved();
    says(lab, 1300, quoted);
    let name = DropReason::IcmpRefused.name();
    let expected = [format!("h0 underlay under: received 1, {name} 1")];
    assert_eq!(lab.moved(), expected, "{what}");
}
