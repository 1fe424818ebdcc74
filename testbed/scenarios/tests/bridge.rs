//! One network over several hosts: learning, flooding, and what keeps them in bounds.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use program::report::{Report, Subject};
use program::{Id, Kind, Name, Speaks};
use sim::{Guest, Lab, ethernet};
use std::time::Duration;

const VNET: u32 = 5001;
const ALL: [u8; 6] = [0xff; 6];

#[test]
fn a_first_frame_is_flooded_and_its_answer_is_not() {
    let mut lab = Lab::new(3, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));

    lab.send(&a, &ethernet(b.mac, a.mac));
    assert_eq!(
        lab.wire(),
        [
            "10.0.0.1 > 10.0.0.2 gre key 5001 | eth 01 > 02, 60 bytes",
            "10.0.0.1 > 10.0.0.3 gre key 5001 | eth 01 > 02, 60 bytes",
        ]
    );
    assert_eq!(lab.received(&b), [ethernet(b.mac, a.mac)]);
    assert_eq!(
        lab.moved(),
        [
            "h0 g0-1: received 1, copied 1, sent 2",
            "h0 underlay under: transmitted 2",
            "h0 vnet 5001: received 1, copied 1, sent 2, transmitted 2",
            "h1 g1-1: transmitted 1",
            "h1 underlay under: received 1, sent 1",
            "h1 vnet 5001: received 1, sent 1, transmitted 1",
            "h2 underlay under: received 1, alone 1",
            "h2 vnet 5001: received 1, alone 1",
        ]
    );

    lab.send(&b, &ethernet(a.mac, b.mac));
    assert_eq!(
        lab.wire(),
        ["10.0.0.2 > 10.0.0.1 gre key 5001 | eth 02 > 01, 60 bytes"]
    );
    assert_eq!(lab.received(&a), [ethernet(a.mac, b.mac)]);
}

#[test]
fn guests_of_one_host_meet_without_a_tunnel() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    lab.send(&b, &ethernet(ALL, b.mac));
    lab.wire();
    lab.moved();

    lab.send(&a, &ethernet(b.mac, a.mac));
    assert_eq!(lab.received(&b), [ethernet(b.mac, a.mac)]);
    assert!(lab.wire().is_empty());
    assert_eq!(
        lab.moved(),
        [
            "h0 g0-1: received 1, sent 1",
            "h0 g0-2: transmitted 1",
            "h0 vnet 5001: received 1, sent 1, transmitted 1",
        ]
    );
}

#[test]
fn two_networks_with_the_same_addresses_never_meet() {
    let mut lab = Lab::new(2, 1);
    lab.network(2);
    let same = |lab: &mut Lab, vnet| -> [Guest; 2] {
        [0, 1].map(|host| {
            let mac = [2, 0, 0, 0, 0, 0xa0 + u8::try_from(host).unwrap()];
            lab.guest_as(host, vnet, Speaks::As(program::Mac(mac)), mac)
        })
    };
    let [a1, b1] = same(&mut lab, 1);
    let [a2, b2] = same(&mut lab, 2);
    for round in 0..3 {
        lab.send(
            &a1,
            &ethernet(if round == 0 { ALL } else { b1.mac }, a1.mac),
        );
        lab.send(&b1, &ethernet(a1.mac, b1.mac));
    }
    assert_eq!(lab.received(&b1).len(), 3);
    assert_eq!(lab.received(&a1).len(), 3);
    assert!(lab.received(&a2).is_empty() && lab.received(&b2).is_empty());
    assert!(lab.wire().iter().all(|line| line.contains("gre key 1 ")));
}

#[test]
fn every_key_is_a_network_zero_and_the_last_included() {
    for vnet in [0, 1, 4095, 1 << 31, u32::MAX] {
        let mut lab = Lab::new(2, vnet);
        let (a, b) = (lab.guest(0, vnet), lab.guest(1, vnet));
        lab.send(&a, &ethernet(b.mac, a.mac));
        assert_eq!(lab.received(&b).len(), 1, "key {vnet}");
        let key = format!("gre key {vnet} ");
        assert!(lab.wire()[0].contains(&key), "key {vnet}");
    }
}

#[test]
fn a_station_that_moved_is_found_where_it_spoke_last() {
    let mut lab = Lab::new(3, VNET);
    let a = lab.guest(0, VNET);
    let before = lab.guest_as(1, VNET, Speaks::Any, [2, 0, 0, 0, 0, 0x77]);
    let after = lab.guest_as(2, VNET, Speaks::Any, [2, 0, 0, 0, 0, 0x77]);

    lab.send(&before, &ethernet(ALL, before.mac));
    lab.send(&a, &ethernet(before.mac, a.mac));
    assert_eq!(lab.received(&before).len(), 1);

    lab.send(&after, &ethernet(ALL, after.mac));
    lab.received(&before);
    lab.received(&after);
    lab.wire();
    lab.send(&a, &ethernet(after.mac, a.mac));
    assert_eq!(
        lab.wire(),
        ["10.0.0.1 > 10.0.0.3 gre key 5001 | eth 01 > 77, 60 bytes"]
    );
    assert_eq!(lab.received(&after), [ethernet(after.mac, a.mac)]);
    assert!(lab.received(&before).is_empty());
}

#[test]
fn a_silent_station_is_forgotten_and_flooded_to() {
    let mut lab = Lab::new(2, VNET);
    let (a, b, other) = (lab.guest(0, VNET), lab.guest(0, VNET), lab.guest(0, VNET));
    lab.send(&b, &ethernet(ALL, b.mac));
    lab.received(&other);

    lab.wait(Duration::from_secs(290));
    lab.send(&a, &ethernet(b.mac, a.mac));
    assert!(lab.received(&other).is_empty(), "still known");

    lab.wait(Duration::from_secs(302));
    lab.send(&a, &ethernet(b.mac, a.mac));
    assert_eq!(lab.received(&other).len(), 1, "flooded");
}

#[test]
fn what_comes_from_a_peer_goes_to_no_peer() {
    let mut lab = Lab::new(3, VNET);
    let b = lab.guest(2, VNET);
    lab.send(&b, &ethernet(ALL, b.mac)); // host 0 learns that b is behind host 2
    lab.wire();
    lab.moved();

    let (from, to) = (lab.address(1), lab.address(0));
    let stranger = [2, 0, 0, 0, 0, 0x66];
    lab.arrive(0, &sim::gre(from, to, VNET, &ethernet(b.mac, stranger)));
    assert!(lab.wire().is_empty());
    assert_eq!(
        lab.moved(),
        [
            "h0 underlay under: received 1, split_horizon 1",
            "h0 vnet 5001: received 1, split_horizon 1",
        ]
    );
}

#[test]
fn what_bridges_keep_to_themselves_is_never_flooded() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    for last in 0..=0x0f {
        lab.send(&a, &ethernet([1, 0x80, 0xc2, 0, 0, last], a.mac));
    }
    assert!(lab.received(&b).is_empty() && lab.wire().is_empty());
    assert_eq!(
        lab.moved(),
        [
            "h0 g0-1: received 16, link_local 16",
            "h0 vnet 5001: received 16, link_local 16",
        ]
    );
    lab.send(&a, &ethernet([1, 0x80, 0xc2, 0, 0, 0x10], a.mac));
    assert_eq!(
        lab.received(&b).len(),
        1,
        "the next address is a group like any other"
    );

    let (from, to) = (lab.address(1), lab.address(0));
    let bpdu = ethernet([1, 0x80, 0xc2, 0, 0, 0], [2, 0, 0, 0, 0, 0x66]);
    lab.arrive(0, &sim::gre(from, to, VNET, &bpdu));
    assert!(lab.received(&a).is_empty() && lab.received(&b).is_empty());
}

#[test]
fn a_withdrawn_port_is_gone_and_its_station_is_flooded_to() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    lab.send(&b, &ethernet(ALL, b.mac));
    lab.send(&a, &ethernet(b.mac, a.mac));
    lab.wire();

    let id = Id {
        kind: Kind::Port,
        name: Name::try_from(b.name.clone()).unwrap(),
    };
    let (host, now) = lab.host(0);
    host.withdraw(id, now).unwrap();
    lab.send(&a, &ethernet(b.mac, a.mac));
    assert_eq!(lab.wire().len(), 1, "flooded to the peer, who may know");
    let (host, now) = lab.host(0);
    let Report::Stations(stations) = host.show(Subject::Stations, now) else {
        panic!("stations were asked for")
    };
    let behind: Vec<_> = stations.iter().map(|s| s.behind.as_str()).collect();
    assert_eq!(
        behind,
        ["port g0-1"],
        "what was behind the port is shown no more"
    );
}

#[test]
fn an_interface_that_goes_and_comes_back_is_taken_again() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    lab.unplug(0, &b.name);
    lab.send(&a, &ethernet(ALL, a.mac));
    let (host, now) = lab.host(0);
    let Report::Ports(ports) = host.show(Subject::Ports, now) else {
        panic!("ports were asked for")
    };
    let state = |name: &str| {
        let port = ports.iter().find(|port| port.name.as_str() == name);
        port.map(|port| port.state.clone()).unwrap_or_default()
    };
    assert_eq!(state(&a.name), "up");
    assert_eq!(
        state(&b.name),
        format!("there is no interface `{}`", b.name)
    );

    lab.plug(0, &b.name, 1500);
    lab.send(&a, &ethernet(ALL, a.mac));
    assert_eq!(lab.received(&b).len(), 1);
}

#[test]
fn ports_replaced_at_once_do_not_inherit_what_the_old_ones_still_send() {
    use program::link::Request;
    use program::{Epoch, Interface, PortProgram, Program, Step, Vnet};

    let mut lab = Lab::new(2, 1);
    lab.network(2);
    // More than half of the slots there are: the new ports cannot have slots of their own yet.
    let old: Vec<Guest> = (0..40).map(|_| lab.guest(0, 1)).collect();
    for guest in &old {
        for _ in 0..50 {
            lab.offer(guest, &ethernet(ALL, guest.mac));
        }
    }
    let mut steps: Vec<Step> = Vec::new();
    for guest in &old {
        let id = Id {
            kind: Kind::Port,
            name: Name::try_from(guest.name.clone()).unwrap(),
        };
        let epoch = Epoch(1000);
        steps.push(Step::Withdraw { epoch, id });
    }
    for n in 0..40 {
        let name = format!("new{n}");
        lab.plug(0, &name, 1500);
        steps.push(Step::Put {
            epoch: Epoch(1000),
            program: Program::Port(PortProgram::new(
                Name::try_from(name.clone()).unwrap(),
                Vnet(2),
                Interface::try_from(name).unwrap(),
                Speaks::Any,
            )),
        });
    }
    let (host, now) = lab.host(0);
    host.ask(Request::Apply { steps }, now);
    lab.settle();
    let (host, now) = lab.host(0);
    let ledgers = host.counters(now);
    assert_eq!(
        ledgers.vnets[&Vnet(2)].received,
        0,
        "no guest of vnet 2 has sent"
    );
    lab.wait(Duration::from_secs(1));
    let (host, now) = lab.host(0);
    let Report::Ports(ports) = host.show(Subject::Ports, now) else {
        panic!("ports were asked for")
    };
    let up = ports.iter().filter(|port| port.state == "up").count();
    assert_eq!(
        up, 41,
        "the underlay and every new port, once there was room"
    );
}

#[test]
fn the_longest_frame_goes_between_workers_and_to_the_peer() {
    let mut lab = Lab::with(sim::Setup {
        workers: 2,
        queues: 1,
        mtu: 9000,
        ..sim::Setup::default()
    });
    for vnet in 0..4 {
        lab.network(vnet);
        let (a, b) = (lab.guest(0, vnet), lab.guest(1, vnet));
        lab.host(0).0.grow(&a.name, 9000);
        lab.host(1).0.grow(&b.name, 9000);
        lab.wait(Duration::from_secs(1));
        for (len, arrives) in [(1750, true), (1751, false)] {
            let mut frame = ethernet(ALL, a.mac);
            frame.resize(len, 7);
            lab.send(&a, &frame);
            assert_eq!(
                !lab.received(&b).is_empty(),
                arrives,
                "vnet {vnet}, {len} bytes"
            );
        }
    }
}
