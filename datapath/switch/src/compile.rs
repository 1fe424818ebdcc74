//! Programs, made into a [`Config`]. Off the path: it allocates as it likes.

mod guest;
mod slots;
mod way;

use crate::config::peer_key;
use crate::services::WHOLE_LEN;
use crate::{Config, Limits, Network, Port, Role, Tunnel, Way, WorkerId};
use core::time::Duration;
use hashbrown::HashMap;
use program::link::NextHop;
use program::{Allowed, Endpoint, Interface, Name, Speaks, Transport, Vnet};
use program::{NetworkProgram, PortProgram, Programs, TunnelProgram, UnderlayProgram};
use slots::Slots;
use std::collections::BTreeMap;
use std::net::IpAddr;
use way::Leaving;
use wire::ethernet::EthernetRepr;

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
    /// The addresses that GRE is sent to, and the VLAN it comes in; none for a guest's port.
    pub endpoint: Option<(Endpoint, Option<u16>)>,
}

/// What makes a tunnel the same tunnel: if any of it changes, what was learned behind it is void,
/// and its sequence starts anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct TunnelKey {
    vnet: Vnet,
    remote: IpAddr,
    keyed: bool,
}

impl From<&TunnelProgram> for TunnelKey {
    fn from(program: &TunnelProgram) -> Self {
        Self {
            vnet: program.vnet,
            remote: program.remote,
            keyed: program.keyed,
        }
    }
}

impl From<&UnderlayProgram> for PortKey {
    fn from(program: &UnderlayProgram) -> Self {
        Self {
            vnet: None,
            name: program.name.clone(),
            interface: program.interface.clone(),
            endpoint: Some((program.endpoint, program.vlan)),
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
    tunnels: Slots<TunnelKey>,
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
        way: &BTreeMap<IpAddr, NextHop>,
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
        let fresh_tunnels = self
            .tunnels
            .keep(programs.tunnels().map(|(_, p)| TunnelKey::from(p)));

        let mut config = Config {
            ports: vec![None; self.ports.slots()].into(),
            networks: vec![None; self.networks.slots()].into(),
            tunnels: vec![None; self.tunnels.slots()].into(),
            endpoint: underlay.map(|program| program.endpoint),
            workers: self.workers,
            fresh_ports,
            fresh_networks,
            fresh_tunnels,
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
            stations: program.stations,
            suppress: program.suppress,
            flood: program.flood,
            neighbours: (program.neighbours.iter())
                .map(|neighbour| (neighbour.address, (neighbour.mac.0, neighbour.router)))
                .collect(),
            owners: HashMap::default(),
            ports: Vec::new(),
            tunnels: Vec::new(),
        });
    }

    fn underlay(&self, config: &mut Config, program: &UnderlayProgram, attached: &Attached) {
        let key = program.into();
        let Some(slot) = self.ports.find(&key) else {
            return;
        };
        config.underlay = slot;
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
        let role = Role::Guest(guest::compile(network, program));
        config.ports[usize::from(slot)] = Some(self.attach(slot, role, facts));
        let Some(network) = &mut config.networks[usize::from(network)] else {
            return;
        };
        if let Speaks::As(mac) = program.mac {
            if facts.is_some() {
                network.owners.insert(mac.0, slot);
            }
            let hosts = program.addresses.iter().flatten();
            let hosts = hosts.filter(|prefix| prefix.is_one());
            let routes = program.allow.contains(&Allowed::Router);
            let known = hosts.map(|prefix| (prefix.address(), (mac.0, routes)));
            network.neighbours.extend(known);
        }
        if facts.is_some() {
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
        way: &BTreeMap<IpAddr, NextHop>,
    ) {
        let (Some(slot), Some(network)) = (
            self.tunnels.find(&program.into()),
            self.networks.find(&program.vnet),
        ) else {
            return;
        };
        let hop = way.get(&program.remote);
        let ways = underlay.zip(hop).map_or_else(Vec::new, |(underlay, hop)| {
            self.ways(underlay, program, hop)
        });
        // The peer's buffer has to hold it with its headers, and ours on its way there.
        let room = |way: &Way| {
            let headers = usize::from(way.len - way.ip_at);
            let room = hop.map_or(0, |hop| usize::try_from(hop.mtu).unwrap_or(usize::MAX));
            let buffer = self.limits.longest() - usize::from(way.len);
            room.saturating_sub(headers).min(buffer)
        };
        match (program.remote, program.key()) {
            (IpAddr::V4(remote), Some(key)) => {
                config.by_peer.insert(peer_key(remote, key), slot);
            }
            (remote, key) => {
                config.by_other.insert((remote, key), slot);
            }
        }
        config.peers.insert(program.remote);
        let max_cut = ways.first().map_or(0, |way| self.max_cut(way, program));
        config.tunnels[usize::from(slot)] = Some(Tunnel {
            max_cut,
            generation: self.tunnels.generation(slot),
            network,
            remote: program.remote,
            key: program.key(),
            sequence: program.sequence,
            dscp: program.dscp,
            oversize: program.oversize,
            max_inner: ways.first().map_or(0, room),
            mtu: hop.map_or(0, |hop| usize::try_from(hop.mtu).unwrap_or(usize::MAX)),
            way: ways.first().copied(),
            others: if ways.len() > 1 {
                ways.into()
            } else {
                Box::default()
            },
        });
        if let Some(network) = &mut config.networks[usize::from(network)] {
            network.tunnels.push(slot);
        }
    }

    /// What a peer like us can put together of what goes by `way`, less the headers it has itself.
    fn max_cut(&self, way: &Way, program: &TunnelProgram) -> usize {
        if program.transport == Transport::Udp {
            return 0; // RFC 8086 §4.1
        }
        let outer = usize::from(way.len).max(WHOLE_LEN + usize::from(way.len - way.gre_at));
        self.limits.longest() - outer
    }

    /// The ways to the peer that `hop` knows, by the underlay's own interface.
    fn ways(&self, underlay: &UnderlayProgram, program: &TunnelProgram, hop: &NextHop) -> Vec<Way> {
        let local = underlay.endpoint.towards(program.remote);
        let (Some(port), Some(local)) = (self.ports.find(&underlay.into()), local) else {
            return Vec::new();
        };
        let leaving = Leaving {
            port,
            vlan: underlay.vlan,
            local,
            program,
        };
        let hops = hop.hops.iter().take(program::link::MAX_HOPS);
        hops.filter(|hop| hop.interface == underlay.interface)
            .map(|hop| leaving.by(hop))
            .collect()
    }
}
