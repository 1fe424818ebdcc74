//! Greyhound as a function from frames to frames, made for the same underlay as a [`judge::Dummy`].
//!
//! It is one host of a [`Lab`], whose underlay interface is plugged in as a guest's would be: so
//! the lab does not read what leaves there, and hands it over as it is.

#![allow(dead_code)] // each test uses what it needs

use judge::{Output, Setup};
use program::link::{Answer, Request};
use program::{Program, Speaks};
use serde_json::{Value, json};
use sim::{Guest, Lab};
use std::net::IpAddr;
use std::time::Duration;

/// The underlay's interface, as its outputs are called.
pub(crate) const UNDERLAY: &str = "p0";

/// Frames a second that no test reaches.
const MANY: u32 = 1_000_000;

/// Steps in which everything must have come to rest.
const PATIENCE: usize = 10_000;

/// One host, and what it was told.
pub(crate) struct Greyhound {
    lab: Lab,
    ports: Vec<Guest>,
}

impl Greyhound {
    /// A host with an underlay as `setup` says, and no network yet.
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut this = Self {
            lab: Lab::with(sim::Setup {
                hosts: 1,
                ..sim::Setup::default()
            }),
            ports: Vec::new(),
        };
        this.plug(UNDERLAY, setup.mtu);
        let addresses: Vec<IpAddr> = setup
            .addresses
            .iter()
            .map(|(address, _)| *address)
            .collect();
        this.put(json!({
            "kind": "underlay", "name": "under", "endpoint": addresses, "interface": UNDERLAY,
        }));
        let hops = setup.neighbours.iter().map(|(remote, mac)| {
            let hop = json!({
                "interface": UNDERLAY,
                "source": mac_text(setup.mac),
                "destination": mac_text(*mac),
            });
            json!({ "remote": remote, "mtu": setup.mtu, "hops": [hop] })
        });
        let next_hops = serde_json::from_value(hops.collect()).unwrap();
        let (host, now) = this.lab.host(0);
        let answer = host.ask(Request::NextHops { next_hops }, now);
        assert_eq!(answer, Answer::Done);
        this
    }

    /// Puts a program in force, written as in a document.
    pub(crate) fn put(&mut self, program: Value) {
        let program: Program = serde_json::from_value(program).unwrap();
        self.lab.put(0, program);
    }

    /// A guest's port that is in `vnet`, and may flood as it likes: the lab's clock hardly moves.
    pub(crate) fn port(&mut self, name: &str, vnet: u32, mac: &str) {
        self.plug(name, 1500);
        let storm = json!({ "broadcast": MANY, "multicast": MANY, "unknown": MANY });
        self.put(json!({
            "kind": "port", "name": name, "vnet": vnet, "interface": name, "mac": mac,
            "storm": storm,
        }));
    }

    fn plug(&mut self, name: &str, mtu: u32) {
        self.lab.plug(0, name, mtu);
        self.ports.push(Guest {
            host: 0,
            name: name.to_owned(),
            mac: [0; 6],
            vnet: 0,
            speaks: Speaks::Any,
        });
    }

    /// `frame` arrives at `port`, a guest's or the underlay's; returns all that leaves.
    pub(crate) fn feed(&mut self, port: &str, frame: &[u8]) -> Vec<Output> {
        let from = self.ports.iter().find(|guest| guest.name == port).unwrap();
        assert!(self.lab.offer(from, frame), "{port} takes no more");
        // Not `send`, which wants every ledger to balance: a fragment may wait for its others.
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            quiet = if self.lab.step() == 0 { quiet + 1 } else { 0 };
            if quiet > 4 {
                return self.outputs();
            }
        }
        panic!("it did not come to rest in {PATIENCE} steps");
    }

    /// A minute passes, in which all that waits is given up; then every ledger balances, and no
    /// buffer is missing.
    pub(crate) fn rest(&mut self) {
        self.lab.wait(Duration::from_mins(1));
    }

    /// Which counters moved since this was last asked.
    pub(crate) fn moved(&mut self) -> Vec<String> {
        self.lab.moved()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut left = Vec::new();
        for port in &self.ports {
            let frames = self.lab.received(port).into_iter();
            left.extend(frames.map(|frame| (port.name.clone(), frame)));
        }
        left
    }
}

pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
