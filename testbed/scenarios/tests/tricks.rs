//! What guests try, to say what they may not: through headers that few read, and by what is remembered.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod packets;

use packets::*;
use program::Speaks;
use sim::{Guest, Lab, ethernet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use wire::l4::Protocol;

const VNET: u32 = 7;
const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Two guests of one host, of which the first may speak from any IP address and serves nobody.
fn two() -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(sim::Setup::default());
    lab.network_with(VNET, |network| network.suppress = false, |_| ());
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    (lab, a, b)
}

fn stopped(frame: &[u8], what: &str) {
    let (mut lab, a, b) = two();
    lab.send(&a, frame);
    assert!(lab.received(&b).is_empty(), "{what}: {:?}", lab.moved());
}

fn router_advert() -> Vec<u8> {
    let advert = Saying {
        kind: ROUTER_ADVERT,
        flags: 64,
        target: None,
        option: Some((SOURCE, A)),
    };
    advert.message((link_local(A), ALL_NODES))
}

fn behind_options(count: usize, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for left in (0..count).rev() {
        payload.extend([
            if left > 0 {
                DESTINATION_OPTIONS
            } else {
                ICMPV6
            },
            0,
            1,
            4,
            0,
            0,
            0,
            0,
        ]);
    }
    payload.extend(message);
    ipv6(
        (B, A),
        (link_local(A), ALL_NODES),
        DESTINATION_OPTIONS,
        &payload,
    )
}

// services/guard.rs: without `addresses`, CUT_SHORT is not looked at, so what hides from
// Headers::of passes. RFC 7113 §3 (1.-4.): RA-Guard must drop what has no whole header chain.
#[test]
fn nine_extension_headers_do_not_hide_a_router() {
    stopped(&behind_options(9, &router_advert()), "nine options"); // Linux walks them all
}

#[test]
fn a_first_fragment_that_hides_its_upper_layer_is_refused() {
    // Fragment, then options whose end is in the second fragment (RFC 7112: not allowed).
    let payload = [
        &[DESTINATION_OPTIONS, 0, 0, 1, 0, 0, 0, 9][..],
        &[ICMPV6, 2, 1, 12, 0, 0, 0, 0],
    ]
    .concat();
    let part = ipv6((B, A), (link_local(A), ALL_NODES), FRAGMENT, &payload);
    stopped(&part, "hidden upper layer");
}

#[test]
fn three_priority_tags_do_not_hide_a_router() {
    // CVE-2021-27854: receivers strip any number of tags with VLAN 0.
    let frame = behind_options(1, &router_advert());
    stopped(
        &tagged(&frame, &[(0x8100, 0), (0x8100, 0), (0x8100, 0)]),
        "three tags",
    );
}

// services/guard.rs, headers.rs: a length instead of an EtherType, and behind it LLC and SNAP, is
// nothing to Headers::of. CVE-2021-27853, -27861, -27862: Windows and others accept it.
#[test]
fn llc_and_snap_do_not_hide_a_router() {
    let frame = behind_options(1, &router_advert());
    let payload = [&[0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd][..], &frame[14..]].concat();
    let len = u16::try_from(payload.len()).unwrap();
    stopped(&packets::frame(B, A, len, &payload), "behind SNAP");
}

#[test]
fn llc_and_snap_do_not_hide_a_foreign_address() {
    let (mut lab, a, b) = two();
    lab.port_with(&a, |port| port.addresses = Some(Vec::new()));
    let packet = ipv4(
        (B, A),
        (v4("10.1.1.6"), v4("10.1.1.9")),
        1,
        &[8, 0, 0, 0, 0, 0, 0, 0],
    );
    let payload = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet[14..]].concat();
    let len = u16::try_from(payload.len()).unwrap();
    lab.send(&a, &packets::frame(B, A, len, &payload));
    assert!(lab.received(&b).is_empty());
}

// headers.rs marks servers by the port they send from. Clients do not look at it: dhclient's and
// systemd-networkd's filters read the destination only; RFC 8415 §7.2 fixes no source port; and
// RFC 7610 §4 says to drop by destination port 546.
#[test]
fn a_dhcp_server_is_known_by_whom_it_speaks_to() {
    let ips = (v4("10.1.1.5"), Ipv4Addr::BROADCAST);
    let offer = udp((ips.0.into(), ips.1.into()), (1067, 68), &[2, 1, 6, 0]);
    stopped(&ipv4((ALL, A), ips, UDP, &offer), "an offer");
}

#[test]
fn a_dhcpv6_server_is_known_by_whom_it_speaks_to() {
    let ips = (link_local(A), link_local(B));
    let advertise = udp((ips.0.into(), ips.1.into()), (1547, 546), &[2, 0, 0, 1]);
    stopped(&ipv6((B, A), ips, UDP, &advertise), "an advertisement");
}

// services/guard/addresses.rs, ipv4: a later fragment's bytes are read as a UDP header.
#[test]
fn a_later_fragment_from_nobody_is_no_dhcp_client() {
    let (mut lab, a, b) = two();
    lab.port_with(&a, |port| port.addresses = Some(Vec::new()));
    let ips = (Ipv4Addr::UNSPECIFIED, v4("10.1.1.9"));
    lab.send(
        &a,
        &ipv4_part((B, A), ips, UDP, 0x0001, &[0, 68, 0, 67, 1, 2, 3, 4]),
    );
    assert!(lab.received(&b).is_empty());
}
// The same in ipv6: a later fragment from `::` whose bytes begin like a listener report.
#[test]
fn a_later_fragment_from_nobody_is_no_listener_report() {
    let (mut lab, a, b) = two();
    lab.port_with(&a, |port| port.addresses = Some(Vec::new()));
    let payload = [ICMPV6, 0, 0, 8, 0, 0, 0, 9, 143, 0, 0, 0, 0, 0, 0, 0];
    lab.send(
        &a,
        &ipv6(
            (B, A),
            (Ipv6Addr::UNSPECIFIED, v6("2001:db8::9")),
            FRAGMENT,
            &payload,
        ),
    );
    assert!(lab.received(&b).is_empty());
}

// tables/src/rate.rs: a full bucket lets anything through, also with a burst of 0.
#[test]
fn a_storm_limit_of_none_lets_none_through() {
    let (mut lab, a, b) = two();
    lab.port_with(&a, |port| port.storm.broadcast = 0);
    lab.send(&a, &sim::ethernet(ALL, A));
    assert!(lab.received(&b).is_empty(), "{:?}", lab.moved());
}

// services/learn.rs: a station that was silent for too long, and was not swept yet, counts against
// itself: with "stations": 1 the guest's own first frame after a rest is refused, and told of.
#[test]
fn a_station_that_comes_back_is_not_one_too_many() {
    let mut lab = Lab::with(sim::Setup::default());
    lab.network_with(VNET, |network| network.aging_s = 1, |_| ());
    let a = lab.guest(0, VNET);
    lab.guest(0, VNET);
    lab.port_with(&a, |port| port.stations = 1);
    lab.send(&a, &sim::ethernet(ALL, A));
    lab.wait(Duration::from_secs(2)); // the worker slept: nothing was swept
    lab.moved();
    lab.send(&a, &sim::ethernet(ALL, A));
    assert_eq!(lab.events(0), []);
    assert!(!lab.moved()[0].contains("port_full"));
}

// services/suppress.rs: facts do not know behind which VLAN tag they were heard, and are told
// behind any other.
#[test]
fn what_was_heard_in_one_vlan_is_not_told_in_another() {
    let mut lab = Lab::new(2, VNET);
    let (a, b, other) = (lab.guest(0, VNET), lab.guest(0, VNET), lab.guest(0, VNET));
    let address = v4("10.0.0.1");
    let said = who_has((b.mac, address), address);
    lab.send(&b, &tagged(&said, &[(0x8100, 5)]));
    lab.received(&other);
    let asked = who_has((a.mac, v4("10.0.0.9")), address);
    lab.send(&a, &tagged(&asked, &[(0x8100, 6)]));
    assert_eq!(lab.received(&other).len(), 1, "{:?}", lab.received(&a));
}

// services/suppress.rs, note: what peers say is not limited by network, so the guests of one
// network fill the table of all.
#[test]
fn the_addresses_of_one_network_leave_room_for_the_others() {
    let mut lab = Lab::with(sim::Setup::default());
    lab.network_with(VNET, |network| network.stations = 16, |_| ());
    lab.network(8);
    let b = lab.guest(0, VNET);
    let c = lab.guest(0, 8);
    let (us, peer) = (lab.address(0), lab.address(1));
    let stranger = [2, 0, 0, 0, 0, 0x66];
    for n in 0..6000u32 {
        let ip = Ipv4Addr::from(0x0a01_0000 + n);
        let said = is_at((stranger, ip), (b.mac, v4("10.9.9.9")));
        lab.arrive_quietly(0, &sim::gre(peer, us, VNET, &said));
        lab.step();
        lab.received(&b);
    }
    lab.settle();
    lab.received(&b);
    lab.moved();
    for n in 0..8 {
        let ip = Ipv4Addr::from(0x0a01_0000 + n);
        lab.send(&c, &who_has((c.mac, ip), ip));
    }
    assert!(!lab.moved()[0].contains("neighbours_full"));
}

// services/decap/fragments.rs, hold: who sent a fragment is not asked before it is kept, so strangers
// on the underlay take the places of peers. (Any tunnel to the source at all would be enough.)
#[test]
fn fragments_of_strangers_take_no_room_from_peers() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    let (us, peer) = (lab.address(0), lab.address(1));
    let inner = sim::ethernet(a.mac, [2, 0, 0, 0, 0, 0x66]);
    let part = |from: Ipv4Addr, first: bool| {
        let mut whole = sim::gre(from, us, VNET, &inner);
        if first {
            whole.truncate(34 + 40);
        } else {
            whole.drain(34..34 + 40);
        }
        let total = u16::try_from(whole.len() - 14).unwrap();
        let field = if first { 0x2000 } else { 40 / 8 };
        for (at, word) in [(16, total), (18, 9), (20, field), (24, 0)] {
            whole[at..at + 2].copy_from_slice(&u16::to_be_bytes(word));
        }
        let sum = wire::checksum::of(&whole[14..34]);
        whole[24..26].copy_from_slice(&sum.to_be_bytes());
        whole
    };
    lab.arrive_quietly(0, &part(peer, true));
    lab.step();
    for n in 1..=100 {
        lab.arrive_quietly(0, &part(Ipv4Addr::new(192, 0, 2, n), true));
    }
    lab.step();
    lab.arrive_quietly(0, &part(peer, false));
    lab.step();
    lab.step();
    assert_eq!(lab.received(&a).len(), 1);
}

#[allow(dead_code)]
#[test]
fn nobody_steals_a_station_that_a_program_names() {
    let mut lab = Lab::new(2, VNET);
    let (victim, other) = (lab.guest(0, VNET), lab.guest(0, VNET));
    let thief = lab.guest_as(0, VNET, Speaks::Any, [2, 0, 0, 0, 0, 9]);
    lab.send(&victim, &ethernet(ALL, victim.mac));
    for n in 0..20 {
        lab.send(&thief, &ethernet(other.mac, victim.mac));
        if n % 2 == 0 {
            lab.send(&victim, &ethernet(other.mac, victim.mac));
        }
        for guest in [&victim, &thief] {
            lab.received(guest);
        }
        lab.send(&other, &ethernet(victim.mac, other.mac));
        let got = (lab.received(&victim).len(), lab.received(&thief).len());
        assert_eq!(got, (1, 0), "round {n}");
    }
}

#[test]
fn of_two_who_fight_for_an_address_the_first_keeps_it() {
    let mut lab = Lab::new(2, VNET);
    let mac = [2, 0, 0, 0, 0, 0x70];
    let first = lab.guest_as(0, VNET, Speaks::Any, mac);
    let second = lab.guest_as(0, VNET, Speaks::Any, [2, 0, 0, 0, 0, 0x71]);
    let other = lab.guest(0, VNET);
    lab.send(&first, &ethernet(ALL, mac));
    for _ in 0..30 {
        lab.send(&second, &ethernet(other.mac, mac));
        lab.send(&first, &ethernet(other.mac, mac));
    }
    lab.send(&second, &ethernet(other.mac, mac));
    for guest in [&first, &second] {
        lab.received(guest);
    }
    lab.send(&other, &ethernet(mac, other.mac));
    let got = (lab.received(&first).len(), lab.received(&second).len());
    assert_eq!(got, (1, 0));
}

#[test]
fn a_peer_that_began_its_numbers_anew_is_heard_and_a_forged_number_shuts_nobody_out() {
    let mut lab = Lab::with(sim::Setup::default());
    let ordered = |tunnel: &mut program::TunnelProgram| {
        tunnel.sequence = program::Sequence::Ordered;
    };
    lab.network_with(VNET, |_| (), ordered);
    let guest = lab.guest(0, VNET);
    let (us, peer) = (lab.address(0), lab.address(1));
    let mut came = |numbers: core::ops::Range<u32>| {
        for number in numbers {
            let mut header = vec![0x30, 0, 0x65, 0x58, 0, 0, 0, 7];
            header.extend(number.to_be_bytes());
            let inner = ethernet(ALL, [2, 0, 0, 0, 0, 0x66]);
            lab.arrive(0, &sim::gre_with(peer, us, &header, &inner));
        }
        lab.received(&guest).len()
    };
    assert_eq!(came(100_000..100_010), 10);
    // One is lost to find out that it began anew.
    assert_eq!(came(0..50), 49);
    let forged = 50u32.wrapping_add((1 << 31) - 2);
    assert_eq!(came(forged..forged + 1), 1);
    assert_eq!(came(50..100), 49);
}

#[test]
fn copies_that_do_not_fit_are_not_answered_in_a_stations_name() {
    let mut lab = Lab::with(sim::Setup {
        hosts: 3,
        mtu: 1500,
        ..sim::Setup::default()
    });
    lab.network(VNET);
    let (a, x) = (lab.guest(0, VNET), lab.guest(2, VNET));
    // x is silent; on host 1 somebody has a smaller interface.
    let small = lab.guest(1, VNET);
    let (host, _) = lab.host(1);
    host.grow(&small.name, 1000);
    lab.wait(Duration::from_secs(1));
    let ips = (v4("10.0.0.1"), v4("10.0.0.2"));
    lab.send(
        &a,
        &sim::ipv4((x.mac, a.mac), ips, Protocol::UDP, &[0; 1200]),
    );
    lab.received(&x);
    assert!(lab.received(&a).is_empty(), "nobody speaks for x");
    lab.send(&a, &ethernet(x.mac, a.mac));
    assert_eq!(lab.received(&x).len(), 1, "x is where it is");
}
