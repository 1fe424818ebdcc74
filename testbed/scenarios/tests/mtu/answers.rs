//! A sender whose packet does not fit is told so, as if a router had been there.

use super::{
    A, A6, ALL, B, B6, PLAIN, VNET, arrives, bytes, introduce, says_too_big, says_too_big_in, told,
};
use super::{two, two_with, v4, v6};
use program::{Allowed, NetworkProgram, Sequence, Transport};
use sim::{Guest, Lab, Setup, ethernet, ipv4, ipv4_with, ipv6, tagged};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use switch::DropReason;
use wire::fragment::FragmentRepr;
use wire::l4::Protocol;

#[test]
fn a_sender_is_told_what_every_envelope_leaves_of_the_way() {
    // Of 1,500 bytes: IP 20 or 40, GRE 4 and 4 more for each of its fields, UDP 8, Ethernet 14.
    for (over_v6, keyed, checksum, sequence, udp, mtu) in [
        (false, true, false, false, false, 1458),
        (true, true, false, false, false, 1438),
        (false, false, false, false, false, 1462),
        (false, true, true, false, false, 1454),
        (false, true, false, true, false, 1454),
        (false, true, true, true, false, 1450),
        (true, true, true, true, false, 1430),
        (false, true, false, false, true, 1450),
        (true, true, true, true, true, 1422),
    ] {
        let setup = Setup {
            v6: over_v6,
            ..PLAIN
        };
        let (mut lab, a, b) = two_with(setup, 1, |tunnel| {
            (tunnel.keyed, tunnel.checksum) = (keyed, checksum);
            if sequence {
                tunnel.sequence = Sequence::Sent;
            }
            if udp {
                tunnel.transport = Transport::Udp;
            }
        });
        for make in [v4, v6] {
            arrives(&mut lab, &a, &b, &make(&a, &b, mtu));
            for len in [mtu + 1, 1500] {
                let packet = make(&a, &b, len);
                let answer = told(&mut lab, &a, &b, &packet);
                says_too_big(&answer, &packet, mtu);
            }
        }
    }
}

#[test]
fn a_packet_that_fits_fills_the_underlay_to_its_last_byte() {
    let (mut lab, a, b) = two(PLAIN);
    lab.send(&a, &v4(&a, &b, 1458));
    let packet = lab.captured().remove(0);
    assert_eq!(packet.len(), 14 + 1500);
}

#[test]
fn tags_of_the_guest_come_back_and_take_their_room_from_the_packet() {
    let (mut lab, a, b) = two(PLAIN);
    for (vlans, mtu) in [(&[5][..], 1454), (&[5, 6], 1450)] {
        for make in [v4, v6] {
            let fits = tagged(&make(&a, &b, mtu), vlans);
            arrives(&mut lab, &a, &b, &fits);
            let packet = tagged(&make(&a, &b, mtu + 1), vlans);
            let answer = told(&mut lab, &a, &b, &packet);
            says_too_big(&answer, &packet, mtu);
        }
    }
}

#[test]
fn options_and_extension_headers_are_quoted_and_told_of_like_any_packet() {
    let (mut lab, a, b) = two(PLAIN);
    let packet = ipv4_with(&v4(&a, &b, 1480), &[1; 40], 0x4000);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);

    let behind = [&[253, 0, 1, 4, 0, 0, 0, 0][..], &bytes(1440)].concat();
    let macs = (b.mac, a.mac);
    let packet = ipv6(macs, (A6, B6), Protocol::DESTINATION_OPTIONS, &behind);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);
}

#[test]
fn through_a_tunnel_to_a_port_with_less_room_the_answer_goes_back_the_same_way() {
    let (mut lab, a, b) = two(PLAIN);
    lab.host(1).0.grow(&b.name, 1400);
    lab.wait(Duration::from_secs(1));
    introduce(&mut lab, &a, &b);
    for (make, shown) in [(v4 as fn(&Guest, &Guest, usize) -> _, 590), (v6, 1294)] {
        let packet = make(&a, &b, 1458);
        lab.send(&a, &packet);
        let heard = lab.received(&a);
        assert_eq!(heard.len(), 1);
        says_too_big(&heard[0], &packet, 1400);
        assert!(lab.received(&b).is_empty());
        let (there, back) = ("10.0.0.1 > 10.0.0.2", "10.0.0.2 > 10.0.0.1");
        let expected = [
            format!("{there} gre key 7 | eth 01 > 02, 1472 bytes"),
            format!("{back} gre key 7 | eth 02 > 01, {shown} bytes"),
        ];
        assert_eq!(lab.wire(), expected);
        let (through, answered) = (
            "received 1, sent 1, transmitted 1",
            "received 1, answered 1, transmitted 1",
        );
        assert_eq!(
            lab.moved(),
            [
                format!("h0 g0-1: {through}"),
                format!("h0 underlay under: {through}"),
                "h0 vnet 7: received 2, sent 2, transmitted 2".to_owned(),
                format!("h1 underlay under: {answered}"),
                format!("h1 vnet 7: {answered}"),
            ]
        );
        arrives(&mut lab, &a, &b, &make(&a, &b, 1400));
    }
}

/// A network of at most `mtu` bytes on two hosts, and two guests of the first.
fn small(mtu: u16) -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(PLAIN);
    let of_network = |network: &mut NetworkProgram| network.mtu = Some(mtu);
    lab.network_with(VNET, of_network, |_| ());
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    introduce(&mut lab, &a, &b);
    (lab, a, b)
}

#[test]
fn what_the_networks_program_says_counts_between_two_ports_of_one_host() {
    let (mut lab, a, b) = small(1300);
    for make in [v4, v6] {
        for vlans in [&[][..], &[5], &[5, 6]] {
            let fits = tagged(&make(&a, &b, 1300), vlans);
            arrives(&mut lab, &a, &b, &fits);
            let packet = tagged(&make(&a, &b, 1301), vlans);
            let answer = told(&mut lab, &a, &b, &packet);
            says_too_big(&answer, &packet, 1300);
        }
    }
}

#[test]
fn an_ipv6_sender_is_never_told_of_less_than_every_link_carries() {
    let (mut lab, a, b) = small(1000);
    let packet = v6(&a, &b, 1281);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big_in(&answer, &packet, 1280, 1000);
    // Told so, it would send as much again: RFC 8201 §4.
    too_big_untold(&mut lab, &a, &v6(&a, &b, 1280), "too_big");
}

/// `packet` ends here for `reason`, and nobody hears of it.
fn too_big_untold(lab: &mut Lab, a: &Guest, packet: &[u8], reason: &str) {
    lab.moved();
    lab.send(a, packet);
    let ledgers = [format!("h0 {}", a.name), format!("h0 vnet {VNET}")];
    let expected = ledgers.map(|name| format!("{name}: received 1, {reason} 1"));
    assert_eq!(lab.moved(), expected, "{:02x?}", &packet[..60]);
    assert!(lab.wire().is_empty() && lab.received(a).is_empty());
}

#[test]
fn nobody_is_told_of_what_must_not_be_answered_in_ipv4() {
    let (mut lab, a, b) = two(PLAIN);
    let macs = (b.mac, a.mac);
    let reason = DropReason::TooBig.name();
    let long = |ends, protocol, payload: &[u8]| ipv4(macs, ends, protocol, payload);
    let mut silent = Vec::new();
    // RFC 1122 §3.2.2: an ICMP error, and what may be one.
    for kind in [3, 4, 5, 11, 12, 99] {
        let message = [&[kind][..], &bytes(1459)].concat();
        silent.push(long((A, B), Protocol::ICMP, &message));
    }
    // A fragment that is not the first.
    silent.push(ipv4_with(&v4(&a, &b, 1480), &[], 0x4008));
    silent.push(ipv4_with(&v4(&a, &b, 1480), &[], 0x6064));
    // For more than one, and from none.
    for to in [[224, 0, 0, 1], [239, 1, 1, 1], [255; 4]] {
        silent.push(long((A, to.into()), Protocol(253), &bytes(1460)));
    }
    for from in [[0; 4], [255; 4], [224, 0, 0, 9], [127, 0, 0, 1]] {
        silent.push(long((from.into(), B), Protocol(253), &bytes(1460)));
    }
    for to in [ALL, [0x01, 0, 0x5e, 1, 1, 1]] {
        silent.push(ipv4((to, a.mac), (A, B), Protocol(253), &bytes(1460)));
    }
    // A header that does not add up was not written by whom it names.
    let mut wrong = v4(&a, &b, 1480);
    wrong[24] ^= 1;
    silent.push(wrong);
    for packet in silent {
        too_big_untold(&mut lab, &a, &packet, reason);
    }
    // But echo requests are: `ping -s` finds the way's MTU.
    let packet = long((A, B), Protocol::ICMP, &[&[8][..], &bytes(1459)].concat());
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);
    let packet = ipv4_with(&v4(&a, &b, 1480), &[], 0x6000);
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);
}

#[test]
fn nobody_is_told_of_what_must_not_be_answered_in_ipv6() {
    let (mut lab, a, b) = two(PLAIN);
    let macs = (b.mac, a.mac);
    let reason = DropReason::TooBig.name();
    let group: Ipv6Addr = "ff02::1".parse().unwrap();
    let mut silent = Vec::new();
    // RFC 4443 §2.4 (e): errors and redirects.
    for kind in [1, 2, 3, 4, 100, 127] {
        let message = [&[kind][..], &bytes(1439)].concat();
        silent.push(ipv6(macs, (A6, B6), Protocol::ICMPV6, &message));
    }
    let part = |offset, more| {
        let header = FragmentRepr {
            next: Protocol(253),
            offset,
            more,
            identification: 1,
        };
        let payload = [&header.emit()[..], &bytes(1440)].concat();
        ipv6(macs, (A6, B6), Protocol::FRAGMENT, &payload)
    };
    silent.extend([part(8, true), part(1440, false)]);
    silent.push(ipv6(macs, (A6, group), Protocol(253), &bytes(1440)));
    for from in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, group] {
        silent.push(ipv6(macs, (from, B6), Protocol(253), &bytes(1440)));
    }
    for to in [ALL, [0x33, 0x33, 0, 0, 0, 1]] {
        silent.push(ipv6((to, a.mac), (A6, B6), Protocol(253), &bytes(1440)));
    }
    for packet in silent {
        too_big_untold(&mut lab, &a, &packet, reason);
    }
    for packet in [
        part(0, true),
        ipv6(
            macs,
            (A6, B6),
            Protocol::ICMPV6,
            &[&[128][..], &bytes(1439)].concat(),
        ),
    ] {
        let answer = told(&mut lab, &a, &b, &packet);
        says_too_big(&answer, &packet, 1458);
    }
}

#[test]
fn what_is_not_ip_has_nobody_to_tell() {
    let (mut lab, a, b) = two(PLAIN);
    // What cannot be read may be anything: only who may say everything may say it.
    lab.port_with(&a, |port| {
        port.allow = vec![Allowed::DhcpServer, Allowed::Router];
    });
    let mut packet = ethernet(b.mac, a.mac);
    packet.resize(1473, 0);
    too_big_untold(&mut lab, &a, &packet, DropReason::TooBig.name());
    let mut packet = tagged(&packet, &[1, 2, 3]);
    packet[24..26].copy_from_slice(&[8, 0]);
    too_big_untold(&mut lab, &a, &packet, DropReason::TooBig.name());
    // An IPv4 header that promises more than there is.
    let mut packet = v4(&a, &b, 1500);
    packet.truncate(1480);
    too_big_untold(&mut lab, &a, &packet, DropReason::TooBig.name());
}

#[test]
fn one_port_is_told_a_hundred_times_a_second_and_another_is_told_meanwhile() {
    let mut lab = Lab::with(PLAIN);
    lab.network(VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    let c = lab.guest(0, VNET);
    introduce(&mut lab, &a, &b);
    lab.received(&c);
    let name = DropReason::TooBigUntold.name();
    let packet = v4(&a, &b, 1500);
    let burst = |lab: &mut Lab, answered: usize| {
        for _ in 0..150 {
            assert!(lab.offer(&a, &packet));
        }
        lab.settle();
        let untold = 150 - answered;
        let told = match answered {
            0 => String::new(),
            told => format!(", answered {told}, transmitted {told}"),
        };
        let counted = format!("received 150{told}, {name} {untold}");
        let ledgers = ["h0 g0-1", "h0 vnet 7"];
        assert_eq!(lab.moved(), ledgers.map(|of| format!("{of}: {counted}")));
        assert_eq!(lab.received(&a).len(), answered);
    };
    burst(&mut lab, 100);
    burst(&mut lab, 0);
    // One every 10 ms.
    lab.wait(Duration::from_millis(52));
    burst(&mut lab, 5);
    // Not more for having been quiet for long.
    lab.wait(Duration::from_mins(1));
    lab.moved();
    burst(&mut lab, 100);
    let packet = v4(&c, &b, 1500);
    lab.send(&c, &packet);
    let heard = lab.received(&c);
    assert_eq!(heard.len(), 1, "another port has not asked yet");
    says_too_big(&heard[0], &packet, 1458);
}

#[test]
fn the_answer_names_addresses_of_the_packet_and_no_others() {
    // Whoever the packet was for, even one that is nowhere: the guest's own filters know it.
    let (mut lab, a, b) = two(PLAIN);
    let nowhere = Ipv4Addr::new(203, 0, 113, 77);
    let packet = ipv4((b.mac, a.mac), (A, nowhere), Protocol(253), &bytes(1480));
    let answer = told(&mut lab, &a, &b, &packet);
    says_too_big(&answer, &packet, 1458);
    assert_eq!(answer[26..30], nowhere.octets());
}
