//! What the tests of the real thing play on: two wired hosts with a guest each.

#![allow(dead_code)] // each test file uses its part

use netns::measure::{Ping, ping};
use netns::{Greyhound, Guest, Host, Lab, RawPort, program, until};
use serde_json::Value;
use std::time::{Duration, Instant};

pub(crate) const VNET: u32 = 1001;
pub(crate) const FAST: Duration = Duration::from_millis(20);
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Two wired hosts, a guest `a` on the first and a guest `b` on the second.
pub(crate) struct Stage {
    pub(crate) a: Guest,
    pub(crate) b: Guest,
    pub(crate) h1: Host,
    pub(crate) h2: Host,
    pub(crate) lab: Lab,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        let mut lab = Lab::new(name).unwrap();
        let (h1, h2) = (lab.host("h1").unwrap(), lab.host("h2").unwrap());
        lab.wire(&[&h1, &h2]).unwrap();
        let a = lab
            .guest(&h1, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")
            .unwrap();
        let b = lab
            .guest(&h2, "b", [10, 0, 0, 2].into(), "02:00:00:00:00:02")
            .unwrap();
        Self { a, b, h1, h2, lab }
    }
}

/// The underlay, one network, a tunnel to `peer`, and a port for each guest.
pub(crate) fn programs(host: &Host, peer: &Host, vnet: u32, guests: &[&Guest]) -> Vec<Value> {
    let mut programs = vec![
        program::underlay(host.address()),
        program::network("red", vnet),
        program::tunnel("red-peer", vnet, peer.address()),
    ];
    programs.extend(
        guests
            .iter()
            .map(|g| program::port(g.node(), vnet, g.port(), g.mac())),
    );
    programs
}

/// Waits until `to` answers `from`: a first question to Open vSwitch takes it about a second.
pub(crate) fn first_answer(from: &Guest, to: &Guest) {
    until(
        &format!("{} answers {}", to.node(), from.node()),
        LIMIT,
        || ping(from, to.address(), 1, FAST).is_ok_and(|seen| seen.received == 1),
    )
    .unwrap();
}

/// Pings both ways and loses nothing.
pub(crate) fn ping_clean(one: &Guest, other: &Guest, count: u32) {
    for (from, to) in [(one, other), (other, one)] {
        let seen: Ping = ping(from, to.address(), count, FAST).unwrap();
        assert!(
            seen.is_clean(),
            "{} to {}: {seen:?}",
            from.node(),
            to.node()
        );
    }
}

/// Whether one ping is answered at once.
pub(crate) fn answers(from: &Guest, to: &Guest) -> bool {
    let to = to.address().to_string();
    let one = ["-n", "-q", "-c", "1", "-W", "0.05", &to];
    from.try_exec("ping", &one, LIMIT)
        .is_ok_and(|finished| finished.status.success())
}

/// Sends a frame of every size from 60 to 1514 bytes, and finds each one whole at the other end.
pub(crate) fn every_size_arrives(from: &Guest, to: &Guest) {
    let mut sender = RawPort::open(from, "eth0").unwrap();
    let receiver = RawPort::open(to, "eth0").unwrap();
    let frames: Vec<_> = (60..=1514)
        .map(|size| frame(from.mac(), to.mac(), size))
        .collect();
    let mut arrived = Vec::new();
    for some in frames.chunks(50) {
        for frame in some {
            sender.send(frame).unwrap();
        }
        let ours = |frame: &[u8]| frame[12..14] == [0x88, 0xb5];
        arrived.extend(receiver.received_like(some.len(), Duration::from_secs(5), ours));
    }
    let sizes = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(
        sizes(&arrived),
        sizes(&frames),
        "{} to {}",
        from.node(),
        to.node()
    );
    assert!(arrived == frames, "a frame changed on its way");
}

/// A frame of the protocol for local experiments, whose bytes count up.
pub(crate) fn frame(from: &str, to: &str, size: usize) -> Vec<u8> {
    let bytes = |mac: &str| {
        mac.split(':')
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    };
    let (to, from): (Vec<u8>, Vec<u8>) = (bytes(to), bytes(from));
    let mut frame = [&to[..], &from, &[0x88, 0xb5]].concat();
    frame.extend((14..size).map(|at| u8::try_from(at % 256).unwrap()));
    frame
}

/// Every ledger balances once all is quiet.
pub(crate) fn balanced(greyhound: &Greyhound) {
    let mut off = Vec::new();
    let quiet = until("every ledger balances", Duration::from_secs(3), || {
        off = greyhound.unbalanced().unwrap();
        off.is_empty()
    });
    assert!(quiet.is_ok(), "{off:#?}");
}

/// How long until `holds`.
pub(crate) fn time_until(what: &str, holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    until(what, LIMIT, holds).unwrap();
    began.elapsed()
}
