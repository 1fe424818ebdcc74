//! What the switch pays for a packet, from its arrival to the queue of its exit.
//!
//! Reads: nanoseconds a packet, in bursts of 64 frames of 64 bytes whose stations lie in no order,
//! by stations known. `outbound` is a guest's frame to a station behind a peer, wrapped; `inbound`
//! is a peer's frame from such a station, unwrapped, learned and delivered; `local` goes from port
//! to port. Counting, learning and leaving are in it, as a worker does them; devices are not, and
//! the bytes of the frames are in the cache.
//!
//! Expect 60 ns or less outbound with one station, and 100 ns or less with a million (30 MB of
//! table): more would say that the path waits for memory it could have asked for earlier. `local`
//! costs less than `outbound` by the wrapping, `inbound` more by the headers it reads. A result
//! that depended on the frame's length would be a surprise: nothing looks at a payload.

#![allow(clippy::unwrap_used)] // what a bench is made of is known to be good

use bench::load::{OUTER, VNET, guest_frame, mac, shuffled, tunnelled};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use frame::{Frame, FramePool, Region};
use program::link::{Hop, NextHop};
use program::{Epoch, Mac, Program, Programs, Step};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use switch::path::{arrived, depart, inbound, outbound};
use switch::{
    Batch, Cell, Compiler, Config, Counters, Limits, Marks, Packet, PortFacts, PortKey, State,
    Turn, Verdict, WorkerId,
};
use tables::{Instant, Location, Station};

const BURST: usize = 64;
const SIZES: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
const LEN: usize = 64;
const IDLE: Duration = Duration::from_mins(5);

/// What is in force: an underlay, a network, one peer, and two guests who may speak as anybody.
const PROGRAMS: &str = r#"[
    {"version": 1, "kind": "underlay", "name": "under", "endpoint": "192.0.2.2", "interface": "u0"},
    {"version": 1, "kind": "network", "name": "red", "vnet": 5001},
    {"version": 1, "kind": "tunnel", "name": "peer", "vnet": 5001, "remote": "192.0.2.1"},
    {"version": 1, "kind": "port", "name": "a", "vnet": 5001, "interface": "a0", "mac": "any"},
    {"version": 1, "kind": "port", "name": "b", "vnet": 5001, "interface": "b0", "mac": "any"}
]"#;

/// Which way the packets go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Outbound,
    Inbound,
    Local,
}

impl Way {
    const ALL: [Self; 3] = [Self::Outbound, Self::Inbound, Self::Local];

    fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Local => "local",
        }
    }
}

/// One worker without a thread, and the frames that go round in it.
struct Switch {
    config: Config,
    state: State,
    counters: Counters,
    pool: FramePool,
    batch: Batch,
    copies: Batch,
    /// By name: under, a, b.
    slots: [u16; 3],
    gone: Vec<Frame>,
}

impl Switch {
    fn new(stations: u32) -> Self {
        let limits = Limits {
            ports: 8,
            networks: 8,
            tunnels: 8,
            stations: stations as usize,
            frames: 2 * BURST,
            ..Limits::default()
        };
        let mut programs = Programs::default();
        let read = program::read(PROGRAMS.as_bytes()).unwrap();
        let mut attached = BTreeMap::new();
        for (_, program) in read {
            let facts = |mtu| PortFacts { mtu, queues: 1 };
            match &program {
                Program::Underlay(under) => attached.insert(PortKey::from(under), facts(1600)),
                Program::Port(port) => attached.insert(PortKey::from(port), facts(1500)),
                _ => None,
            };
            let epoch = Epoch(1);
            programs.apply(&Step::Put { epoch, program }).unwrap();
        }
        let (under, _) = attached.first_key_value().unwrap();
        let remote = IpAddr::from([192, 0, 2, 1]);
        let hop = NextHop {
            remote,
            hops: vec![Hop {
                interface: under.interface.clone(),
                source: Mac([0x02, 0xff, 0, 0, 0, 2]),
                destination: Mac([0x02, 0xff, 0, 0, 0, 1]),
            }],
            mtu: 1600,
        };
        let mut compiler = Compiler::new(limits, 1);
        let config = compiler.compile(&programs, &BTreeMap::from([(remote, hop)]), &attached);
        let slots: Vec<u16> = attached
            .keys()
            .filter_map(|key| compiler.port_slot(key))
            .collect();
        Self {
            config,
            state: State::new(&limits, 7),
            counters: Counters::new(&limits),
            pool: FramePool::new(Region::heap(limits.frames)),
            batch: Batch::new(2 * BURST),
            copies: Batch::new(BURST),
            slots: slots.try_into().unwrap(),
            gone: Vec::with_capacity(BURST),
        }
    }

    /// Hears ourselves, station `u32::MAX`, at guest port a, and `stations` others at the far end
    /// of `way`; returns those, in no order. A table knows nearly all it was made for: what it
    /// refused is not among them.
    fn hear(&mut self, way: Way, stations: u32) -> Vec<u32> {
        let [_, a, b] = self.slots;
        let port = |slot: u16| {
            let generation = self.config.port(slot).unwrap().generation;
            Location::Port { slot, generation }
        };
        let slot = self
            .config
            .tunnel_of([192, 0, 2, 1].into(), Some(VNET.0))
            .unwrap();
        let generation = self.config.tunnel(slot).unwrap().generation;
        let far = match way {
            Way::Local => port(b),
            Way::Outbound | Way::Inbound => Location::Peer { slot, generation },
        };
        let us = (u32::MAX, port(a));
        let mut known = shuffled(stations);
        for (number, location) in [us].into_iter().chain(known.iter().map(|n| (*n, far))) {
            let station = Station::new(VNET, mac(number));
            self.state
                .fdb
                .learn(Instant::START, station, location, IDLE);
        }
        known.retain(|number| {
            let station = Station::new(VNET, mac(*number));
            self.state.fdb.lookup(Instant::START, station).is_some()
        });
        known
    }

    /// Puts a burst of frames into the batch, to or from `stations`.
    fn fill(&mut self, way: Way, template: &[u8], stations: &[u32]) {
        let [under, a, _] = self.slots;
        let (port, at) = match way {
            Way::Outbound | Way::Local => (a, 0),
            Way::Inbound => (under, OUTER + 6),
        };
        for station in stations {
            let mut frame = self.pool.take().unwrap();
            frame.fill(template).unwrap();
            frame.bytes_mut()[at..at + 6].copy_from_slice(&mac(*station));
            self.batch.push(Packet::new(frame, port)).unwrap();
        }
    }

    /// What is measured: takes the batch through the switch to its exits.
    fn decide(&mut self, way: Way) {
        let Self {
            config,
            state,
            counters,
            pool,
            batch,
            copies,
            gone,
            ..
        } = self;
        let mut turn = Turn {
            now: Instant::START,
            worker: WorkerId(0),
            config,
            state,
            counters,
            pool,
            copies,
            seen: Marks::NONE,
        };
        for packet in &*batch {
            arrived(&turn, packet);
        }
        match way {
            Way::Outbound | Way::Local => outbound(&mut turn, batch),
            Way::Inbound => inbound(&mut turn, batch),
        }
        depart(&mut turn, batch, |_, packet| match packet.verdict {
            Verdict::Send(_) => gone.push(packet.frame),
            other => unreachable!("one worker hands nothing over: {other:?}"),
        });
    }

    /// Takes home what has left; says how many those were.
    fn come_home(&mut self) -> usize {
        let count = self.gone.len();
        for frame in self.gone.drain(..) {
            self.pool.give(frame);
        }
        count
    }
}

/// A frame from us to a station (its address to be filled in), or from one to us.
fn template(way: Way) -> Vec<u8> {
    let mut frame = guest_frame(LEN);
    let us = match way {
        Way::Outbound | Way::Local => 6,
        Way::Inbound => 0,
    };
    frame[us..us + 6].copy_from_slice(&mac(u32::MAX));
    match way {
        Way::Outbound | Way::Local => frame,
        Way::Inbound => tunnelled(&frame),
    }
}

fn path(c: &mut Criterion) {
    for way in Way::ALL {
        let mut group = c.benchmark_group(format!("path/{}", way.name()));
        group.throughput(Throughput::Elements(BURST as u64));
        for known in SIZES {
            let mut switch = Switch::new(known);
            let order = switch.hear(way, known);
            let template = template(way);
            let mut next = order.iter().copied().cycle();
            let mut burst = [0; BURST];
            group.bench_function(BenchmarkId::from_parameter(known), |b| {
                b.iter_custom(|bursts| {
                    let mut paid = Duration::ZERO;
                    for _ in 0..bursts {
                        burst.fill_with(|| next.next().unwrap_or(0));
                        switch.fill(way, &template, &burst);
                        let began = std::time::Instant::now();
                        switch.decide(way);
                        paid += began.elapsed();
                        // Nothing was dropped, and nothing flooded.
                        assert_eq!(switch.come_home(), BURST);
                    }
                    paid
                });
            });
            let ledger = &switch.counters.ports[usize::from(switch.slots[0])];
            let copied = switch.counters.vnets.iter().map(|l| l.get(Cell::Copied));
            assert_eq!((copied.sum::<u64>(), ledger.get(Cell::NotLearned)), (0, 0));
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50);
    targets = path
}
criterion_main!(benches);
