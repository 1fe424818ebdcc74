//! Greyhound between two hosts: real XDP, real `AF_XDP` sockets, real network stacks.

#![allow(clippy::unwrap_used)] // all of it is test code

mod stage;

use netns::measure::{iperf3, ping};
use netns::{Greyhound, GuestOptions, Options, program, until};
use stage::{FAST, LIMIT, Stage, VNET, balanced, every_size_arrives, first_answer, ping_clean};
use std::time::Duration;

/// Greyhound on both hosts, `a` and `b` in one network.
fn both(stage: &Stage) -> (Greyhound, Greyhound) {
    let Stage { h1, h2, a, b, .. } = stage;
    let (one, other) = (Greyhound::start(h1).unwrap(), Greyhound::start(h2).unwrap());
    one.apply(&stage::programs(h1, h2, VNET, &[a])).unwrap();
    other.apply(&stage::programs(h2, h1, VNET, &[b])).unwrap();
    one.wait_up(LIMIT).unwrap();
    other.wait_up(LIMIT).unwrap();
    (one, other)
}

#[test]
fn two_hosts_carry_every_ping_tcp_and_every_size_of_frame() {
    let stage = Stage::new("greyhound test: two hosts");
    let (one, other) = both(&stage);
    let Stage { a, b, .. } = &stage;

    first_answer(a, b);
    ping_clean(a, b, 100);
    for args in [&[][..], &["-R"]] {
        let seen = iperf3(b, b.address(), a, 3, args).unwrap();
        assert!(seen.mbit > 50.0, "{args:?} {seen:?}");
    }
    every_size_arrives(a, b);
    every_size_arrives(b, a);
    balanced(&one);
    balanced(&other);
}

#[test]
fn a_port_is_attached_in_native_mode_and_says_what_its_socket_got() {
    let stage = Stage::new("greyhound test: modes");
    let (one, _other) = both(&stage);
    let shown = one.show("ports").unwrap();
    let ports = shown.get("ports").unwrap_or(&shown).as_array().unwrap();
    assert_eq!(ports.len(), 2, "{shown}");
    for port in ports {
        assert_eq!(port["steer"], "native", "{port}");
        assert_eq!(
            port["queues"][0]["mode"], "copy",
            "veth has no zero-copy: {port}"
        );
    }
}

#[test]
fn two_networks_with_the_same_addresses_never_see_each_other() {
    let stage = Stage::new("greyhound test: overlap");
    let Stage { h1, h2, a, b, lab } = &stage;
    let c = lab.guest(h1, "c", a.address(), a.mac()).unwrap();
    let d = lab.guest(h2, "d", b.address(), b.mac()).unwrap();
    let (one, other) = both(&stage);
    for (greyhound, peer, guest) in [(&one, h2, &c), (&other, h1, &d)] {
        let blue = [
            program::network("blue", VNET + 1),
            program::tunnel("blue-peer", VNET + 1, peer.address()),
            program::port(guest.node(), VNET + 1, guest.port(), guest.mac()),
        ];
        greyhound.apply(&blue).unwrap();
        greyhound.wait_up(LIMIT).unwrap();
    }
    first_answer(a, b);
    first_answer(&c, &d);
    c.knows_only(&d).unwrap();
    d.knows_only(&c).unwrap();

    let heard = || [&c, &d].map(|guest| guest.counter("eth0", "rx_packets").unwrap());
    let before = heard();
    ping_clean(a, b, 50);
    ping(a, [10, 0, 0, 99].into(), 2, FAST).unwrap(); // nobody has it: asked for by broadcast
    assert_eq!(heard(), before, "blue hears nothing of red");
    ping_clean(&c, &d, 50);
    balanced(&one);
    balanced(&other);
}

#[test]
fn a_guest_that_speaks_in_anothers_name_is_dropped_and_counted() {
    let stage = Stage::new("greyhound test: spoofed");
    let (one, _other) = both(&stage);
    let Stage { a, b, .. } = &stage;
    first_answer(a, b);

    let receiver = netns::RawPort::open(b, "eth0").unwrap();
    let mut sender = netns::RawPort::open(a, "eth0").unwrap();
    let spoofed = stage::frame("02:00:00:00:00:66", b.mac(), 60);
    for _ in 0..10 {
        sender.send(&spoofed).unwrap();
    }
    until("ten frames are counted as spoofed", LIMIT, || {
        one.dropped("port a", "spoofed").unwrap() == 10
    })
    .unwrap();
    let through = receiver.received_like(1, Duration::from_millis(200), |frame| *frame == spoofed);
    assert_eq!(through, [[0_u8; 0]; 0]);
    balanced(&one);
}

#[test]
fn a_bad_program_changes_nothing_and_names_the_field() {
    let stage = Stage::new("greyhound test: bad program");
    let (one, _other) = both(&stage);
    let before = one.show("ports").unwrap();

    let mut bad = program::port("z", VNET, "p-z", "02:00:00:00:00:09");
    bad["mac"] = "01:00:00:00:00:09".into();
    let refused = one.try_apply(&bad.to_string()).unwrap();
    assert!(!refused.status.success());
    let said = refused.stdout + &refused.stderr;
    assert!(
        said.contains("mac") && said.contains("names no station"),
        "{said}"
    );
    assert_eq!(one.show("ports").unwrap(), before);
    ping_clean(&stage.a, &stage.b, 5);
}

#[test]
fn an_agent_that_restarts_has_its_programs_and_disturbs_nobody() {
    let stage = Stage::new("greyhound test: agent restart");
    let (mut one, _other) = both(&stage);
    let Stage { a, b, .. } = &stage;
    first_answer(a, b);
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(a, b.address(), 150, FAST));
        one.agent().kill().unwrap();
        one.restart_agent().unwrap();
        one.wait_up(LIMIT).unwrap();
        let seen = pings.join().unwrap().unwrap();
        assert!(seen.is_clean(), "{seen:?}");
    });
}

#[test]
fn a_guest_that_leaves_its_checksums_to_a_card_runs_tcp_and_is_told_of() {
    let stage = Stage::new("greyhound test: unfinished checksums");
    let Stage { h1, h2, b, lab, .. } = &stage;
    let leaves = GuestOptions {
        offloads: true,
        ..GuestOptions::default()
    };
    let c = lab.guest_with(h1, "c", [10, 0, 0, 3].into(), "02:00:00:00:00:03", &leaves);
    let c = c.unwrap();
    let (one, other) = (Greyhound::start(h1).unwrap(), Greyhound::start(h2).unwrap());
    one.apply(&stage::programs(h1, h2, VNET, &[&c])).unwrap();
    other.apply(&stage::programs(h2, h1, VNET, &[b])).unwrap();
    one.wait_up(LIMIT).unwrap();
    first_answer(&c, b);
    for args in [&[][..], &["-R"]] {
        let seen = iperf3(b, b.address(), &c, 3, args).unwrap();
        assert!(seen.mbit > 50.0, "{args:?} {seen:?}");
    }
    let shown = one.show("ports").unwrap().to_string();
    assert!(shown.contains("checksums unfinished"), "{shown}");
    balanced(&one);
}

#[test]
fn two_workers_carry_networks_at_home_on_either() {
    let stage = Stage::new("greyhound test: two workers");
    let Stage { h1, h2, a, b, .. } = &stage;
    let options = Options {
        cores: "0,1".into(),
        ..Options::default()
    };
    let one = Greyhound::start_with(h1, &options).unwrap();
    let other = Greyhound::start(h2).unwrap();
    let mut homes = Vec::new();
    for vnet in 0..4 {
        one.apply(&stage::programs(h1, h2, vnet, &[a])).unwrap();
        other.apply(&stage::programs(h2, h1, vnet, &[b])).unwrap();
        one.wait_up(LIMIT).unwrap();
        other.wait_up(LIMIT).unwrap();
        first_answer(a, b);
        ping_clean(a, b, 20);
        every_size_arrives(a, b);
        every_size_arrives(b, a);
        let networks = one.show("networks").unwrap();
        homes.push(networks.as_array().unwrap()[0]["worker"].as_u64().unwrap());
        balanced(&one);
        for documents in [["port", "a"], ["tunnel", "red-peer"], ["network", "red"]] {
            let withdrawn = one
                .command(&["withdraw", documents[0], documents[1]])
                .unwrap();
            assert!(withdrawn.status.success(), "{}", withdrawn.stderr);
        }
        for documents in [["port", "b"], ["tunnel", "red-peer"], ["network", "red"]] {
            let withdrawn = other
                .command(&["withdraw", documents[0], documents[1]])
                .unwrap();
            assert!(withdrawn.status.success(), "{}", withdrawn.stderr);
        }
    }
    assert!(
        homes.contains(&0) && homes.contains(&1),
        "both are home to some: {homes:?}"
    );
}

#[test]
fn what_the_kernel_says_of_the_underlay_is_followed_within_a_second() {
    let stage = Stage::new("greyhound test: the kernel's news");
    let (one, _other) = both(&stage);
    let Stage { h1, h2, a, b, .. } = &stage;
    first_answer(a, b);
    let tunnel = || one.show("tunnels").unwrap()[0].clone();
    let soon = |what: &str, holds: &dyn Fn() -> bool| {
        until(what, Duration::from_secs(1), holds).unwrap_or_else(|e| panic!("{e}: {}", tunnel()));
    };
    soon("the way is known", &|| {
        tunnel()["state"] == "up" && tunnel()["mtu"] == 1600
    });

    h1.ip("link set under0 mtu 1580").unwrap();
    soon("the new MTU is told", &|| tunnel()["mtu"] == 1580);
    let network = one.show("networks").unwrap()[0].clone();
    assert_eq!(network["mtu"], 1580 - 42, "{network}");

    h1.ip("link set under0 down").unwrap();
    soon("there is no way", &|| tunnel()["state"] != "up");
    h1.ip("link set under0 up").unwrap();
    until("the way is back", LIMIT, || tunnel()["state"] == "up").unwrap();
    first_answer(a, b);

    // A route through a gateway: the next hop is the gateway, whoever the peer is.
    let to = format!(
        "route replace {}/32 via {} dev under0 mtu 1500",
        "192.0.2.9",
        h2.address()
    );
    h1.ip(&to).unwrap();
    let far = program::tunnel("far", VNET, [192, 0, 2, 9].into());
    one.apply(&[far]).unwrap();
    let far = || one.show("tunnels").unwrap()[0].clone();
    soon("the far peer is behind the gateway", &|| {
        far()["name"] == "far" && far()["state"] == "up" && far()["mtu"] == 1500
    });
    assert_eq!(
        far()["next_hop"],
        one.show("tunnels").unwrap()[1]["next_hop"]
    );
    h1.ip("route del 192.0.2.9/32").unwrap();
    soon("the far peer is lost", &|| far()["state"] != "up");
    assert_eq!(
        one.show("tunnels").unwrap()[1]["state"],
        "up",
        "the other is not"
    );
}

#[test]
fn a_second_agent_with_nothing_in_its_store_undoes_nothing() {
    let stage = Stage::new("greyhound test: second agent");
    let (one, other) = both(&stage);
    let Stage { h1, a, b, .. } = &stage;
    first_answer(a, b);
    let folder = h1.folder();
    let path = |name: &str| folder.join(name).display().to_string();
    let args = [
        "--socket".to_owned(),
        path("second.sock"),
        "--datapath".to_owned(),
        path("datapath.sock"),
        "--store".to_owned(),
        path("second.redb"),
    ];
    let agent = netns::binary("greyhound-agent").unwrap();
    let second = h1.start("second-agent", agent, &args).unwrap();
    until("the second agent says why it does nothing", LIMIT, || {
        second.stderr().contains("another agent leads")
    })
    .unwrap_or_else(|error| panic!("{error}: {}", second.stderr()));
    ping_clean(a, b, 50);
    assert_eq!(one.port_states().unwrap().len(), 2);
    drop(second);
    balanced(&one);
    balanced(&other);
}
