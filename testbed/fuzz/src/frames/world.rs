//! One worker without a thread, and the judge of what it does.

use super::told::{ENDPOINT, KEYS, PEERS, Told};
use core::ops::AddAssign;
use core::time::Duration;
use frame::{Frame, FramePool, Region};
use program::link::{Hop, NextHop};
use program::{Epoch, Interface, Mac, Name, Program, Programs, Step, Vnet};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use switch::path::{arrived, depart, inbound, outbound};
use switch::{
    Batch, Cell, Compiler, Config, Counters, DropReason, Ledger, Limits, Marks, NOWHERE, Packet,
    PortFacts, PortKey, Role, State, Turn, Verdict, WorkerId,
};
use tables::{Instant, Location};
use wire::{Ethernet, Gre, Ipv4, Protocol, ethernet};

/// What is in force. Peers and keys are those of `told`; port e is not attached.
const PROGRAMS: &str = r#"[
    {"version": 1, "kind": "underlay", "name": "u", "endpoint": "192.0.2.1", "interface": "u0"},
    {"version": 1, "kind": "network", "name": "red", "vnet": 5001, "aging_s": 60},
    {"version": 1, "kind": "network", "name": "blue", "vnet": 0},
    {"version": 1, "kind": "network", "name": "lonely", "vnet": 4294967295, "mtu": 576},
    {"version": 1, "kind": "tunnel", "name": "red-2", "vnet": 5001, "remote": "192.0.2.2"},
    {"version": 1, "kind": "tunnel", "name": "red-3", "vnet": 5001, "remote": "192.0.2.3"},
    {"version": 1, "kind": "tunnel", "name": "red-4", "vnet": 5001, "remote": "192.0.2.4"},
    {"version": 1, "kind": "tunnel", "name": "blue-2", "vnet": 0, "remote": "192.0.2.2"},
    {"version": 1, "kind": "port", "name": "a", "vnet": 5001, "interface": "a0",
     "mac": "02:00:00:00:00:01"},
    {"version": 1, "kind": "port", "name": "b", "vnet": 5001, "interface": "b0", "mac": "any"},
    {"version": 1, "kind": "port", "name": "c", "vnet": 0, "interface": "c0", "mac": "any"},
    {"version": 1, "kind": "port", "name": "d", "vnet": 4294967295, "interface": "d0",
     "mac": "any"},
    {"version": 1, "kind": "port", "name": "e", "vnet": 5001, "interface": "e0", "mac": "any"}
]"#;

/// Few of each, so that the ends of all are met: a table is full, a pool empty, a flood too wide.
const LIMITS: Limits = Limits {
    ports: 8,
    networks: 4,
    tunnels: 8,
    stations: 8,
    neighbours: 8,
    fragmented: 4,
    frames: 24,
    jumbo: 0,
};

/// The config, and the slots of the ports by their number in an input.
static TOLD: LazyLock<(Config, Vec<u16>)> = LazyLock::new(config);

fn name(text: &str) -> Name {
    text.to_owned().try_into().expect("a name")
}

fn interface(text: &str) -> Interface {
    text.to_owned().try_into().expect("an interface")
}

fn config() -> (Config, Vec<u16>) {
    let mut programs = Programs::default();
    for (_, program) in program::read(PROGRAMS.as_bytes()).expect("they are good") {
        let epoch = Epoch(1);
        let put = programs.apply(&Step::Put { epoch, program });
        put.expect("they are good, and in order");
    }
    let key = |program: &Program| match program {
        Program::Underlay(underlay) => Some(PortKey::from(underlay)),
        Program::Port(port) => Some(PortKey::from(port)),
        _ => None,
    };
    let keys: Vec<_> = programs
        .iter()
        .filter_map(|(_, program)| key(program))
        .collect();
    let attached = keys.iter().filter(|key| key.name != name("e")).map(|key| {
        (
            key.clone(),
            PortFacts {
                mtu: 1600,
                queues: 1,
            },
        )
    });
    let way = |peer: [u8; 4], mtu| {
        let remote = IpAddr::from(peer);
        let hop = NextHop {
            remote,
            hops: vec![Hop {
                interface: interface("u0"),
                source: Mac([0x02, 0xff, 0, 0, 0, 1]),
                destination: Mac([0x02, 0xff, 0, 0, 0, peer[3]]),
            }],
            mtu,
        };
        (remote, hop)
    };
    let ways = BTreeMap::from([way(PEERS[0], 1600), way(PEERS[1], 300)]);
    let mut compiler = Compiler::new(LIMITS, 1);
    let config = compiler.compile(&programs, &ways, &attached.collect());
    let mut slots: Vec<_> = keys
        .iter()
        .filter_map(|key| compiler.port_slot(key))
        .collect();
    assert_eq!(slots.len(), 6, "an underlay and five guests");
    slots.extend([NOWHERE, 7]); // ports that no program names
    (config, slots)
}

/// What became of the frames of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Came in.
    pub received: u64,
    /// Left, copies among them.
    pub sent: u64,
    /// Ended here, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
        for (reason, count) in other.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
    }
}

/// One worker without a thread.
pub(super) struct World {
    state: State,
    counters: Counters,
    pool: FramePool,
    /// What waits for the next turn, by the number of its port.
    waiting: Vec<(u16, Batch)>,
    copies: Batch,
    now: Instant,
    tally: Tally,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            state: State::new(&LIMITS, 7),
            counters: Counters::new(&LIMITS),
            pool: FramePool::new(Region::heap(LIMITS.frames)),
            waiting: TOLD.1.iter().map(|slot| (*slot, Batch::new(32))).collect(),
            copies: Batch::new(6),
            now: Instant::START,
            tally: Tally::default(),
        }
    }

    pub(super) fn wait(&mut self, seconds: u8) {
        self.now = self.now + Duration::from_secs(seconds.into());
    }

    /// Queues a frame; if there is no buffer for it, what waits is decided first.
    pub(super) fn receive(&mut self, told: &Told) {
        if self.pool.free() == 0 {
            self.turn();
        }
        let mut frame = self.pool.take().expect("a turn brings all home");
        if frame.fill(&told.frame()).is_err() {
            self.pool.give(frame); // no device would bring so long a frame
            return;
        }
        let port = usize::from(told.port) % self.waiting.len();
        let (slot, batch) = &mut self.waiting[port];
        let pushed = batch.push(Packet::new(frame, *slot));
        assert!(pushed.is_ok(), "a batch has room for all frames there are");
        self.tally.received += u64::from(usize::from(*slot) < LIMITS.ports);
    }

    /// Decides what waits, and looks at every frame that leaves.
    pub(super) fn turn(&mut self) {
        let config = &TOLD.0;
        let mut gone = Vec::new();
        for (slot, batch) in &mut self.waiting {
            let mut turn = Turn {
                now: self.now,
                worker: WorkerId(0),
                config,
                state: &mut self.state,
                counters: &self.counters,
                pool: &mut self.pool,
                copies: &mut self.copies,
                seen: Marks::NONE,
            };
            for packet in &*batch {
                arrived(&turn, packet);
            }
            match config.port(*slot).map(|port| port.role) {
                Some(Role::Guest { .. }) => outbound(&mut turn, batch),
                Some(Role::Underlay) => inbound(&mut turn, batch),
                None => {
                    for packet in batch.iter_mut() {
                        packet.verdict = Verdict::Drop(DropReason::NoPort);
                    }
                }
            }
            depart(&mut turn, batch, |turn, packet| {
                judge(config, &packet);
                let (port, vnet) = (packet.origin.port, packet.vnet);
                turn.counters.both(port, vnet, Cell::Sent, 1);
                gone.push(packet.frame);
            });
        }
        self.settle(gone);
    }

    /// What must hold after a turn.
    fn settle(&mut self, gone: Vec<Frame>) {
        self.tally.sent += gone.len() as u64;
        assert_eq!(
            self.pool.free() + gone.len(),
            self.pool.made(),
            "a buffer is missing"
        );
        for frame in gone {
            self.pool.give(frame);
        }
        let ledgers = self.counters.ports.iter().chain(&self.counters.vnets);
        for (slot, ledger) in ledgers.enumerate() {
            let came = ledger.get(Cell::Received) + ledger.get(Cell::Copied);
            let went = ledger.get(Cell::Sent) + drops(ledger);
            assert_eq!(came, went, "ledger {slot} does not balance");
        }
        let fdb = &self.state.fdb;
        for entry in fdb.entries(self.now, 0, fdb.buckets()) {
            let (vnet, mac) = (entry.station.vnet(), entry.station.mac());
            assert!(Mac(mac).is_station(), "{mac:02x?} was learned");
            assert_eq!(
                vnet_of(&TOLD.0, entry.location),
                Some(vnet),
                "learned elsewhere"
            );
        }
    }

    pub(super) fn end(mut self) -> Tally {
        for reason in DropReason::ALL {
            let ports = self.counters.ports.iter();
            let count: u64 = ports.map(|ledger| ledger.dropped(*reason)).sum();
            if count > 0 {
                self.tally.dropped.insert(reason.name(), count);
            }
        }
        assert_eq!(frame::lost(), 0, "a frame was dropped");
        self.tally
    }
}

fn drops(ledger: &Ledger) -> u64 {
    DropReason::ALL
        .iter()
        .map(|reason| ledger.dropped(*reason))
        .sum()
}

/// The network of what is at `location`.
fn vnet_of(config: &Config, location: Location) -> Option<Vnet> {
    let network = match location {
        Location::Port { slot, .. } => config.network_of_port(slot),
        Location::Peer { slot, .. } => config.tunnel(slot)?.network,
    };
    Some(config.network(network)?.vnet)
}

/// Looks at a frame that leaves: may it, this way?
fn judge(config: &Config, packet: &Packet) {
    let Verdict::Send(exit) = packet.verdict else {
        panic!("one worker hands nothing over: {:?}", packet.verdict)
    };
    let port = config.port(exit).expect("it leaves by a port");
    assert!(port.up, "it leaves by a port that is down");
    assert_ne!(exit, packet.origin.port, "it leaves where it came from");
    let network = config.network(packet.vnet).expect("it is of a network");
    if packet.origin.tunnel == NOWHERE {
        let home = config.network_of_port(packet.origin.port);
        assert_eq!(home, packet.vnet, "it changed its network");
    } else {
        let tunnel = config
            .tunnel(packet.origin.tunnel)
            .expect("it came through one");
        assert_eq!(tunnel.network, packet.vnet, "it changed its network");
    }
    let bytes = packet.frame.bytes();
    let inner = match port.role {
        Role::Guest { network, .. } => {
            assert_eq!(network, packet.vnet, "it leaves its network");
            bytes
        }
        Role::Underlay => {
            assert_eq!(packet.origin.tunnel, NOWHERE, "it goes from peer to peer");
            envelope(network.vnet, bytes)
        }
    };
    let tags = ethernet::MAX_TAGS * ethernet::TAG_LEN;
    assert!(
        bytes.len() <= port.max_frame + tags,
        "{} bytes leave",
        bytes.len()
    );
    let (header, _) = Ethernet::parse(inner).expect("it has a header");
    assert!(!ethernet::is_link_local_control(header.destination()));
    assert!(Mac(header.source()).is_station(), "nobody sent it");
}

/// The frame in an envelope that is right in every field.
fn envelope(vnet: Vnet, bytes: &[u8]) -> &[u8] {
    let (_, packet) = Ethernet::parse(bytes).expect("we wrote it");
    let (outer, payload) = Ipv4::parse(packet).expect("we wrote it");
    assert_eq!(packet.len(), usize::from(outer.total_len()));
    assert_eq!(outer.source(), Ipv4Addr::from(ENDPOINT));
    assert!(
        PEERS[..2].contains(&outer.destination().octets()),
        "to a peer with a way"
    );
    assert_eq!((outer.protocol(), outer.ttl()), (Protocol::GRE, 64));
    assert!(outer.dont_fragment() && !outer.is_fragment() && outer.options().is_empty());
    let (gre, inner) = Gre::parse(payload).expect("we wrote it");
    assert_eq!((gre.key(), gre.header_len()), (Some(vnet.0), 8));
    assert!(KEYS[..3].contains(&vnet.0));
    inner
}
