//! The path alone: what a whole datapath seldom meets.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use frame::{Frame, FramePool, Region};
use program::link::{Hop, NextHop};
use program::{Epoch, Programs, Step, read};
use std::collections::BTreeMap;
use std::net::IpAddr;
use switch::path::{depart, inbound, outbound};
use switch::{
    Attached, Batch, Cell, Compiler, Config, Counters, DropReason, Limits, Marks, NOWHERE, Packet,
    PortFacts, PortKey, State, Turn, Verdict, WorkerId,
};
use tables::Instant;

const LIMITS: Limits = Limits {
    ports: 8,
    networks: 4,
    tunnels: 8,
    stations: 64,
    neighbours: 64,
    fragmented: 4,
    frames: 16,
    jumbo: 0,
};

const PROGRAMS: &[u8] = br#"[
    {"version":1, "kind":"underlay", "name":"u", "endpoint":"192.0.2.1", "interface":"eth0"},
    {"version":1, "kind":"network", "name":"n", "vnet":7},
    {"version":1, "kind":"tunnel", "name":"t", "vnet":7, "remote":"192.0.2.2"},
    {"version":1, "kind":"tunnel", "name":"s", "vnet":7, "remote":"192.0.2.3"},
    {"version":1, "kind":"port", "name":"p", "vnet":7, "interface":"tap0", "mac":"02:00:00:00:00:01",
     "storm":{"broadcast":100000000}}
]"#;

/// A switch with one guest, two peers, and 16 frames.
struct Bench {
    config: Config,
    state: State,
    counters: Counters,
    pool: FramePool,
    copies: Batch,
    guest: u16,
    underlay: u16,
}

impl Bench {
    fn new() -> Self {
        let mut programs = Programs::default();
        for (_, program) in read(PROGRAMS).unwrap() {
            let epoch = Epoch(1);
            programs.apply(&Step::Put { epoch, program }).unwrap();
        }
        let keys: Vec<PortKey> = programs.ports().map(|(_, p)| p.into()).collect();
        let under = PortKey::from(programs.underlay().unwrap().1);
        let facts = PortFacts {
            mtu: 1600,
            queues: 1,
        };
        let attached: Attached = [&keys[0], &under].map(|key| (key.clone(), facts)).into();
        let way = |last| {
            let remote = IpAddr::from([192, 0, 2, last]);
            let hop = NextHop {
                remote,
                hops: vec![Hop {
                    interface: "eth0".to_owned().try_into().unwrap(),
                    source: program::Mac([2, 1, 0, 0, 0, 1]),
                    destination: program::Mac([2, 1, 0, 0, 0, last]),
                }],
                mtu: 1600,
            };
            (remote, hop)
        };
        let mut compiler = Compiler::new(LIMITS, 1);
        let config = compiler.compile(&programs, &BTreeMap::from([way(2), way(3)]), &attached);
        Self {
            guest: compiler.port_slot(&keys[0]).unwrap(),
            underlay: compiler.port_slot(&under).unwrap(),
            config,
            state: State::new(&LIMITS, 1),
            counters: Counters::new(&LIMITS),
            pool: FramePool::new(Region::heap(LIMITS.frames)),
            copies: Batch::new(64),
        }
    }

    /// Takes `frame` through the path; returns what leaves, and its bytes.
    fn path(&mut self, frame: Frame, port: u16) -> Vec<(Verdict, Vec<u8>)> {
        let mut batch = Batch::new(64);
        batch.push(Packet::new(frame, port)).unwrap();
        let mut turn = Turn {
            now: Instant::START,
            worker: WorkerId(0),
            config: &self.config,
            state: &mut self.state,
            counters: &self.counters,
            pool: &mut self.pool,
            copies: &mut self.copies,
            seen: Marks::NONE,
        };
        if port == self.guest {
            outbound(&mut turn, &mut batch);
        } else {
            inbound(&mut turn, &mut batch);
        }
        let mut left = Vec::new();
        depart(&mut turn, &mut batch, |turn, packet| {
            left.push((packet.verdict, packet.frame.bytes().to_vec()));
            turn.pool.give(packet.frame);
        });
        left
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.ports[usize::from(self.guest)].dropped(reason)
    }
}

/// A broadcast of the guest.
fn broadcast() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    frame.resize(60, 0x11);
    frame
}

#[test]
fn a_frame_with_no_room_in_front_is_dropped_whole() {
    let mut bench = Bench::new();
    let mut frame = bench.pool.take().unwrap();
    frame.fill(&[0x11; 60]).unwrap();
    let headroom: &mut [u8; 256] = frame.prepend().unwrap();
    headroom[..60].copy_from_slice(&broadcast());
    assert_eq!(frame.headroom(), 0);
    // Two peers: the copy starts in a frame of its own, with room; the frame itself has none.
    let left = bench.path(frame, bench.guest);
    assert_eq!(left.len(), 1);
    assert_eq!(bench.dropped(DropReason::NoHeadroom), 1);
    assert_eq!(bench.pool.free(), LIMITS.frames);
}

#[test]
fn a_copy_for_which_there_is_no_frame_is_counted_and_the_frame_itself_leaves() {
    let mut bench = Bench::new();
    let mut held: Vec<_> = core::iter::from_fn(|| bench.pool.take()).collect();
    let mut frame = held.pop().unwrap();
    frame.fill(&broadcast()).unwrap();
    let left = bench.path(frame, bench.guest);
    assert_eq!(left.len(), 1);
    assert_eq!(bench.dropped(DropReason::NoFrame), 1);
    let ledger = &bench.counters.ports[usize::from(bench.guest)];
    assert_eq!(ledger.get(Cell::Copied), 1);
    for frame in held {
        bench.pool.give(frame);
    }
    assert_eq!(bench.pool.free(), LIMITS.frames);
}

#[test]
fn what_is_wrapped_is_unwrapped_again_at_every_length() {
    let mut bench = Bench::new();
    for len in 14..=1586 {
        let mut bytes = broadcast();
        bytes.resize(len.max(14), 0x22);
        bytes.truncate(len);
        let mut frame = bench.pool.take().unwrap();
        frame.fill(&bytes).unwrap();
        let out = bench.path(frame, bench.guest);
        if len > 1600 - 28 {
            assert!(out.is_empty(), "{len} bytes are too long for the way");
            continue;
        }
        assert_eq!(out.len(), 2, "{len} bytes to two peers");
        for (verdict, mut packet) in out {
            assert_eq!(verdict, Verdict::Send(bench.underlay));
            // As if the peer had sent it: the addresses change places, the sum stays.
            let (from, to) = (packet[26..30].to_vec(), packet[30..34].to_vec());
            packet[26..30].copy_from_slice(&to);
            packet[30..34].copy_from_slice(&from);
            // And as a station of the peer's.
            packet[42 + 11] = 9;
            let mut frame = bench.pool.take().unwrap();
            frame.fill(&packet).unwrap();
            let back = bench.path(frame, bench.underlay);
            assert_eq!(back.len(), 1);
            let (verdict, mut inner) = back.into_iter().next().unwrap();
            assert_eq!(verdict, Verdict::Send(bench.guest));
            inner[11] = 1;
            assert_eq!(inner, bytes);
        }
    }
    assert_eq!(bench.pool.free(), LIMITS.frames);
}

#[test]
fn a_port_that_no_program_knows_any_more_is_no_port() {
    let mut bench = Bench::new();
    let mut frame = bench.pool.take().unwrap();
    frame.fill(&broadcast()).unwrap();
    bench.config = Config::default();
    assert!(bench.path(frame, bench.guest).is_empty());
    assert_eq!(bench.dropped(DropReason::NoPort), 1);
    assert_eq!(bench.config.network_of_port(bench.guest), NOWHERE);
}
