//! Open vSwitch as a function.

#![allow(clippy::unwrap_used)]

use judge::{Dummy, Keyed, Setup, Tunnel, from_hex};
use std::net::IpAddr;
use std::time::{Duration, Instant};

const MAC: [u8; 6] = [2, 1, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 1, 0, 0, 0, 2];

fn setup() -> Setup {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Setup {
        mac: MAC,
        addresses: vec![(address("10.0.0.1"), 24), (address("fd00::1"), 64)],
        neighbours: vec![(address("10.0.0.2"), PEER), (address("fd00::2"), PEER)],
        guests: vec!["g1".to_owned(), "g2".to_owned()],
        mtu: 1600,
    }
}

#[test]
fn a_frame_goes_in_and_the_same_frame_comes_out_of_the_tunnel() {
    let mut ovs = Dummy::start(&setup()).unwrap();
    let remote: IpAddr = "10.0.0.2".parse().unwrap();
    ovs.tunnel(&Tunnel::new(remote, Keyed::By(5001))).unwrap();

    let inner = sim::ethernet([0xff; 6], [2, 0, 0, 0, 0, 1]);
    let left = ovs.guest("g1", &inner).unwrap();
    let ports: Vec<&str> = left.iter().map(|(port, _)| port.as_str()).collect();
    assert_eq!(ports, ["p0", "g2"]);
    assert_eq!(left[1].1, inner);
    let outer = from_hex(
        "020100000002020100000001\
         0800450000580000400040\
         2f26750a0000010a000002\
         2000655800001389",
    );
    assert_eq!(left[0].1, [outer.unwrap(), inner.clone()].concat());

    // Where the guest is has been learned: what comes back goes to it alone.
    let answer = sim::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let (from, to) = ("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap());
    let mut packet = sim::gre(from, to, 5001, &answer);
    packet[..6].copy_from_slice(&MAC);
    let left = ovs.underlay(&packet).unwrap();
    assert_eq!(left, [("g1".to_owned(), answer.clone())]);

    // As a table of cells is looked at: hundreds a second at the least.
    let began = Instant::now();
    for _ in 0..1000 {
        assert_eq!(ovs.underlay(&packet).unwrap().len(), 1);
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn nothing_is_left_of_it() {
    let ovs = Dummy::start(&setup()).unwrap();
    let folder = ovs.folder().to_owned();
    let text = folder.display().to_string();
    assert_eq!(processes(&text), 2, "a database and a switch");
    drop(ovs);
    assert!(!folder.exists());
    assert_eq!(processes(&text), 0);
}

/// How many processes have `text` in their command lines.
fn processes(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let ours = lines.filter(|line| String::from_utf8_lossy(line).contains(text));
    ours.count()
}
