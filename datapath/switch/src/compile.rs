//! Programs, made into a [`Config`]. Off the path: it allocates as it likes.

use crate::config::{OUTER_LEN, peer_key};
use crate::{Config, Limits, NOWHERE, Network, Port, Role, Tunnel, Way, WorkerId};
use core::time::Duration;
use program::link::NextHop;
use program::{Interface, Mac, Name, Vnet};
use program::{NetworkProgram, PortProgram, Programs, TunnelProgram, UnderlayProgram};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use wire::ethernet::{EtherType, EthernetRepr};
use wire::gre::GreRepr;
use wire::ipv4::Ipv4Repr;
use wire::l4::Protocol;

/// Time to live of the packets we send.
const TTL: u8 = 64;

/// What is known of the interface of a port that is attached to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// The interface's MTU, in bytes.
    pub mtu: u32,
    /// How many of its queues are polled.
    pub queues: u32,
}

/// What makes a port the same port: if any of it changes, what was learned behind it is void.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortKey {
    /// The network it belongs to; none for an underlay port.
    pub vnet: Option<Vnet>,
    /// Its program's name.
    pub name: Name,
    /// Its interface.
    pub interface: Interface,
    /// The address that GRE is sent to; none for a guest's port.
    pub endpoint: Option<Ipv4Addr>,
}

impl From<&UnderlayProgram> for PortKey {
    fn from(program: &UnderlayProgram) -> Self {
        Self {
            vnet: None,
            name: program.name.clone(),
            interface: program.interface.clone(),
            endpoint: Some(program.endpoint),
        }
    }
}

impl From<&PortProgram> for PortKey {
    fn from(program: &PortProgram) -> Self {
        Self {
            vnet: Some(program.vnet),
            name: program.name.clone(),
            interface: program.interface.clone(),
            endpoint: None,
        }
    }
}

/// What is known of the ports that are attached to their interfaces.
pub type Attached = BTreeMap<PortKey, PortFacts>;

/// Makes configs, and keeps every program in its slot from one to the next.
///
/// A slot is an index into the arrays of a [`Config`]. What was learned or counted under a slot
/// must not pass to the next program that gets it: each has a generation, and counters of a slot
/// with a new owner start anew.
pub struct Compiler {
    limits: Limits,
    workers: u16,
    ports: Slots<PortKey>,
    networks: Slots<Vnet>,
    tunnels: Slots<(Vnet, Ipv4Addr)>,
}

impl Compiler {
    /// A compiler for `workers` workers.
    pub fn new(limits: Limits, workers: u16) -> Self {
        Self {
            limits,
            workers: workers.max(1),
            ports: Slots::new(limits.ports),
            networks: Slots::new(limits.networks),
            tunnels: Slots::new(limits.tunnels),
        }
    }

    /// What it has room for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Makes the config of `programs`, which are within the limits.
    ///
    /// `way` has what the kernel says of the way to each peer; `attached` what is known of each
    /// port that is attached to its interface, underlay ports included.
    pub fn compile(
        &mut self,
        programs: &Programs,
        way: &BTreeMap<Ipv4Addr, NextHop>,
        attached: &Attached,
    ) -> Config {
        let underlay = programs.underlay().map(|(_, program)| program);
        let keys = underlay.iter().map(|program| PortKey::from(*program));
        let guests = programs.ports().map(|(_, program)| program.into());
        // A port that was withdrawn keeps its slot until its devices are gone: what they still
        // bring must not pass for the next owner's.
        let fresh_ports = self
            .ports
            .keep(keys.chain(guests).chain(attached.keys().cloned()));
        let fresh_networks = self.networks.keep(programs.networks().map(|(_, p)| p.vnet));
        self.tunnels
            .keep(programs.tunnels().map(|(_, p)| (p.vnet, p.remote)));

        let mut config = Config {
            ports: vec![None; self.ports.slots()].into(),
            networks: vec![None; self.networks.slots()].into(),
            tunnels: vec![None; self.tunnels.slots()].into(),
            endpoint: underlay.map(|program| program.endpoint),
            fresh_ports,
            fresh_networks,
            ..Config::default()
        };
        for (_, program) in programs.networks() {
            self.network(&mut config, program);
        }
        if let Some(program) = underlay {
            self.underlay(&mut config, program, attached);
        }
        for (_, program) in programs.ports() {
            self.port(&mut config, program, attached);
        }
        for (_, program) in programs.tunnels() {
            self.tunnel(&mut config, program, underlay, way);
        }
        config
    }

    /// The slot of a port, in the config that was made last.
    pub fn port_slot(&self, key: &PortKey) -> Option<u16> {
        self.ports.find(key)
    }

    /// The slot of a network, in the config that was made last.
    pub fn network_slot(&self, vnet: Vnet) -> Option<u16> {
        self.networks.find(&vnet)
    }

    /// The worker that is home to `vnet`.
    ///
    /// A multiplicative hash spreads numbers that were given in a row, or in steps.
    pub fn home(&self, vnet: Vnet) -> WorkerId {
        let spread = u64::from(vnet.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        #[allow(clippy::cast_possible_truncation)] // below the number of workers
        WorkerId(((spread * u64::from(self.workers)) >> 32) as u16)
    }

    fn network(&self, config: &mut Config, program: &NetworkProgram) {
        let Some(slot) = self.networks.find(&program.vnet) else {
            return;
        };
        config.by_vnet.insert(program.vnet.0, slot);
        config.networks[usize::from(slot)] = Some(Network {
            vnet: program.vnet,
            home: self.home(program.vnet),
            idle: Duration::from_secs(u64::from(program.aging_s)),
            mtu: program.mtu.map(usize::from),
            ports: Vec::new(),
            tunnels: Vec::new(),
        });
    }

    fn underlay(&self, config: &mut Config, program: &UnderlayProgram, attached: &Attached) {
        let key = program.into();
        let Some(slot) = self.ports.find(&key) else {
            return;
        };
        config.ports[usize::from(slot)] =
            Some(self.attach(slot, Role::Underlay, attached.get(&key)));
    }

    fn port(&self, config: &mut Config, program: &PortProgram, attached: &Attached) {
        let key = program.into();
        let (Some(slot), Some(network)) =
            (self.ports.find(&key), self.networks.find(&program.vnet))
        else {
            return;
        };
        let facts = attached.get(&key);
        let role = Role::Guest {
            network,
            speaks: program.mac,
        };
        config.ports[usize::from(slot)] = Some(self.attach(slot, role, facts));
        if facts.is_some()
            && let Some(network) = &mut config.networks[usize::from(network)]
        {
            network.ports.push(slot);
        }
    }

    fn attach(&self, slot: u16, role: Role, facts: Option<&PortFacts>) -> Port {
        let mtu = facts.map_or(0, |facts| facts.mtu);
        let max_frame = usize::try_from(mtu).unwrap_or(0) + EthernetRepr::LEN;
        Port {
            generation: self.ports.generation(slot),
            role,
            up: facts.is_some(),
            queues: facts.map_or(1, |facts| facts.queues.max(1)),
            max_frame,
        }
    }

    fn tunnel(
        &self,
        config: &mut Config,
        program: &TunnelProgram,
        underlay: Option<&UnderlayProgram>,
        way: &BTreeMap<Ipv4Addr, NextHop>,
    ) {
        let key = (program.vnet, program.remote);
        let (Some(slot), Some(network)) =
            (self.tunnels.find(&key), self.networks.find(&program.vnet))
        else {
            return;
        };
        let way = underlay
            .zip(way.get(&program.remote))
            .and_then(|(underlay, hop)| {
                let port = self.ports.find(&underlay.into())?;
                (hop.interface == underlay.interface)
                    .then(|| self::way(port, underlay.endpoint, program.vnet, hop))
            });
        let generation = self.tunnels.generation(slot);
        config
            .by_peer
            .insert(peer_key(program.remote, program.vnet), slot);
        config.tunnels[usize::from(slot)] = Some(Tunnel {
            generation,
            network,
            remote: program.remote,
            way,
        });
        if let Some(network) = &mut config.networks[usize::from(network)] {
            network.tunnels.push(slot);
        }
    }
}

/// The headers in front of every frame of `vnet` that goes to `hop.remote`.
fn way(port: u16, local: Ipv4Addr, vnet: Vnet, hop: &NextHop) -> Way {
    let mut outer = [0; OUTER_LEN];
    let (ethernet, rest) = outer.split_at_mut(EthernetRepr::LEN);
    let (ip, gre) = rest.split_at_mut(Ipv4Repr::LEN);
    let Mac(source) = hop.source;
    let Mac(destination) = hop.destination;
    ethernet.copy_from_slice(
        &EthernetRepr {
            destination,
            source,
            ethertype: EtherType::IPV4,
        }
        .emit(),
    );
    gre.copy_from_slice(&GreRepr { key: vnet.0 }.emit());
    // Version and header length, TOS 0; length to come; identification 0, which is right for a
    // packet that must not be fragmented (RFC 6864 §4.1); DF.
    ip[..8].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0]);
    ip[8..12].copy_from_slice(&[TTL, Protocol::GRE.0, 0, 0]);
    ip[12..16].copy_from_slice(&local.octets());
    ip[16..20].copy_from_slice(&hop.remote.octets());
    let words = ip
        .chunks_exact(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum();
    let room = usize::try_from(hop.mtu).unwrap_or(usize::MAX);
    let max_inner = room.saturating_sub(OUTER_LEN - EthernetRepr::LEN);
    Way {
        port,
        outer,
        sum,
        // The peer's buffer has to hold it with its headers, and ours on its way there.
        max_inner: max_inner.min(frame::MAX_FRAME - OUTER_LEN),
        source: hop.source,
        destination: hop.destination,
        mtu: hop.mtu,
    }
}

/// Which slot belongs to whom.
struct Slots<K> {
    by_key: HashMap<K, u16>,
    generations: Vec<u8>,
    free: Vec<u16>,
    room: usize,
}

impl<K: Clone + Eq + core::hash::Hash + Ord> Slots<K> {
    fn new(room: usize) -> Self {
        let room = room.min(usize::from(NOWHERE) - 1);
        Self {
            by_key: HashMap::new(),
            generations: Vec::new(),
            free: Vec::new(),
            room,
        }
    }

    /// Gives every one of `keys` a slot and takes the slots of all others away; says which slots
    /// have a new owner.
    fn keep(&mut self, keys: impl Iterator<Item = K>) -> Vec<u16> {
        let keys: BTreeSet<K> = keys.collect();
        let mut gone: Vec<u16> = self
            .by_key
            .iter()
            .filter(|(key, _)| !keys.contains(key))
            .map(|(_, slot)| *slot)
            .collect();
        gone.sort_unstable();
        self.by_key.retain(|key, _| keys.contains(key));
        for slot in &gone {
            let generation = &mut self.generations[usize::from(*slot)];
            *generation = generation.wrapping_add(1);
        }
        // Behind those that have been free for longer, so that a slot rests before its next owner.
        self.free.splice(0..0, gone);
        let mut fresh = Vec::new();
        for key in keys {
            if self.by_key.contains_key(&key) {
                continue;
            }
            let Some(slot) = self.free_slot() else { break };
            self.by_key.insert(key, slot);
            fresh.push(slot);
        }
        fresh
    }

    fn free_slot(&mut self) -> Option<u16> {
        let next = self.generations.len();
        if next < self.room {
            self.generations.push(0);
            return u16::try_from(next).ok();
        }
        self.free.pop()
    }

    fn find(&self, key: &K) -> Option<u16> {
        self.by_key.get(key).copied()
    }

    /// How many slots there are, owned or free.
    fn slots(&self) -> usize {
        self.generations.len()
    }

    fn generation(&self, slot: u16) -> u8 {
        self.generations[usize::from(slot)]
    }
}
