//! Every limit is reached, counted, and told where somebody may want to know.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod packets;

use packets::*;
use program::{NetworkProgram, PortProgram, Speaks};
use sim::{Guest, Lab, Setup, ethernet, gre};
use std::net::Ipv4Addr;
use std::time::Duration;

const VNET: u32 = 7;
const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 0x77];
const UNHEARD: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// The `n`th of many stations.
fn station(n: usize) -> [u8; 6] {
    let [.., a, b, c] = n.to_be_bytes();
    [2, 0xee, 0, a, b, c]
}

/// Two guests of one host, and a network of which `say` says more. The first one's port speaks as
/// anybody, and `limit` limits it.
fn two(
    say: impl Fn(&mut NetworkProgram),
    limit: impl FnOnce(&mut PortProgram),
) -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(Setup::default());
    lab.network_with(VNET, say, |_| ());
    let a = lab.guest_as(0, VNET, Speaks::Any, [2, 0, 0, 0, 0, 1]);
    let b = lab.guest_as(0, VNET, Speaks::Any, [2, 0, 0, 0, 0, 2]);
    lab.port_with(&a, limit);
    lab.moved();
    (lab, a, b)
}

/// The guest sends `count` frames at once; how many the other guest receives.
fn burst(lab: &mut Lab, (a, b): (&Guest, &Guest), frame: &[u8], count: usize) -> usize {
    for _ in 0..count {
        assert!(lab.offer(a, frame));
    }
    lab.settle();
    lab.wire();
    lab.received(b).len()
}

/// What moved in one ledger since this was last asked.
fn moved(lab: &mut Lab, ledger: &str) -> String {
    let lines = lab.moved();
    let line = lines
        .iter()
        .find_map(|line| line.strip_prefix(ledger)?.strip_prefix(": "));
    line.unwrap_or_default().to_owned()
}

/// The kinds of events that are told, with how often each was.
fn kinds(lab: &mut Lab) -> Vec<String> {
    let events = lab.events(0);
    events.into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn what_a_port_floods_is_limited_by_kind_and_given_back_with_time() {
    for (kind, to, name) in [
        (0, ALL, "storm_broadcast"),
        (1, GROUP, "storm_multicast"),
        (2, UNHEARD, "storm_unknown"),
    ] {
        let (mut lab, a, b) = two(
            |_| (),
            |port| {
                let limit = [
                    &mut port.storm.broadcast,
                    &mut port.storm.multicast,
                    &mut port.storm.unknown,
                ];
                *limit.into_iter().nth(kind).unwrap() = 1000; // so 100 at once
            },
        );
        let frame = ethernet(to, a.mac);
        assert_eq!(burst(&mut lab, (&a, &b), &frame, 300), 100, "{name}");
        // One frame is counted, not its two copies.
        let expected = format!("h0 g0-1: received 300, copied 100, sent 200, {name} 200");
        assert_eq!(lab.moved()[0], expected);

        lab.wait(Duration::from_millis(50));
        assert_eq!(
            burst(&mut lab, (&a, &b), &frame, 300),
            50,
            "{name}: half of it is back"
        );
        lab.wait(Duration::from_secs(100));
        assert_eq!(
            burst(&mut lab, (&a, &b), &frame, 300),
            100,
            "{name}: no more than all"
        );

        // The other kinds, other ports, and what is not flooded are not held to it.
        for other in [ALL, GROUP, UNHEARD]
            .into_iter()
            .filter(|other| *other != to)
        {
            assert_eq!(burst(&mut lab, (&a, &b), &ethernet(other, a.mac), 50), 50);
        }
        assert_eq!(burst(&mut lab, (&b, &a), &ethernet(to, b.mac), 50), 50);
        assert_eq!(burst(&mut lab, (&a, &b), &ethernet(b.mac, a.mac), 300), 300);
        assert!(lab.events(0).is_empty());
    }
}

#[test]
fn a_storm_lasts_at_its_rate() {
    let (mut lab, a, b) = two(|_| (), |port| port.storm.broadcast = 200); // so 20 at once
    let mut came = 0;
    for _ in 0..200 {
        lab.wait(Duration::from_millis(50));
        came += burst(&mut lab, (&a, &b), &ethernet(ALL, a.mac), 30);
    }
    // 200 a second for 10 s, and the 20 at once that were there before.
    assert!((2000 - 20..=2000 + 20).contains(&came), "{came}");
}

#[test]
fn what_a_peer_floods_was_limited_where_its_guest_is() {
    let (mut lab, a, b) = two(|_| (), |port| port.storm.broadcast = 10);
    let (us, peer) = (lab.address(0), lab.address(1));
    for to in [ALL, GROUP, UNHEARD] {
        let packet = gre(peer, us, VNET, &ethernet(to, [2, 0, 0, 0, 0, 0x66]));
        for _ in 0..1500 {
            lab.arrive_quietly(0, &packet);
        }
        lab.settle();
        assert_eq!(lab.received(&a).len(), 1500);
        assert_eq!(lab.received(&b).len(), 1500);
    }
}

#[test]
fn a_network_floods_what_its_program_says() {
    for (kind, to) in [ALL, GROUP, UNHEARD].into_iter().enumerate() {
        let say = |network: &mut NetworkProgram| {
            let flood = &mut network.flood;
            let floods = [
                &mut flood.broadcast,
                &mut flood.multicast,
                &mut flood.unknown,
            ];
            *floods.into_iter().nth(kind).unwrap() = false;
        };
        let (mut lab, a, b) = two(say, |_| ());
        lab.send(&a, &ethernet(to, a.mac));
        assert!(lab.received(&b).is_empty() && lab.wire().is_empty());
        let expected = ["h0 g0-1", "h0 vnet 7"].map(|l| format!("{l}: received 1, not_flooded 1"));
        assert_eq!(lab.moved(), expected);
        // Neither from a peer.
        let packet = gre(
            lab.address(1),
            lab.address(0),
            VNET,
            &ethernet(to, [2, 0, 0, 0, 0, 0x66]),
        );
        lab.arrive(0, &packet);
        assert!(lab.received(&a).is_empty());
        let expected =
            ["h0 underlay under", "h0 vnet 7"].map(|l| format!("{l}: received 1, not_flooded 1"));
        assert_eq!(lab.moved(), expected);

        for other in [ALL, GROUP, [2, 0, 0, 0, 0, 0x78]].into_iter().enumerate() {
            if other.0 != kind {
                assert_eq!(burst(&mut lab, (&a, &b), &ethernet(other.1, a.mac), 1), 1);
            }
        }
    }
}

#[test]
fn a_station_that_was_heard_is_reached_without_flooding() {
    let (mut lab, a, b) = two(|network| network.flood.unknown = false, |_| ());
    assert_eq!(burst(&mut lab, (&a, &b), &ethernet(b.mac, a.mac), 1), 0);
    lab.send(&b, &ethernet(ALL, b.mac));
    assert_eq!(burst(&mut lab, (&a, &b), &ethernet(b.mac, a.mac), 1), 1);
}

/// Lets time pass in small steps, so that the sweep comes round.
fn sweep(lab: &mut Lab) {
    for _ in 0..200 {
        lab.wait(Duration::from_millis(1));
    }
}

#[test]
fn behind_a_port_are_as_many_stations_as_it_may_have() {
    let (mut lab, a, b) = two(|network| network.aging_s = 10, |port| port.stations = 4);
    for n in 0..4 {
        lab.send(&a, &ethernet(ALL, station(n)));
    }
    assert!(lab.moved().iter().all(|line| !line.contains("full")));
    for n in 4..7 {
        lab.send(&a, &ethernet(ALL, station(n)));
    }
    // They are not learned, but flooded all the same; and all that is told once.
    assert_eq!(lab.received(&b).len(), 7);
    let expected = [
        "h0 g0-1: received 3, copied 3, sent 6, port_full 3",
        "h0 g0-2: transmitted 3",
        "h0 underlay under: transmitted 3",
        "h0 vnet 7: received 3, copied 3, sent 6, transmitted 6, port_full 3",
    ];
    assert_eq!(lab.moved()[..4], expected);
    let told = lab.events(0);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "port_full");
    assert!(
        told[0]
            .1
            .starts_with("port g0-1 has as many stations as it may")
    );

    // Those that are known stay known, and others' ports have room.
    lab.wire();
    for n in 0..4 {
        lab.send(&b, &ethernet(station(n), b.mac));
    }
    assert!(lab.wire().is_empty(), "not flooded");
    assert_eq!(lab.received(&a).len(), 4);
    lab.send(&b, &ethernet(station(4), b.mac));
    assert_eq!(lab.wire().len(), 1, "flooded");

    // Who is silent for long makes room, and when that is taken, it is told again.
    lab.wait(Duration::from_secs(11));
    sweep(&mut lab);
    lab.moved();
    for n in 10..14 {
        lab.send(&a, &ethernet(ALL, station(n)));
    }
    assert_eq!(lab.moved()[0], "h0 g0-1: received 4, copied 4, sent 8");
    assert_eq!(kinds(&mut lab), ["port_full"]);
    lab.send(&a, &ethernet(ALL, station(14)));
    assert_eq!(kinds(&mut lab), ["port_full", "port_full"]);
}

#[test]
fn a_network_has_as_many_stations_as_it_may() {
    let (mut lab, a, b) = two(
        |network| {
            network.aging_s = 10;
            network.stations = 5;
        },
        |_| (),
    );
    let (us, peer) = (lab.address(0), lab.address(1));
    for n in 0..4 {
        let guest = if n < 2 { &a } else { &b };
        lab.send(guest, &ethernet(ALL, station(n)));
    }
    lab.arrive(0, &gre(peer, us, VNET, &ethernet(ALL, station(4))));
    lab.received(&a);
    lab.received(&b);
    lab.moved();
    // Wherever one more is heard, here or behind a peer.
    lab.send(&a, &ethernet(ALL, station(5)));
    assert_eq!(
        lab.moved()[0],
        "h0 g0-1: received 1, copied 1, sent 2, network_full 1"
    );
    lab.arrive(0, &gre(peer, us, VNET, &ethernet(ALL, station(6))));
    let moved = lab.moved();
    let expected = "h0 underlay under: received 1, copied 1, sent 2, network_full 1";
    assert!(moved.contains(&expected.to_owned()), "{moved:?}");
    assert_eq!(
        lab.received(&a).len() + lab.received(&b).len(),
        3,
        "flooded all the same"
    );
    assert_eq!(kinds(&mut lab), ["network_full"]);

    // Another network has its own room.
    lab.network(8);
    let c = lab.guest(0, 8);
    lab.send(&c, &ethernet(ALL, c.mac));
    assert!(lab.moved().iter().all(|line| !line.contains("full")));

    lab.wait(Duration::from_secs(11));
    sweep(&mut lab);
    lab.moved();
    lab.send(&a, &ethernet(ALL, station(5)));
    assert_eq!(lab.moved()[0], "h0 g0-1: received 1, copied 1, sent 2");
}

#[test]
fn a_station_that_moves_is_told_of() {
    let (mut lab, a, b) = two(|_| (), |_| ());
    let mac = station(1);
    lab.send(&a, &ethernet(ALL, mac));
    lab.moved();
    lab.send(&b, &ethernet(ALL, mac));
    let line = moved(&mut lab, "h0 g0-2");
    assert_eq!(line, "received 1, copied 1, sent 2, moved 1");
    let told = lab.events(0);
    let text = "02:ee:00:00:00:01 moved from port g0-1 to port g0-2";
    assert_eq!(told, [("station_moved".to_owned(), text.to_owned())]);
    // To a peer as well.
    let packet = gre(lab.address(1), lab.address(0), VNET, &ethernet(ALL, mac));
    lab.arrive(0, &packet);
    let told = lab.events(0);
    assert_eq!(told.len(), 2);
    assert!(
        told[1]
            .1
            .starts_with("02:ee:00:00:00:01 moved from port g0-2 to "),
        "{told:?}"
    );
}

#[test]
fn a_station_heard_here_and_there_by_turns_stays_for_a_while() {
    let (mut lab, a, b) = two(|_| (), |_| ());
    let asker = lab.guest(0, VNET);
    let mac = station(1);
    let frame = ethernet(ALL, mac);
    lab.send(&a, &frame);
    for turn in 0..10 {
        lab.send(if turn % 2 == 0 { &b } else { &a }, &frame);
    }
    // It has moved to b five times, and back to a, where it was first. From now on it stays there.
    assert_eq!(kinds(&mut lab), ["station_moved"; 10]);
    lab.moved();
    lab.send(&b, &frame);
    let line = "h0 g0-2: received 1, copied 2, sent 3, move_held 1";
    assert_eq!(moved(&mut lab, "h0 g0-2"), line.split_once(": ").unwrap().1);
    for _ in 0..9 {
        lab.send(&b, &frame);
    }
    let line = "h0 g0-2: received 9, copied 18, sent 27, move_held 9";
    assert_eq!(moved(&mut lab, "h0 g0-2"), line.split_once(": ").unwrap().1);
    let told = lab.events(0);
    assert_eq!(told.len(), 11, "told once");
    assert_eq!(told[10].0, "station_held");
    assert!(told[10].1.contains("taken to be behind port g0-1 for 30 s"));

    let found = |lab: &mut Lab| {
        for guest in [&a, &b] {
            lab.received(guest);
        }
        lab.send(&asker, &ethernet(mac, asker.mac));
        (lab.received(&a).len(), lab.received(&b).len())
    };
    assert_eq!(found(&mut lab), (1, 0));
    lab.wait(Duration::from_secs(29));
    lab.send(&b, &frame);
    assert_eq!(found(&mut lab), (1, 0), "after 29 s");
    lab.wait(Duration::from_secs(2));
    lab.moved();
    lab.send(&b, &frame);
    let line = "h0 g0-2: received 1, copied 2, sent 3, moved 1";
    assert_eq!(moved(&mut lab, "h0 g0-2"), line.split_once(": ").unwrap().1);
    assert_eq!(found(&mut lab), (0, 1), "after 31 s");
}

/// How many bytes pass in 10 s, of far more that are offered every 10 ms.
fn passed(lab: &mut Lab, (a, b): (&Guest, &Guest), len: usize, each: usize) -> usize {
    let mut frame = ethernet(b.mac, a.mac);
    frame.resize(len, 0);
    let mut came = 0;
    for _ in 0..1000 {
        for _ in 0..each {
            lab.offer(a, &frame);
        }
        // A step takes 10 us, and at rest is who has nothing to do for some.
        for _ in 0..3 {
            lab.step();
        }
        lab.wait(Duration::from_millis(10));
        came += lab.received(b).len() * len;
    }
    came
}

#[test]
fn a_guest_sends_and_is_sent_no_more_than_its_rate() {
    for to_guest in [false, true] {
        for (mbit, len, each) in [(8, 1000, 30), (80, 1500, 150), (1, 60, 100)] {
            let (mut lab, a, b) = two(|_| (), |_| ());
            lab.send(&b, &ethernet(ALL, b.mac));
            let limited = if to_guest { &b } else { &a };
            lab.port_with(limited, |port| {
                let rate = &mut port.rate;
                let field = if to_guest {
                    &mut rate.to_guest_mbit
                } else {
                    &mut rate.from_guest_mbit
                };
                *field = Some(mbit);
            });
            lab.received(&a);
            lab.moved();
            // What may go at once has gone before it is measured.
            passed_once(&mut lab, (&a, &b), len);
            lab.moved();
            let start = lab.host(0).1;
            let came = passed(&mut lab, (&a, &b), len, each);
            let took = lab.host(0).1.since(start).as_secs_f64();
            let bits = f64::from(u32::try_from(came).unwrap()) * 8.0;
            let expected = f64::from(mbit) * 1e6 * took;
            let off = (bits / expected - 1.0).abs();
            assert!(
                off < 0.01,
                "{mbit} Mbit/s, {len} bytes: {bits} bits in {took} s"
            );
            let offered = each * 1000;
            let name = if to_guest {
                "rate_to_guest"
            } else {
                "rate_from_guest"
            };
            let (sent, dropped) = (came / len, offered - came / len);
            let line = format!("h0 g0-1: received {offered}, sent {sent}, {name} {dropped}");
            assert_eq!(lab.moved()[0], line);
        }
    }
}

/// Sends more at once than may go at once.
fn passed_once(lab: &mut Lab, (a, b): (&Guest, &Guest), len: usize) {
    let mut frame = ethernet(b.mac, a.mac);
    frame.resize(len, 0);
    for _ in 0..1600 {
        lab.offer(a, &frame);
    }
    lab.settle();
    lab.received(b);
}

#[test]
fn what_one_guest_may_be_sent_does_not_hold_up_another() {
    let (mut lab, a, b) = two(|_| (), |_| ());
    let c = lab.guest_as(0, VNET, Speaks::Any, [2, 0, 0, 0, 0, 0x33]);
    lab.port_with(&b, |port| port.rate.to_guest_mbit = Some(1));
    let mut frame = ethernet(ALL, a.mac);
    frame.resize(1000, 0);
    for _ in 0..90 {
        lab.offer(&a, &frame);
    }
    lab.moved();
    lab.settle();
    // 65,536 bytes may go at once, however low the rate.
    assert_eq!((lab.received(&b).len(), lab.received(&c).len()), (65, 90));
    let expected = "h0 g0-1: received 90, copied 180, sent 245, rate_to_guest 25";
    assert_eq!(lab.moved()[0], expected);
}

#[test]
fn a_frame_larger_than_all_that_may_go_at_once_goes_when_nothing_else_has() {
    let (mut lab, a, b) = two(|_| (), |port| port.rate.from_guest_mbit = Some(1));
    let mut frame = ethernet(ALL, a.mac);
    frame.resize(1514, 0);
    // As much as may go at once, and the one that does not fit: it goes once there is room again.
    assert_eq!(burst(&mut lab, (&a, &b), &frame, 60), 65_536 / 1514);
    assert_eq!(burst(&mut lab, (&a, &b), &frame, 1), 0);
    lab.wait(Duration::from_micros(1514 * 8));
    assert_eq!(burst(&mut lab, (&a, &b), &frame, 1), 1);
}

#[test]
fn behind_a_port_are_four_addresses_a_station() {
    let (mut lab, a, b) = two(|network| network.aging_s = 10, |port| port.stations = 2);
    let address = |n: u32| Ipv4Addr::from(0x0a01_0100 + n);
    let say = |lab: &mut Lab, n| {
        let own = address(n);
        lab.send(&a, &is_at((a.mac, own), (b.mac, v4("10.1.1.9"))));
        lab.moved()[0].clone()
    };
    for n in 0..8 {
        let line = say(&mut lab, n);
        assert!(!line.contains("full"), "{line}");
    }
    for n in 8..11 {
        let line = say(&mut lab, n);
        assert!(line.ends_with(", neighbours_full 1"), "{line}");
    }
    // What was noted is told, and what was not is asked for.
    lab.received(&a);
    for n in 0..11 {
        lab.send(&b, &who_has((b.mac, v4("10.1.1.9")), address(n)));
        let asked = lab.received(&a).len();
        assert_eq!(asked, usize::from(n >= 8), "address {n}");
    }
    // Another port has its own room; and there is room again once they were silent for long.
    lab.moved();
    lab.send(&b, &who_has((b.mac, address(20)), address(21)));
    assert!(!lab.moved()[0].contains("neighbours_full"));
    lab.wait(Duration::from_secs(11));
    sweep(&mut lab);
    lab.moved();
    for n in 8..16 {
        let line = say(&mut lab, n);
        assert!(!line.contains("full"), "{line}");
    }
    assert!(say(&mut lab, 16).ends_with(", neighbours_full 1"));
}

#[test]
fn what_is_told_is_limited_and_what_is_not_told_is_counted() {
    let (mut lab, a, b) = two(|_| (), |_| ());
    for n in 0..150 {
        lab.send(&a, &ethernet(a.mac, station(n)));
    }
    lab.moved();
    for n in 0..150 {
        lab.offer(&b, &ethernet(a.mac, station(n)));
    }
    lab.settle();
    // 20 at once are told.
    let line = moved(&mut lab, "h0 vnet 7");
    assert!(line.ends_with(", events_lost 130, moved 150"), "{line}");
    assert_eq!(kinds(&mut lab), ["station_moved"; 20]);
}
