//! TCP is told before it sends anything: the segment size in a SYN is lowered to what fits.

use super::{A, A6, B, B6, PLAIN, VNET, ends, introduce, l3, two, two_with};
use program::NetworkProgram;
use sim::{Guest, Lab, Setup, gre, ipv4, ipv6, tagged, tcp, upper_sum};
use std::time::Duration;
use wire::checksum;
use wire::l4::Protocol;

const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;

/// A TCP segment from `from` to `to` over IPv4 or IPv6, with these options.
fn segment(v6: bool, (from, to): (&Guest, &Guest), flags: u8, options: &[u8]) -> Vec<u8> {
    let macs = (to.mac, from.mac);
    if v6 {
        let segment = tcp((A6.into(), B6.into()), flags, options, b"early");
        return ipv6(macs, (A6, B6), Protocol::TCP, &segment);
    }
    let segment = tcp((A.into(), B.into()), flags, options, b"early");
    ipv4(macs, (A, B), Protocol::TCP, &segment)
}

/// The option that says how long a segment may be.
fn mss(value: u16) -> Vec<u8> {
    [&[2, 4][..], &value.to_be_bytes()].concat()
}

/// `sent` with the segment size at byte `at` of its TCP header lowered to `to`, and a checksum that
/// was summed again.
fn lowered(sent: &[u8], at: usize, to: u16) -> Vec<u8> {
    let mut frame = sent.to_vec();
    let l3 = l3(sent);
    let l4 = l3 + if frame[l3] >> 4 == 4 { 20 } else { 40 };
    let both = ends(&frame);
    let segment = &mut frame[l4..];
    segment[at..at + 2].copy_from_slice(&to.to_be_bytes());
    segment[16..18].fill(0);
    let sum = !upper_sum(both, Protocol::TCP, segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// What `to` hears when `from` sends `frame`, and how often a counter said that it was clamped.
fn heard(lab: &mut Lab, (from, to): (&Guest, &Guest), frame: &[u8]) -> (Vec<u8>, usize) {
    lab.moved();
    lab.send(from, frame);
    let mut heard = lab.received(to);
    assert_eq!(heard.len(), 1);
    let moved = lab.moved();
    let clamped = |line: &&String| line.contains("clamped 1");
    (heard.remove(0), moved.iter().filter(clamped).count())
}

#[test]
fn both_ends_are_told_what_fits_over_both_families_behind_any_tags() {
    for over_v6 in [false, true] {
        let setup = Setup {
            v6: over_v6,
            ..PLAIN
        };
        let (mut lab, a, b) = two(setup);
        for (v6, flags, vlans) in [
            (false, SYN, &[][..]),
            (true, SYN, &[]),
            (false, SYN_ACK, &[5]),
            (true, SYN_ACK, &[5, 6]),
            (false, SYN | 0xc0, &[5, 6]),
        ] {
            let way = if over_v6 { 1438 } else { 1458 };
            let headers = if v6 { 60 } else { 40 };
            let most = way - headers - 4 * u16::try_from(vlans.len()).unwrap();
            for (from, to) in [(&a, &b), (&b, &a)] {
                let frame = segment(v6, (from, to), flags, &mss(1500 - headers));
                let frame = tagged(&frame, vlans);
                let (heard, clamped) = heard(&mut lab, (from, to), &frame);
                assert_eq!(heard, lowered(&frame, 22, most));
                // Port and network of the one host that it left.
                assert_eq!(clamped, 2);
            }
        }
    }
}

#[test]
fn a_connection_through_a_tunnel_moves_these_counters() {
    let (mut lab, a, b) = two(PLAIN);
    lab.send(&a, &segment(false, (&a, &b), SYN, &mss(1460)));
    let through = "received 1, sent 1";
    assert_eq!(
        lab.moved(),
        [
            format!("h0 g0-1: {through}, clamped 1"),
            "h0 underlay under: transmitted 1".to_owned(),
            format!("h0 vnet 7: {through}, transmitted 1, clamped 1"),
            "h1 g1-1: transmitted 1".to_owned(),
            format!("h1 underlay under: {through}"),
            format!("h1 vnet 7: {through}, transmitted 1"),
        ]
    );
}

#[test]
fn one_host_that_does_so_is_enough() {
    // The peer is another program, which tells nobody.
    let (mut lab, a, b) = two(PLAIN);
    let frame = segment(false, (&b, &a), SYN_ACK, &mss(1460));
    let packet = gre(lab.address(1), lab.address(0), VNET, &frame);
    lab.arrive(0, &packet);
    assert_eq!(lab.received(&a), [lowered(&frame, 22, 1418)]);
    assert_eq!(
        lab.moved(),
        [
            "h0 g0-1: transmitted 1",
            "h0 underlay under: received 1, sent 1, clamped 1",
            "h0 vnet 7: received 1, sent 1, transmitted 1, clamped 1",
        ]
    );
}

#[test]
fn wherever_the_option_stands_the_checksum_comes_out_as_if_summed_again() {
    let (mut lab, a, b) = two(PLAIN);
    for paddings in 0..8 {
        for v6 in [false, true] {
            for asked in [0xffff, 1500, 1419] {
                let mut options = vec![1; paddings];
                options.extend(mss(asked));
                options.resize(12, 0);
                let frame = segment(v6, (&a, &b), SYN, &options);
                let (heard, clamped) = heard(&mut lab, (&a, &b), &frame);
                let most = if v6 { 1398 } else { 1418 };
                assert_eq!(heard, lowered(&frame, 22 + paddings, most));
                assert_eq!(clamped, 2);
            }
        }
    }
}

#[test]
fn what_fits_or_says_nothing_is_left_alone() {
    let (mut lab, a, b) = two(PLAIN);
    for v6 in [false, true] {
        let most = if v6 { 1398 } else { 1418 };
        for (flags, options) in [
            (SYN, mss(most)),
            (SYN, mss(most - 1)),
            (SYN, mss(536)),
            (SYN, vec![]),
            (SYN, vec![1, 3, 3, 7]),
            (SYN, vec![0, 2, 4, 5, 0xb4, 0, 0, 0]),
            (SYN, vec![2, 3, 5, 0xb4]),
            (ACK, mss(1460)),
        ] {
            let frame = segment(v6, (&a, &b), flags, &options);
            assert_eq!(heard(&mut lab, (&a, &b), &frame), (frame, 0));
        }
    }
}

#[test]
fn a_wrong_checksum_is_not_made_right() {
    let (mut lab, a, b) = two(PLAIN);
    let mut frame = segment(false, (&a, &b), SYN, &mss(1460));
    frame[50] ^= 0x55;
    let (heard, _) = heard(&mut lab, (&a, &b), &frame);
    assert_eq!(heard[56..58], 1418u16.to_be_bytes());
    let sum = upper_sum((A.into(), B.into()), Protocol::TCP, &heard[34..]);
    assert_ne!(sum, 0xffff);
    assert_eq!(checksum::sum(&heard[14..34]), 0xffff);
}

#[test]
fn between_two_ports_only_the_networks_program_lowers_it() {
    let (mut lab, a, b) = two_with(PLAIN, 0, |_| ());
    for v6 in [false, true] {
        let frame = segment(v6, (&a, &b), SYN, &mss(1460));
        assert_eq!(heard(&mut lab, (&a, &b), &frame), (frame, 0));
    }
    let mut lab = Lab::with(PLAIN);
    let of_network = |network: &mut NetworkProgram| network.mtu = Some(1000);
    lab.network_with(VNET, of_network, |_| ());
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    let far = lab.guest(1, VNET);
    introduce(&mut lab, &a, &b);
    introduce(&mut lab, &a, &far);
    lab.received(&b);
    for (v6, most) in [(false, 960), (true, 940)] {
        for to in [&b, &far] {
            for vlans in [&[][..], &[5]] {
                let frame = tagged(&segment(v6, (&a, to), SYN, &mss(1460)), vlans);
                let (heard, clamped) = heard(&mut lab, (&a, to), &frame);
                assert_eq!(
                    heard,
                    lowered(&frame, 22, most),
                    "a tag is no packet's byte"
                );
                assert_eq!(clamped, 2);
            }
        }
    }
}

#[test]
fn a_first_fragment_of_a_syn_is_lowered_like_a_whole_one() {
    let (mut lab, a, b) = two(PLAIN);
    let frame = segment(false, (&a, &b), SYN, &mss(1460));
    let first = sim::ipv4_with(&frame[..58], &[], 0x2000);
    // Its checksum is of the whole packet, so that it has to change by as much as the whole does.
    let whole = lowered(&frame, 22, 1418);
    let (heard, _) = heard(&mut lab, (&a, &b), &first);
    assert_eq!(heard[34..58], whole[34..58]);
}

#[test]
fn a_flooded_syn_is_lowered_for_tunnels_and_not_for_ports() {
    let mut lab = Lab::with(Setup { hosts: 3, ..PLAIN });
    lab.network(VNET);
    let (a, near) = (lab.guest(0, VNET), lab.guest(0, VNET));
    let (b, c) = (lab.guest(1, VNET), lab.guest(2, VNET));
    lab.wait(Duration::from_secs(1));
    let frame = segment(false, (&a, &b), SYN, &mss(1460));
    lab.send(&a, &frame);
    assert_eq!(lab.received(&near), [&frame[..]]);
    for far in [&b, &c] {
        assert_eq!(lab.received(far), [lowered(&frame, 22, 1418)]);
    }
}

#[test]
fn what_a_router_said_of_the_way_lowers_segments_too() {
    let (mut lab, a, b) = two(PLAIN);
    lab.send(&a, &super::v4(&a, &b, 1458));
    let sent = lab.captured().remove(0);
    lab.received(&b);
    let router = std::net::Ipv4Addr::new(10, 9, 9, 9);
    let us = lab.endpoint(0);
    lab.arrive(0, &sim::too_big((router.into(), us), 1400, &sent[14..]));
    for (v6, most) in [(false, 1318), (true, 1298)] {
        let frame = segment(v6, (&a, &b), SYN, &mss(1440));
        let (heard, _) = heard(&mut lab, (&a, &b), &frame);
        assert_eq!(heard, lowered(&frame, 22, most));
        // What comes back is lowered where it comes in, if it was not before.
        let frame = segment(v6, (&b, &a), SYN_ACK, &mss(1440));
        let packet = gre(lab.address(1), lab.address(0), VNET, &frame);
        lab.arrive(0, &packet);
        assert_eq!(lab.received(&a), [lowered(&frame, 22, most)]);
    }
}
