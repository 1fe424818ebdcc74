//! Greyhound on one host, Debian's Open vSwitch on the other.

#![allow(clippy::unwrap_used)] // all of it is test code

mod stage;

use netns::measure::{iperf3, ping};
use netns::{Greyhound, Guest, Lab, Ovs, program, until};
use stage::{FAST, LIMIT, Stage, VNET, balanced, every_size_arrives, first_answer, ping_clean};
use std::time::Duration;

/// Greyhound on `h1`, Open vSwitch on `h2`, `a` and `b` in one network.
fn both(stage: &Stage, vnet: u32) -> (Greyhound, Ovs) {
    let Stage { h1, h2, a, b, .. } = stage;
    let (ours, mut theirs) = (Greyhound::start(h1).unwrap(), Ovs::start(h2).unwrap());
    theirs.bridge("br1", &[b.port()]).unwrap();
    theirs.tunnel("br1", vnet, h1.address()).unwrap();
    ours.apply(&stage::programs(h1, h2, vnet, &[a])).unwrap();
    first_answer(a, b);
    (ours, theirs)
}

#[test]
fn pings_and_ten_seconds_of_tcp_each_way_lose_nothing() {
    let stage = Stage::new("interop test: tcp");
    let (ours, _theirs) = both(&stage, VNET);
    let Stage { a, b, .. } = &stage;
    ping_clean(a, b, 200);
    for args in [&[][..], &["-R"]] {
        let seen = iperf3(b, b.address(), a, 10, args).unwrap();
        assert!(seen.mbit > 20.0, "{args:?} {seen:?}");
    }
    ping_clean(a, b, 20);
    balanced(&ours);
}

#[test]
fn frames_of_every_size_arrive_whole_both_ways() {
    let stage = Stage::new("interop test: sizes");
    let (ours, _theirs) = both(&stage, VNET);
    every_size_arrives(&stage.a, &stage.b);
    every_size_arrives(&stage.b, &stage.a);
    balanced(&ours);
}

#[test]
fn any_key_is_a_network() {
    for key in [0, 1, 4095, 1 << 31, u32::MAX] {
        let stage = Stage::new("interop test: keys");
        let (ours, _theirs) = both(&stage, key);
        ping_clean(&stage.a, &stage.b, 10);
        balanced(&ours);
    }
}

#[test]
fn a_station_that_moves_is_found_where_it_is() {
    let stage = Stage::new("interop test: move");
    let Stage { h1, h2, a, b, lab } = &stage;
    let guest = |host, node| lab.guest(host, node, [10, 0, 0, 3].into(), "02:00:00:00:00:03");
    let (here, there) = (guest(h1, "m1").unwrap(), guest(h2, "m2").unwrap());
    let (ours, theirs) = both(&stage, VNET);
    ours.apply(&[program::port("m1", VNET, here.port(), here.mac())])
        .unwrap();
    theirs.add_port("br1", there.port()).unwrap();
    ours.wait_up(LIMIT).unwrap();

    there.ip("link set eth0 down").unwrap();
    let switch = |from: &Guest, to: &Guest| {
        from.ip("link set eth0 down").unwrap();
        to.ip("link set eth0 up").unwrap();
        first_answer(to, a);
        first_answer(to, b);
        for guest in [a, b] {
            let seen = ping(guest, to.address(), 10, FAST).unwrap();
            assert!(
                seen.is_clean(),
                "{} to {}: {seen:?}",
                guest.node(),
                to.node()
            );
        }
    };
    first_answer(&here, a);
    first_answer(&here, b);
    for _ in 0..3 {
        switch(&here, &there);
        switch(&there, &here);
    }
    balanced(&ours);
}

#[test]
fn a_wrong_key_is_delivered_nowhere_and_counted() {
    let stage = Stage::new("interop test: wrong key");
    let Stage { h1, h2, a, lab, .. } = &stage;
    let stranger = lab
        .guest(h2, "s", [10, 0, 0, 9].into(), "02:00:00:00:00:09")
        .unwrap();
    let (ours, mut theirs) = both(&stage, VNET);
    theirs.bridge("br2", &[stranger.port()]).unwrap();
    theirs.tunnel("br2", VNET + 1, h1.address()).unwrap();

    let before = a.counter("eth0", "rx_packets").unwrap();
    let counted = || ours.dropped("port underlay under", "unknown_key").unwrap();
    until("frames with an unknown key are counted", LIMIT, || {
        let seen = ping(&stranger, a.address(), 1, FAST).unwrap();
        assert_eq!(seen.received, 0);
        counted() > 0
    })
    .unwrap();
    assert_eq!(
        a.counter("eth0", "rx_packets").unwrap(),
        before,
        "a hears nothing of it"
    );
    balanced(&ours);
}

#[test]
fn three_hosts_greyhound_open_vswitch_greyhound_are_one_network() {
    let mut lab = Lab::new("interop test: three hosts").unwrap();
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| lab.host(name).unwrap());
    lab.wire(&[&h1, &h2, &h3]).unwrap();
    let guest = |host, node, last: u8| {
        lab.guest(
            host,
            node,
            [10, 0, 0, last].into(),
            &format!("02:00:00:00:00:0{last}"),
        )
        .unwrap()
    };
    let (a, b, c) = (guest(&h1, "a", 1), guest(&h2, "b", 2), guest(&h3, "c", 3));

    let mut middle = Ovs::start(&h2).unwrap();
    middle.bridge("br1", &[b.port()]).unwrap();
    for remote in [&h1, &h3] {
        // Split horizon, as Open vSwitch has it.
        let tunnel = middle.tunnel("br1", VNET, remote.address()).unwrap();
        middle
            .vsctl(&format!("set port {tunnel} protected=true"))
            .unwrap();
    }
    let (one, other) = (
        Greyhound::start(&h1).unwrap(),
        Greyhound::start(&h3).unwrap(),
    );
    for (greyhound, far, guest) in [(&one, &h3, &a), (&other, &h1, &c)] {
        greyhound
            .apply(&stage::programs(greyhound.host(), far, VNET, &[guest]))
            .unwrap();
        greyhound
            .apply(&[program::tunnel("middle", VNET, h2.address())])
            .unwrap();
    }
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        first_answer(from, to);
        ping_clean(from, to, 20);
    }
    std::thread::sleep(Duration::from_millis(100)); // what is under way comes to rest
    balanced(&one);
    balanced(&other);
}
