//! What is in force while frames come in.

use super::told::PEERS;
use program::link::{Hop, NextHop};
use program::{
    Epoch, Interface, Mac, Name, Program, Programs, Step, TunnelProgram, UnderlayProgram,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use switch::{Attached, Compiler, Config, Limits, NOWHERE, PortFacts, PortKey};

/// Everything that a program can say is said by some of these. Peers are those of `told`.
///
/// Red's tunnels want what most do, and a checksum, order and the inner packet's class; blue's one
/// is without a key, others are fragmented or in UDP. Strict floods little, carries little and
/// knows its neighbours; lonely has one port and no tunnel. Port e is not attached.
const PROGRAMS: &str = r#"[
    {"version": 1, "kind": "network", "name": "red", "vnet": 5001, "aging_s": 60},
    {"version": 1, "kind": "network", "name": "blue", "vnet": 0, "stations": 4},
    {"version": 1, "kind": "network", "name": "lonely", "vnet": 4294967295, "mtu": 576},
    {"version": 1, "kind": "network", "name": "strict", "vnet": 9, "mtu": 576,
     "flood": {"multicast": false, "unknown": false}, "neighbours": [
        {"address": "10.1.0.2", "mac": "02:00:00:00:00:02"},
        {"address": "2001:db8:1::2", "mac": "02:00:00:00:00:02", "router": true}]},
    {"version": 1, "kind": "tunnel", "name": "red-2", "vnet": 5001, "remote": "192.0.2.2"},
    {"version": 1, "kind": "tunnel", "name": "red-3", "vnet": 5001, "remote": "192.0.2.3"},
    {"version": 1, "kind": "tunnel", "name": "red-4", "vnet": 5001, "remote": "192.0.2.4"},
    {"version": 1, "kind": "tunnel", "name": "red-v6", "vnet": 5001, "remote": "2001:db8::2",
     "checksum": true, "sequence": "ordered", "dscp": "uniform", "oversize": "answer"},
    {"version": 1, "kind": "tunnel", "name": "red-v6-3", "vnet": 5001, "remote": "2001:db8::3",
     "oversize": "outer", "sequence": "sent", "ttl": 9},
    {"version": 1, "kind": "tunnel", "name": "blue-2", "vnet": 0, "remote": "192.0.2.2",
     "keyed": false, "checksum": true, "sequence": "sent", "df": "copy", "dscp": 46},
    {"version": 1, "kind": "tunnel", "name": "blue-3", "vnet": 0, "remote": "192.0.2.3",
     "df": "clear", "oversize": "outer", "checksum": true},
    {"version": 1, "kind": "tunnel", "name": "blue-v6", "vnet": 0, "remote": "2001:db8::2",
     "transport": "udp", "oversize": "answer", "dscp": "uniform"},
    {"version": 1, "kind": "tunnel", "name": "strict-2", "vnet": 9, "remote": "192.0.2.2",
     "transport": "udp", "ttl": 255},
    {"version": 1, "kind": "tunnel", "name": "strict-3", "vnet": 9, "remote": "192.0.2.3"},
    {"version": 1, "kind": "tunnel", "name": "strict-v6", "vnet": 9, "remote": "2001:db8::5",
     "transport": "udp", "sequence": "ordered", "keyed": false},
    {"version": 1, "kind": "port", "name": "a", "vnet": 5001, "interface": "a0",
     "mac": "02:00:00:00:00:01", "addresses": ["10.1.0.1", "2001:db8:1::/64"]},
    {"version": 1, "kind": "port", "name": "b", "vnet": 5001, "interface": "b0", "mac": "any",
     "stations": 3, "storm": {"broadcast": 1, "multicast": 1, "unknown": 1}},
    {"version": 1, "kind": "port", "name": "c", "vnet": 0, "interface": "c0", "mac": "any",
     "rate": {"from_guest_mbit": 1, "to_guest_mbit": 1}},
    {"version": 1, "kind": "port", "name": "d", "vnet": 4294967295, "interface": "d0",
     "mac": "any"},
    {"version": 1, "kind": "port", "name": "e", "vnet": 5001, "interface": "e0", "mac": "any"},
    {"version": 1, "kind": "port", "name": "f", "vnet": 9, "interface": "f0", "mac": "any"},
    {"version": 1, "kind": "port", "name": "g", "vnet": 9, "interface": "g0",
     "mac": "02:00:00:00:00:02", "addresses": ["10.1.0.2"], "allow": ["dhcp_server", "router"]},
    {"version": 1, "kind": "port", "name": "h", "vnet": 0, "interface": "h0", "mac": "any"}
]"#;

/// Few of each, so that the ends of all are met: a table is full, a pool empty, a flood too wide.
pub(super) const LIMITS: Limits = Limits {
    ports: 16,
    networks: 4,
    tunnels: 16,
    stations: 8,
    neighbours: 8,
    fragmented: 8,
    frames: 24,
    jumbo: 0,
};

/// What the kernel says of the way to each peer: the largest packet, in bytes, and how many next
/// hops. The others have no way.
const WAYS: [(usize, u32, u8); 5] = [
    (0, 1600, 2),
    (1, 300, 1),
    (4, 1600, 2),
    (5, 400, 1),
    (6, 1280, 1),
];

/// What is in force, and what it was made of.
pub(super) struct Scene {
    pub(super) config: Config,
    /// The slots of the ports by their number in an input.
    pub(super) slots: Vec<u16>,
    pub(super) underlay: UnderlayProgram,
    /// By slot.
    pub(super) tunnels: BTreeMap<u16, TunnelProgram>,
    /// How many guests' stations may be remembered, by the port's slot.
    pub(super) stations: BTreeMap<u16, usize>,
    /// Of the ways of each peer.
    pub(super) hops: BTreeMap<std::net::IpAddr, NextHop>,
}

/// An untagged underlay, and one in a VLAN.
pub(super) static SCENES: LazyLock<[Scene; 2]> =
    LazyLock::new(|| [Scene::new(None), Scene::new(Some(7))]);

fn name(text: &str) -> Name {
    text.to_owned().try_into().expect("a name")
}

fn interface(text: &str) -> Interface {
    text.to_owned().try_into().expect("an interface")
}

fn put(programs: &mut Programs, program: Program) {
    let epoch = Epoch(1);
    let put = programs.apply(&Step::Put { epoch, program });
    put.expect("they are good, and in order");
}

fn hops() -> BTreeMap<std::net::IpAddr, NextHop> {
    let hop = |number: usize, last: u8| Hop {
        interface: interface("u0"),
        source: Mac([0x02, 0xff, 0, 0, 0, 1]),
        destination: Mac([0x02, 0xff, 0, 0, u8::try_from(number).unwrap_or(0), last]),
    };
    let way = |(number, mtu, count): (usize, u32, u8)| {
        let remote = PEERS[number];
        let hops = (0..count).map(|last| hop(number, last)).collect();
        (remote, NextHop { remote, hops, mtu })
    };
    WAYS.map(way).into()
}

impl Scene {
    fn new(vlan: Option<u16>) -> Self {
        let mut programs = Programs::default();
        let ends = (crate::made::ENDPOINT, crate::made::ENDPOINT_V6);
        let underlay = UnderlayProgram {
            vlan,
            ..UnderlayProgram::new(name("u"), ends.into(), interface("u0"))
        };
        put(&mut programs, Program::Underlay(underlay.clone()));
        for (_, program) in program::read(PROGRAMS.as_bytes()).expect("they are good") {
            put(&mut programs, program);
        }
        let guests = programs.ports().map(|(_, port)| PortKey::from(port));
        let keys: Vec<_> = [PortKey::from(&underlay)]
            .into_iter()
            .chain(guests)
            .collect();
        let facts = |key: &PortKey| PortFacts {
            mtu: if key.name == name("g") { 500 } else { 1600 },
            queues: 1,
        };
        let attached = keys.iter().filter(|key| key.name != name("e"));
        let attached: Attached = attached.map(|key| (key.clone(), facts(key))).collect();
        let hops = hops();
        let mut compiler = Compiler::new(LIMITS, 1);
        let config = compiler.compile(&programs, &hops, &attached);
        let mut slots: Vec<_> = (keys.iter())
            .filter_map(|key| compiler.port_slot(key))
            .collect();
        assert_eq!(slots.len(), 9, "an underlay and eight guests");
        slots.extend([NOWHERE, 15]); // ports that no program names
        let tunnels = programs.tunnels().map(|(_, tunnel)| {
            let slot = config.tunnel_of(tunnel.remote, tunnel.key());
            (slot.expect("it has one"), tunnel.clone())
        });
        let stations = programs.ports().map(|(_, port)| {
            let slot = compiler.port_slot(&port.into()).expect("it has one");
            (slot, usize::try_from(port.stations).unwrap_or(usize::MAX))
        });
        Self {
            tunnels: tunnels.collect(),
            stations: stations.collect(),
            slots,
            underlay,
            hops,
            config,
        }
    }
}
