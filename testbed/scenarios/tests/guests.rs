//! A guest speaks from its own addresses only, and serves nobody what it may not.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod packets;

use packets::*;
use program::{Allowed, Prefix, Speaks};
use sim::{Guest, Lab};
use std::net::{Ipv4Addr, Ipv6Addr};

const VNET: u32 = 7;
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
/// The address of the guest that the stories are about, and of whom it speaks to.
const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const NOBODY_V6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Two guests of one host, of which the first may speak from `addresses` (any, if none) and is
/// `allowed` more than others.
fn two(addresses: Option<&[&str]>, allowed: &[Allowed]) -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(sim::Setup::default());
    lab.network_with(VNET, |network| network.suppress = false, |_| ());
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    assert_eq!((a.mac, b.mac), (A, B));
    lab.port_with(&a, |port| {
        port.addresses = addresses.map(prefixes);
        port.allow = allowed.to_vec();
    });
    lab.moved();
    (lab, a, b)
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    let prefix = |text: &&str| Prefix::try_from((*text).to_owned()).unwrap();
    texts.iter().map(prefix).collect()
}

/// The first guest's frame arrives as it was sent, behind any tags.
fn arrives(lab: &mut Lab, (a, b): (&Guest, &Guest), frame: &[u8], what: &str) {
    for tags in TAGS {
        let frame = tagged(frame, tags);
        lab.send(a, &frame);
        assert_eq!(lab.received(b), [frame], "{what}, behind {tags:x?}");
        let moved = lab.moved();
        assert!(!moved[0].contains("spoofed"), "{what}: {moved:?}");
    }
}

/// The first guest's frame is dropped and counted as `reason`, behind any tags; and that is all.
fn refused(lab: &mut Lab, (a, b): (&Guest, &Guest), frame: &[u8], reason: &str, what: &str) {
    for tags in TAGS {
        refused_as_it_is(lab, (a, b), &tagged(frame, tags), reason, what);
    }
}

fn refused_as_it_is(
    lab: &mut Lab,
    (a, b): (&Guest, &Guest),
    frame: &[u8],
    reason: &str,
    what: &str,
) {
    lab.wire();
    lab.send(a, frame);
    let came = lab.received(b);
    assert!(came.is_empty(), "{what}: {frame:02x?}");
    assert!(lab.wire().is_empty(), "{what}");
    let ledgers = ["h0 g0-1", "h0 vnet 7"];
    let expected = ledgers.map(|ledger| format!("{ledger}: received 1, {reason} 1"));
    assert_eq!(lab.moved(), expected, "{what}: {frame:02x?}");
}

/// An IPv4 packet from `source`.
fn from_v4(source: &str) -> Vec<u8> {
    ipv4(
        (B, A),
        (v4(source), v4("192.0.2.1")),
        1,
        &[8, 0, 0, 0, 0, 0, 0, 0],
    )
}

/// An IPv6 packet from `source`: an echo request.
fn from_v6(source: Ipv6Addr) -> Vec<u8> {
    let ips = (source, v6("2001:db8::99"));
    ipv6((B, A), ips, ICMPV6, &icmpv6(ips, 128, &[0; 4]))
}

#[test]
fn an_ipv4_packet_is_from_one_of_the_guests_own_addresses() {
    let (mut lab, a, b) = two(Some(&["10.1.1.5", "10.2.0.0/30", "2001:db8::/64"]), &[]);
    for own in ["10.1.1.5", "10.2.0.0", "10.2.0.3"] {
        arrives(&mut lab, (&a, &b), &from_v4(own), own);
    }
    for foreign in [
        "10.1.1.4",
        "10.1.1.6",
        "10.2.0.4",
        "10.1.255.255",
        "255.255.255.255",
    ] {
        refused(
            &mut lab,
            (&a, &b),
            &from_v4(foreign),
            "spoofed_address",
            foreign,
        );
    }
    // Each of its fragments is as well.
    for fragment in [0x2000, 0x2001, 0x0001] {
        let part = |source| {
            ipv4_part(
                (B, A),
                (v4(source), v4("192.0.2.1")),
                UDP,
                fragment,
                &[7; 8],
            )
        };
        arrives(&mut lab, (&a, &b), &part("10.1.1.5"), "own fragment");
        refused(
            &mut lab,
            (&a, &b),
            &part("10.1.1.6"),
            "spoofed_address",
            "foreign fragment",
        );
    }
}

#[test]
fn a_port_without_ip_addresses_speaks_from_none_and_one_with_all_from_any() {
    let (mut lab, a, b) = two(Some(&[]), &[]);
    refused(
        &mut lab,
        (&a, &b),
        &from_v4("10.1.1.5"),
        "spoofed_address",
        "none of IPv4",
    );
    refused(
        &mut lab,
        (&a, &b),
        &from_v6(v6("2001:db8::1")),
        "spoofed_address",
        "none of IPv6",
    );
    arrives(&mut lab, (&a, &b), &sim::ethernet(B, A), "what is not IP");

    let (mut lab, a, b) = two(Some(&["0.0.0.0/0", "::/0"]), &[]);
    arrives(&mut lab, (&a, &b), &from_v4("203.0.113.9"), "any of IPv4");
    arrives(
        &mut lab,
        (&a, &b),
        &from_v6(v6("2001:db8::1")),
        "any of IPv6",
    );
}

#[test]
fn dhcp_clients_only_have_no_ipv4_address() {
    let (mut lab, a, b) = two(Some(&["10.1.1.5"]), &[]);
    let ips = (NOBODY, Ipv4Addr::BROADCAST);
    let datagram = |ports| udp((ips.0.into(), ips.1.into()), ports, &[1, 1, 6, 0]);
    let discover = ipv4((ALL, A), ips, UDP, &datagram((68, 67)));
    arrives(&mut lab, (&a, &b), &discover, "DHCP discover");
    for ports in [(68, 69), (69, 67), (1068, 67), (53, 53)] {
        let other = ipv4((ALL, A), ips, UDP, &datagram(ports));
        refused(&mut lab, (&a, &b), &other, "spoofed_address", "other UDP");
    }
    // The same bytes in another protocol.
    let other = ipv4(
        (ALL, A),
        ips,
        6,
        &[&datagram((68, 67))[..], &[0; 20]].concat(),
    );
    refused(&mut lab, (&a, &b), &other, "spoofed_address", "not UDP");
}

#[test]
fn arp_says_whom_it_is_from_and_that_is_the_guest() {
    let (mut lab, a, b) = two(Some(&["10.1.1.5"]), &[]);
    let (own, target) = (v4("10.1.1.5"), v4("10.1.1.9"));
    let free = who_has((A, NOBODY), own);
    arrives(&mut lab, (&a, &b), &free, "a probe");
    arrives(&mut lab, (&a, &b), &who_has((A, own), target), "a question");
    arrives(
        &mut lab,
        (&a, &b),
        &who_has((A, own), own),
        "an announcement",
    );
    arrives(
        &mut lab,
        (&a, &b),
        &is_at((A, own), (B, target)),
        "an answer",
    );

    let foreign = v4("10.1.1.6");
    for (what, frame) in [
        ("a question of another", who_has((A, foreign), target)),
        ("another's announcement", who_has((A, foreign), foreign)),
        ("another's answer", is_at((A, foreign), (B, target))),
        ("an answer of nobody", is_at((A, NOBODY), (B, target))),
        (
            "a question in another's MAC",
            arp((ALL, A), 1, (STRANGER, own), ([0; 6], target)),
        ),
        (
            "an answer in another's MAC",
            arp((B, A), 2, (B, own), (B, target)),
        ),
        (
            "a probe in another's MAC",
            arp((ALL, A), 1, (STRANGER, NOBODY), ([0; 6], own)),
        ),
    ] {
        refused(&mut lab, (&a, &b), &frame, "spoofed_address", what);
    }
}

#[test]
fn an_ipv6_packet_is_from_an_own_address_or_the_link_local_one_of_its_mac() {
    let (mut lab, a, b) = two(Some(&["2001:db8::5", "2001:db8:1::/64"]), &[]);
    for own in [v6("2001:db8::5"), v6("2001:db8:1::abcd"), link_local(A)] {
        arrives(&mut lab, (&a, &b), &from_v6(own), "own");
    }
    for foreign in [
        v6("2001:db8::6"),
        v6("2001:db8:2::1"),
        v6("fe80::1"),
        link_local(B),
        v6("::ffff:10.1.1.5"),
        NOBODY_V6,
        ALL_NODES,
    ] {
        refused(
            &mut lab,
            (&a, &b),
            &from_v6(foreign),
            "spoofed_address",
            "foreign",
        );
    }
    // Another link-local address is its own once it is listed.
    lab.port_with(&a, |port| port.addresses = Some(prefixes(&["fe80::1"])));
    arrives(&mut lab, (&a, &b), &from_v6(v6("fe80::1")), "listed");
    arrives(&mut lab, (&a, &b), &from_v6(link_local(A)), "of its MAC");
    refused(
        &mut lab,
        (&a, &b),
        &from_v6(v6("2001:db8::5")),
        "spoofed_address",
        "no more",
    );
}

#[test]
fn a_bridge_has_no_link_local_address_that_is_not_listed() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest_as(0, VNET, Speaks::Any, A), lab.guest(0, VNET));
    lab.port_with(&a, |port| port.addresses = Some(prefixes(&["10.1.1.5"])));
    lab.moved();
    refused(
        &mut lab,
        (&a, &b),
        &from_v6(link_local(A)),
        "spoofed_address",
        "not listed",
    );
}

#[test]
fn who_has_no_ipv6_address_yet_may_ask_for_one_and_join_groups() {
    let (mut lab, a, b) = two(Some(&["2001:db8::5"]), &[]);
    let to_routers = ([0x33, 0x33, 0, 0, 0, 2], A);
    let asks = Saying::ROUTER_SOLICIT.frame(to_routers, (NOBODY_V6, ALL_ROUTERS));
    arrives(&mut lab, (&a, &b), &asks, "are there routers?");
    for target in [link_local(A), v6("2001:db8::5"), v6("2001:db8::77")] {
        arrives(&mut lab, (&a, &b), &probe(A, target), "is it free?");
    }
    // Joining a group (RFC 2710, RFC 3810), behind a router alert.
    let group = v6("ff02::16");
    let report = |kind, body: &[u8]| {
        let message = icmpv6((NOBODY_V6, group), kind, body);
        let payload = [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0][..], &message].concat();
        ipv6(
            ([0x33, 0x33, 0, 0, 0, 0x16], A),
            (NOBODY_V6, group),
            0,
            &payload,
        )
    };
    arrives(&mut lab, (&a, &b), &report(143, &[0; 4]), "MLDv2");
    arrives(&mut lab, (&a, &b), &report(131, &[0; 20]), "MLDv1");
    for kind in [1, 128, 129, 130, 132] {
        refused(
            &mut lab,
            (&a, &b),
            &report(kind, &[0; 20]),
            "spoofed_address",
            "other ICMP",
        );
    }
}

#[test]
fn neighbour_discovery_tells_of_own_addresses_only() {
    let (mut lab, a, b) = two(Some(&["2001:db8::5"]), &[]);
    let (own, foreign, other) = (v6("2001:db8::5"), v6("2001:db8::6"), v6("2001:db8::9"));
    let to_b = (B, A);
    for (what, frame) in [
        (
            "an answer",
            Saying::is_at(own, A, 0x60).frame(to_b, (own, other)),
        ),
        (
            "an announcement",
            Saying::is_at(own, A, 0x20).frame((ALL_NODES_MAC, A), (own, ALL_NODES)),
        ),
        (
            "of the link-local one",
            Saying::is_at(link_local(A), A, 0x60).frame(to_b, (own, other)),
        ),
        ("a question", solicit((A, own), other)),
    ] {
        arrives(&mut lab, (&a, &b), &frame, what);
    }
    for (what, frame) in [
        (
            "a foreign target",
            Saying::is_at(foreign, A, 0x60).frame(to_b, (own, other)),
        ),
        (
            "a foreign source",
            Saying::is_at(own, A, 0x60).frame(to_b, (foreign, other)),
        ),
        (
            "a foreign MAC",
            Saying::is_at(own, STRANGER, 0x60).frame(to_b, (own, other)),
        ),
        (
            "from nobody",
            Saying::is_at(foreign, A, 0x20).frame(to_b, (NOBODY_V6, ALL_NODES)),
        ),
        (
            "a question in a foreign MAC",
            Saying::who_has(other, Some(STRANGER)).frame(to_b, (own, other)),
        ),
        ("a question of another", solicit((A, foreign), other)),
        (
            "a router's solicit in a foreign MAC",
            Saying {
                option: Some((SOURCE, STRANGER)),
                ..Saying::ROUTER_SOLICIT
            }
            .frame(to_b, (own, ALL_ROUTERS)),
        ),
    ] {
        refused(&mut lab, (&a, &b), &frame, "spoofed_address", what);
    }
}

const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

#[test]
fn what_hides_its_addresses_is_refused_where_addresses_count() {
    let (mut lab, a, b) = two(Some(&["10.1.1.5", "2001:db8::5"]), &[]);
    let tag = (0x8100, 5);
    for frame in [from_v4("10.1.1.5"), from_v6(v6("2001:db8::5"))] {
        let behind = tagged(&frame, &[tag, tag, tag]);
        refused_as_it_is(&mut lab, (&a, &b), &behind, "unreadable", "three tags");
    }
    let datagram = udp((v4("10.1.1.5").into(), v4("10.1.1.9").into()), (9, 9), &[]);
    let whole = ipv4((B, A), (v4("10.1.1.5"), v4("10.1.1.9")), UDP, &datagram);
    for len in 14..14 + 28 {
        refused_as_it_is(
            &mut lab,
            (&a, &b),
            &whole[..len],
            "unreadable",
            "IPv4 cut short",
        );
    }
    let whole = from_v6(v6("2001:db8::5"));
    for len in 14..14 + 40 + 8 {
        refused_as_it_is(
            &mut lab,
            (&a, &b),
            &whole[..len],
            "unreadable",
            "IPv6 cut short",
        );
    }
    let whole = who_has((A, v4("10.1.1.5")), v4("10.1.1.9"));
    for len in 14..14 + 28 {
        refused_as_it_is(
            &mut lab,
            (&a, &b),
            &whole[..len],
            "spoofed_address",
            "ARP cut short",
        );
    }
    for len in 14..17 {
        let cut = &tagged(&whole, &[tag])[..len];
        refused_as_it_is(&mut lab, (&a, &b), cut, "unreadable", "a tag cut short");
    }
}

#[test]
fn without_addresses_a_guest_speaks_from_any() {
    let (mut lab, a, b) = two(None, &[]);
    let (own, other) = (v6("2001:db8::5"), v6("2001:db8::6"));
    for frame in [
        from_v4("203.0.113.9"),
        from_v4("0.0.0.0"),
        from_v6(v6("fe80::1")),
        arp(
            (ALL, A),
            1,
            (STRANGER, v4("10.1.1.6")),
            ([0; 6], v4("10.1.1.9")),
        ),
        Saying::is_at(other, STRANGER, 0x60).frame((B, A), (own, other)),
    ] {
        arrives(&mut lab, (&a, &b), &frame, "anything");
    }
}

/// What servers of DHCP send to clients, of IPv4 and of IPv6.
fn dhcp_answers() -> [Vec<u8>; 2] {
    let ips = (v4("10.1.1.5"), Ipv4Addr::BROADCAST);
    let offer = udp((ips.0.into(), ips.1.into()), (67, 68), &[2, 1, 6, 0]);
    let ips_v6 = (link_local(A), link_local(B));
    let advertise = udp(
        (ips_v6.0.into(), ips_v6.1.into()),
        (547, 546),
        &[2, 0, 0, 1],
    );
    [
        ipv4((ALL, A), ips, UDP, &offer),
        ipv6((B, A), ips_v6, UDP, &advertise),
    ]
}

#[test]
fn who_serves_dhcp_was_allowed_to() {
    for addresses in [None, Some(&["10.1.1.5"][..])] {
        let (mut lab, a, b) = two(addresses, &[]);
        for answer in dhcp_answers() {
            refused(&mut lab, (&a, &b), &answer, "served_dhcp", "not allowed");
        }
        let (mut lab, a, b) = two(addresses, &[Allowed::DhcpServer]);
        for answer in dhcp_answers() {
            arrives(&mut lab, (&a, &b), &answer, "allowed");
        }
        let (mut lab, a, b) = two(addresses, &[Allowed::Router]);
        for answer in dhcp_answers() {
            refused(&mut lab, (&a, &b), &answer, "served_dhcp", "a router");
        }
    }
    // Clients' questions are for everybody, also those of who has an address.
    let (mut lab, a, b) = two(None, &[]);
    let ips = (v4("10.1.1.5"), v4("10.1.1.1"));
    let renew = udp((ips.0.into(), ips.1.into()), (68, 67), &[1, 1, 6, 0]);
    arrives(
        &mut lab,
        (&a, &b),
        &ipv4((B, A), ips, UDP, &renew),
        "a client",
    );
    let ips = (link_local(A), v6("ff02::1:2"));
    let solicit = udp((ips.0.into(), ips.1.into()), (546, 547), &[1, 0, 0, 1]);
    arrives(
        &mut lab,
        (&a, &b),
        &ipv6((B, A), ips, UDP, &solicit),
        "a client of IPv6",
    );
}

/// `message` in a packet of IPv6 behind as many destination options.
fn behind_options(ips: (Ipv6Addr, Ipv6Addr), count: usize, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for left in (0..count).rev() {
        let next = if left > 0 {
            DESTINATION_OPTIONS
        } else {
            ICMPV6
        };
        payload.extend([next, 0, 1, 4, 0, 0, 0, 0]);
    }
    payload.extend(message);
    let next = if count > 0 {
        DESTINATION_OPTIONS
    } else {
        ICMPV6
    };
    ipv6((B, A), ips, next, &payload)
}

/// A fragment header in front of `next`, first of several.
fn first_fragment(next: u8) -> [u8; 8] {
    [next, 0, 0, 1, 0, 0, 0, 9]
}

/// An advertisement of a router, and a redirect, from `source`.
fn from_router(ips: (Ipv6Addr, Ipv6Addr)) -> [Vec<u8>; 2] {
    let advert = Saying {
        kind: ROUTER_ADVERT,
        flags: 64,
        target: None,
        option: Some((SOURCE, A)),
    };
    let redirect = Saying {
        kind: REDIRECT,
        flags: 0,
        target: Some(link_local(A)),
        option: Some((TARGET, A)),
    };
    [advert.message(ips), redirect.message(ips)]
}

#[test]
fn who_advertises_itself_as_a_router_was_allowed_to() {
    let ips = (link_local(A), ALL_NODES);
    for addresses in [None, Some(&["2001:db8::5"][..])] {
        for message in from_router(ips) {
            let plain = behind_options(ips, 0, &message);
            let (mut lab, a, b) = two(addresses, &[]);
            refused(&mut lab, (&a, &b), &plain, "router_advert", "not allowed");
            let (mut lab, a, b) = two(addresses, &[Allowed::DhcpServer]);
            refused(&mut lab, (&a, &b), &plain, "router_advert", "a DHCP server");
            let (mut lab, a, b) = two(addresses, &[Allowed::Router]);
            arrives(&mut lab, (&a, &b), &plain, "allowed");
        }
    }
    // A router may be one for its own addresses only.
    let (mut lab, a, b) = two(Some(&["2001:db8::5"]), &[Allowed::Router]);
    let ips = (link_local(B), ALL_NODES);
    let foreign = behind_options(ips, 0, &from_router(ips)[0]);
    refused(
        &mut lab,
        (&a, &b),
        &foreign,
        "spoofed_address",
        "another router",
    );
}

#[test]
fn no_extension_header_or_fragment_hides_a_router() {
    let ips = (link_local(A), ALL_NODES);
    let (mut lab, a, b) = two(None, &[]);
    for message in from_router(ips) {
        for count in [1, 2, 7, 8] {
            let hidden = behind_options(ips, count, &message);
            refused(
                &mut lab,
                (&a, &b),
                &hidden,
                "router_advert",
                "behind options",
            );
        }
        // A first fragment, and one that is all there is (RFC 6946).
        for more in [1, 0] {
            let mut payload = first_fragment(ICMPV6).to_vec();
            payload[3] = more;
            payload.extend(&message);
            let part = ipv6((B, A), ips, FRAGMENT, &payload);
            refused(
                &mut lab,
                (&a, &b),
                &part,
                if more == 1 {
                    "unreadable"
                } else {
                    "router_advert"
                },
                "a first fragment",
            );
        }
    }
}
