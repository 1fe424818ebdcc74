//! More than one worker: every network has one home, wherever its packets come in.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use sim::{Guest, Lab, Setup, Weather, ethernet};
use switch::DropReason;

const ALL: [u8; 6] = [0xff; 6];

fn lab(workers: u16, queues: u32) -> Lab {
    Lab::with(Setup {
        workers,
        queues,
        ..Setup::default()
    })
}

/// Every network of `vnets` has a guest on each host, and they talk both ways.
fn everybody_talks(lab: &mut Lab, vnets: impl Iterator<Item = u32>) {
    for vnet in vnets {
        lab.network(vnet);
        let (a, b) = (lab.guest(0, vnet), lab.guest(1, vnet));
        lab.send(&a, &ethernet(ALL, a.mac));
        lab.send(&b, &ethernet(a.mac, b.mac));
        lab.send(&a, &ethernet(b.mac, a.mac));
        assert_eq!(lab.received(&a), [ethernet(a.mac, b.mac)], "vnet {vnet}");
        assert_eq!(
            lab.received(&b),
            [ethernet(ALL, a.mac), ethernet(b.mac, a.mac)],
            "vnet {vnet}"
        );
    }
}

#[test]
fn networks_are_spread_over_workers_and_all_are_reached() {
    for (workers, queues) in [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 8), (1, 4)] {
        everybody_talks(&mut lab(workers, queues), 100..112);
    }
}

#[test]
fn a_ring_between_workers_that_is_full_drops_by_name() {
    let mut lab = Lab::with(Setup {
        workers: 2,
        ..Setup::default()
    });
    let far = (0..64).map(|vnet| {
        lab.network(vnet);
        let guest = lab.guest(0, vnet);
        (guest, home(&mut lab, vnet))
    });
    // The one queue of the underlay is worker 0's: this network's packets go over the ring.
    let guests: Vec<(Guest, u16)> = far.take(16).collect();
    let (guest, _) = guests.iter().find(|(_, home)| *home == 1).unwrap().clone();
    let (from, to) = (lab.address(1), lab.address(0));
    let packet = sim::gre(
        from,
        to,
        guest.vnet,
        &ethernet(guest.mac, [2, 9, 9, 9, 9, 9]),
    );
    lab.moved();
    for _ in 0..1000 {
        lab.arrive_quietly(0, &packet);
    }
    let (host, now) = lab.host(0);
    for _ in 0..32 {
        host.turn(0, now); // only the worker that hands over: the other one hangs
    }
    lab.settle();
    let name = DropReason::HandOffFull.name();
    let moved = lab.moved();
    let underlay = moved
        .iter()
        .find(|line| line.starts_with("h0 underlay"))
        .unwrap();
    assert_eq!(
        underlay,
        &format!("h0 underlay under: received 1000, sent 512, {name} 488")
    );
    assert_eq!(lab.received(&guest).len(), 512);
}

#[test]
fn frames_sent_for_another_worker_are_credited_to_whom_they_came_from() {
    let mut lab = lab(2, 1);
    let vnet = (0..64).find(|vnet| {
        lab.network(*vnet);
        home(&mut lab, *vnet) == 1
    });
    let vnet = vnet.unwrap();
    let a = lab.guest(0, vnet);
    lab.moved();
    lab.send(&a, &ethernet(ALL, a.mac));
    let own: Vec<_> = lab
        .moved()
        .into_iter()
        .filter(|line| line.starts_with("h0"))
        .collect();
    let network = format!("h0 vnet {vnet}: received 1, sent 1, transmitted 1");
    let port = format!("h0 {}: received 1, sent 1", a.name);
    assert_eq!(
        own,
        [port, "h0 underlay under: transmitted 1".to_owned(), network]
    );
}

#[test]
fn workers_that_stall_lose_nothing_but_time() {
    let mut lab = Lab::with(Setup {
        workers: 3,
        queues: 2,
        seed: 11,
        weather: Weather {
            stalled: 900,
            ..Weather::default()
        },
        ..Setup::default()
    });
    everybody_talks(&mut lab, 1..5);
}

fn home(lab: &mut Lab, vnet: u32) -> u16 {
    let (host, now) = lab.host(0);
    let report = host.show(program::report::Subject::Networks, now);
    let program::report::Report::Networks(networks) = report else {
        panic!("networks were asked for")
    };
    let network = networks.iter().find(|network| network.vnet.0 == vnet);
    network.map(|network| network.worker).unwrap()
}

#[test]
fn a_worker_that_hangs_is_noticed_and_said() {
    let mut lab = lab(2, 1);
    let (host, mut now) = lab.host(0);
    let looks = (0..100).find(|_| {
        now = now + std::time::Duration::from_millis(200);
        host.turn(0, now);
        host.look(now).is_err() // worker 1 takes no turn
    });
    assert!(
        looks.is_some_and(|looks| looks > 10),
        "after {looks:?} looks"
    );
}
