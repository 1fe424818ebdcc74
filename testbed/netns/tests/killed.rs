//! What SIGKILL of the datapath does: nothing to the host's own traffic, and nothing stays.

#![allow(clippy::unwrap_used)] // all of it is test code

mod stage;

use netns::Greyhound;
use netns::measure::iperf3;
use stage::{LIMIT, Stage, VNET, answers, first_answer, time_until};
use std::thread;
use std::time::Duration;

const TIMES: usize = 100;

/// From the start of the new process to the first answer.
const BACK_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_datapath_killed_a_hundred_times_leaves_no_xdp_and_is_back_within_a_second() {
    let stage = Stage::new("killed test: a hundred times");
    let Stage { h1, h2, a, b, .. } = &stage;
    let (mut one, other) = (Greyhound::start(h1).unwrap(), Greyhound::start(h2).unwrap());
    one.apply(&stage::programs(h1, h2, VNET, &[a])).unwrap();
    other.apply(&stage::programs(h2, h1, VNET, &[b])).unwrap();
    first_answer(a, b);
    // A guest whose own ARP question fell into the gap asks again a second later: that second is
    // the guest's, and is not measured here.
    for (from, to) in [(a, b), (b, a)] {
        let (address, mac) = (to.address(), to.mac());
        let known = format!("neigh replace {address} lladdr {mac} dev eth0 nud permanent");
        from.ip(&known).unwrap();
    }

    let load = ["-n", "-q", "-i", "0.002", "-s", "1000", "10.0.0.2"];
    let _load = a.start("load", "ping", &load).unwrap();
    let mut back = Vec::new();
    for time in 1..=TIMES {
        one.datapath().kill().unwrap();
        for interface in ["under0", a.port()] {
            let link = h1.ip(&format!("-d link show {interface}")).unwrap();
            assert!(
                !link.contains("xdp"),
                "time {time}: an XDP program stays: {link}"
            );
        }
        assert!(!answers(a, b), "time {time}: nobody forwards now");
        one.restart_datapath().unwrap();
        let took = time_until("it forwards again", || answers(a, b));
        assert!(took < BACK_WITHIN, "time {time}: back after {took:?}");
        back.push(took);
    }
    back.sort();
    println!(
        "killed {TIMES} times; back after {:?} in the middle, {:?} at most",
        back[TIMES / 2],
        back[TIMES - 1]
    );
    one.wait_up(LIMIT).unwrap();
    stage::balanced(&one);
}

#[test]
fn the_hosts_own_stream_on_the_underlay_outlives_the_datapath() {
    let stage = Stage::new("killed test: underlay stream");
    let Stage { h1, h2, a, b, .. } = &stage;
    let (mut one, other) = (Greyhound::start(h1).unwrap(), Greyhound::start(h2).unwrap());
    one.apply(&stage::programs(h1, h2, VNET, &[a])).unwrap();
    other.apply(&stage::programs(h2, h1, VNET, &[b])).unwrap();
    first_answer(a, b);

    thread::scope(|scope| {
        // 20 Mbit/s for 10 s: a stream that is alive, and not the load itself.
        let stream = scope.spawn(|| iperf3(h2, h2.address(), h1, 10, &["-b", "20M"]));
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(700));
            one.datapath().kill().unwrap();
            thread::sleep(Duration::from_millis(200));
            one.restart_datapath().unwrap();
            time_until("it forwards again", || answers(a, b));
        }
        let seen = stream.join().unwrap().unwrap();
        assert!(seen.mbit > 19.0, "{seen:?}");
    });
}
