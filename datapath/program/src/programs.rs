//! All programs in force, and what may join or leave them.

use crate::{
    DontFragment, Epoch, Id, Interface, Kind, Mac, Name, NetworkProgram, Oversize, PortProgram,
    Program, ProgramError, Speaks, Transport, TunnelProgram, UnderlayProgram, Vnet,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One step from the programs in force to others.
///
/// As JSON: `{"put":{"epoch":1,"program":{…}}}` or `{"withdraw":{"epoch":1,"id":{…}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Puts a program in force, in place of an older one with its id, if there is one.
    Put {
        /// Its number: higher than the one in force.
        epoch: Epoch,
        /// The whole program.
        program: Program,
    },
    /// Takes a program out of force.
    Withdraw {
        /// The number of the program that is meant, or a higher one.
        epoch: Epoch,
        /// Which program.
        id: Id,
    },
}

impl Step {
    /// The program it is about.
    pub fn id(&self) -> Id {
        match self {
            Self::Put { program, .. } => program.id(),
            Self::Withdraw { id, .. } => id.clone(),
        }
    }

    /// The epoch it carries.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Put { epoch, .. } | Self::Withdraw { epoch, .. } => *epoch,
        }
    }
}

/// How many programs of each kind there may be. There is at most one underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Networks.
    pub networks: usize,
    /// Tunnels, over all networks.
    pub tunnels: usize,
    /// Guest ports, over all networks.
    pub ports: usize,
    /// The largest MTU a network may have, in bytes.
    pub mtu: u16,
}

/// The largest MTU that a network may have, in bytes.
pub const MAX_MTU: u16 = 9216;

impl Default for Limits {
    /// What one host is expected to carry: 4,096 networks, 65,536 tunnels, 1,024 ports, jumbo
    /// frames.
    fn default() -> Self {
        Self {
            networks: 4096,
            tunnels: 65_536,
            ports: 1024,
            mtu: MAX_MTU,
        }
    }
}

/// All programs in force.
///
/// - Shape: one map by id, and the indices that make every check independent of how many
///   programs there are.
/// - Bound: [`Limits`].
/// - Of two programs with one id the higher epoch stays. The same epoch again is harmless if the
///   program is the same, and stale if it is another.
/// - A program that was withdrawn is forgotten, its epoch too: who plans the steps remembers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Programs {
    limits: Limits,
    all: BTreeMap<Id, (Epoch, Program)>,
    /// Which network has a vnet.
    vnets: BTreeMap<Vnet, Name>,
    /// Who stands on a vnet; no entry is empty.
    users: BTreeMap<Vnet, BTreeSet<Id>>,
    /// Who has an interface.
    interfaces: BTreeMap<Interface, Id>,
    /// Which tunnel goes to a peer of a vnet.
    peers: BTreeMap<(Vnet, IpAddr), Name>,
    /// Which tunnel has what a peer sends without a key.
    unkeyed: BTreeMap<IpAddr, Name>,
    /// How many tunnels go to a peer; no entry is 0.
    remotes: BTreeMap<IpAddr, usize>,
}

impl Programs {
    /// No programs, and room for as many as `limits` says.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Whether [`apply`](Self::apply) would take `step`.
    ///
    /// # Errors
    ///
    /// Why not: the first reason found.
    pub fn check(&self, step: &Step) -> Result<(), ProgramError> {
        match step {
            Step::Put { epoch, program } => self.check_put(*epoch, program),
            Step::Withdraw { epoch, id } => self.check_withdraw(*epoch, id),
        }
    }

    /// Takes `step`, whole.
    ///
    /// # Errors
    ///
    /// Why not; nothing has changed then.
    pub fn apply(&mut self, step: &Step) -> Result<(), ProgramError> {
        self.check(step)?;
        self.remove(&step.id());
        if let Step::Put { epoch, program } = step {
            self.insert(*epoch, program);
        }
        Ok(())
    }

    /// The program called `id`, and its epoch.
    pub fn get(&self, id: &Id) -> Option<(Epoch, &Program)> {
        self.all.get(id).map(|(epoch, program)| (*epoch, program))
    }

    /// Every program, by kind and then by name: an order in which each may be put.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Epoch, &Program)> {
        self.all.values().map(|(epoch, program)| (*epoch, program))
    }

    /// The id and epoch of every program, by kind and then by name.
    pub fn applied(&self) -> Vec<(Id, Epoch)> {
        let entry = |(id, (epoch, _)): (&Id, &(Epoch, Program))| (id.clone(), *epoch);
        self.all.iter().map(entry).collect()
    }

    /// How many programs there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The underlay, if one is programmed.
    pub fn underlay(&self) -> Option<(Epoch, &UnderlayProgram)> {
        // Underlays sort before all other kinds, and there is one at most.
        match self.all.first_key_value() {
            Some((_, (epoch, Program::Underlay(underlay)))) => Some((*epoch, underlay)),
            _ => None,
        }
    }

    /// Every network, by name.
    pub fn networks(&self) -> impl Iterator<Item = (Epoch, &NetworkProgram)> {
        self.iter().filter_map(|(epoch, program)| match program {
            Program::Network(network) => Some((epoch, network)),
            _ => None,
        })
    }

    /// Every tunnel, by name.
    pub fn tunnels(&self) -> impl Iterator<Item = (Epoch, &TunnelProgram)> {
        self.iter().filter_map(|(epoch, program)| match program {
            Program::Tunnel(tunnel) => Some((epoch, tunnel)),
            _ => None,
        })
    }

    /// Every port, by name.
    pub fn ports(&self) -> impl Iterator<Item = (Epoch, &PortProgram)> {
        self.iter().filter_map(|(epoch, program)| match program {
            Program::Port(port) => Some((epoch, port)),
            _ => None,
        })
    }

    fn check_put(&self, epoch: Epoch, program: &Program) -> Result<(), ProgramError> {
        let id = program.id();
        if let Some((have, old)) = self.get(&id) {
            if epoch == have && program == old {
                return Ok(());
            }
            if epoch <= have {
                return Err(ProgramError::Stale {
                    id,
                    got: epoch,
                    have,
                });
            }
        } else {
            self.check_room(id.kind)?;
        }
        match program {
            Program::Underlay(underlay) => self.check_underlay(&id, underlay),
            Program::Network(network) => self.check_network(&id, network),
            Program::Tunnel(tunnel) => self.check_tunnel(tunnel),
            Program::Port(port) => self.check_port(&id, port),
        }
    }

    fn check_withdraw(&self, epoch: Epoch, id: &Id) -> Result<(), ProgramError> {
        let Some((have, program)) = self.get(id) else {
            return Err(ProgramError::NotThere(id.clone()));
        };
        if epoch < have {
            return Err(ProgramError::Stale {
                id: id.clone(),
                got: epoch,
                have,
            });
        }
        match program {
            Program::Network(network) => self.check_unused(id, network.vnet),
            _ => Ok(()),
        }
    }

    fn check_room(&self, kind: Kind) -> Result<(), ProgramError> {
        let (what, limit) = match kind {
            Kind::Underlay => return Ok(()), // a second one is refused by name
            Kind::Network => ("networks", self.limits.networks),
            Kind::Tunnel => ("tunnels", self.limits.tunnels),
            Kind::Port => ("ports", self.limits.ports),
        };
        let got = 1 + match kind {
            Kind::Network => self.vnets.len(),
            Kind::Tunnel => self.peers.len(),
            _ => self.interfaces.len() - usize::from(self.underlay().is_some()),
        };
        if got > limit {
            return Err(ProgramError::TooMany { what, got, limit });
        }
        Ok(())
    }

    fn check_underlay(&self, id: &Id, underlay: &UnderlayProgram) -> Result<(), ProgramError> {
        for address in underlay.endpoint.addresses() {
            host("endpoint", address)?;
            if self.remotes.contains_key(&address) {
                return Err(ProgramError::OwnEndpoint(address));
            }
        }
        if let Some(vlan) = underlay.vlan {
            range("vlan", u64::from(vlan), 1, 4094)?;
        }
        if let Some((_, other)) = self.underlay()
            && other.name != id.name
        {
            return Err(ProgramError::SecondUnderlay(other.name.clone()));
        }
        self.check_interface(id, &underlay.interface)
    }

    fn check_network(&self, id: &Id, network: &NetworkProgram) -> Result<(), ProgramError> {
        range("aging_s", u64::from(network.aging_s), 1, 1_000_000)?;
        range("stations", u64::from(network.stations), 1, 1_000_000)?;
        if let Some(mtu) = network.mtu {
            range("mtu", u64::from(mtu), 68, u64::from(MAX_MTU))?;
            if mtu > self.limits.mtu {
                return Err(ProgramError::NoJumbo {
                    got: mtu,
                    high: self.limits.mtu,
                });
            }
        }
        check_neighbours(network)?;
        if let Some(by) = self.vnets.get(&network.vnet)
            && *by != id.name
        {
            return Err(ProgramError::VnetTaken {
                vnet: network.vnet,
                by: by.clone(),
            });
        }
        match self.get(id) {
            Some((_, Program::Network(old))) if old.vnet != network.vnet => {
                self.check_unused(id, old.vnet)
            }
            _ => Ok(()),
        }
    }

    fn check_tunnel(&self, tunnel: &TunnelProgram) -> Result<(), ProgramError> {
        self.check_vnet(tunnel.vnet)?;
        host("remote", tunnel.remote)?;
        range("ttl", u64::from(tunnel.ttl), 1, 255)?;
        check_fragments(tunnel)?;
        let endpoint = self.underlay().map(|(_, underlay)| underlay.endpoint);
        if endpoint.is_some_and(|ours| ours.towards(tunnel.remote) == Some(tunnel.remote)) {
            return Err(ProgramError::OwnEndpoint(tunnel.remote));
        }
        if let Some(by) = self.unkeyed.get(&tunnel.remote)
            && !tunnel.keyed
            && *by != tunnel.name
        {
            return Err(ProgramError::UnkeyedTaken {
                remote: tunnel.remote,
                by: by.clone(),
            });
        }
        match self.peers.get(&(tunnel.vnet, tunnel.remote)) {
            Some(by) if *by != tunnel.name => Err(ProgramError::PeerTaken {
                vnet: tunnel.vnet,
                remote: tunnel.remote,
                by: by.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn check_port(&self, id: &Id, port: &PortProgram) -> Result<(), ProgramError> {
        self.check_vnet(port.vnet)?;
        if let Speaks::As(mac) = port.mac {
            station(mac)?;
        }
        check_limits(port)?;
        self.check_interface(id, &port.interface)
    }

    fn check_vnet(&self, vnet: Vnet) -> Result<(), ProgramError> {
        if self.vnets.contains_key(&vnet) {
            Ok(())
        } else {
            Err(ProgramError::UnknownVnet(vnet))
        }
    }

    fn check_unused(&self, id: &Id, vnet: Vnet) -> Result<(), ProgramError> {
        match self.users.get(&vnet).and_then(BTreeSet::first) {
            Some(by) => Err(ProgramError::InUse {
                id: id.clone(),
                by: by.clone(),
            }),
            None => Ok(()),
        }
    }

    fn check_interface(&self, id: &Id, interface: &Interface) -> Result<(), ProgramError> {
        match self.interfaces.get(interface) {
            Some(by) if by != id => Err(ProgramError::InterfaceTaken {
                interface: interface.clone(),
                by: by.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, epoch: Epoch, program: &Program) {
        let id = program.id();
        match program {
            Program::Underlay(underlay) => {
                self.interfaces
                    .insert(underlay.interface.clone(), id.clone());
            }
            Program::Network(network) => {
                self.vnets.insert(network.vnet, network.name.clone());
            }
            Program::Tunnel(tunnel) => {
                let peer = (tunnel.vnet, tunnel.remote);
                self.peers.insert(peer, tunnel.name.clone());
                if !tunnel.keyed {
                    self.unkeyed.insert(tunnel.remote, tunnel.name.clone());
                }
                *self.remotes.entry(tunnel.remote).or_default() += 1;
                self.users
                    .entry(tunnel.vnet)
                    .or_default()
                    .insert(id.clone());
            }
            Program::Port(port) => {
                self.interfaces.insert(port.interface.clone(), id.clone());
                self.users.entry(port.vnet).or_default().insert(id.clone());
            }
        }
        self.all.insert(id, (epoch, program.clone()));
    }

    fn remove(&mut self, id: &Id) {
        let Some((_, program)) = self.all.remove(id) else {
            return;
        };
        match program {
            Program::Underlay(underlay) => {
                self.interfaces.remove(&underlay.interface);
            }
            Program::Network(network) => {
                self.vnets.remove(&network.vnet);
            }
            Program::Tunnel(tunnel) => {
                self.peers.remove(&(tunnel.vnet, tunnel.remote));
                if !tunnel.keyed {
                    self.unkeyed.remove(&tunnel.remote);
                }
                if let Some(count) = self.remotes.get_mut(&tunnel.remote) {
                    *count -= 1;
                    if *count == 0 {
                        self.remotes.remove(&tunnel.remote);
                    }
                }
                self.leave(tunnel.vnet, id);
            }
            Program::Port(port) => {
                self.interfaces.remove(&port.interface);
                self.leave(port.vnet, id);
            }
        }
    }

    fn leave(&mut self, vnet: Vnet, id: &Id) {
        if let Some(users) = self.users.get_mut(&vnet) {
            users.remove(id);
            if users.is_empty() {
                self.users.remove(&vnet);
            }
        }
    }
}

/// Refuses fragments of what says that it must not be fragmented.
fn check_fragments(tunnel: &TunnelProgram) -> Result<(), ProgramError> {
    let contradiction = |why| {
        Err(ProgramError::Contradiction {
            field: "oversize",
            why,
        })
    };
    if tunnel.oversize != Oversize::Outer {
        return Ok(());
    }
    if tunnel.remote.is_ipv4() && tunnel.df != DontFragment::Clear {
        return contradiction("tunnel packets are only fragmented with \"df\": \"clear\"");
    }
    if tunnel.transport == Transport::Udp {
        // RFC 8086 §4.1; nor could a fragment be told from those of other programs by its port.
        return contradiction("GRE in UDP is not fragmented: take \"answer\" or \"inner\"");
    }
    Ok(())
}

fn check_neighbours(network: &NetworkProgram) -> Result<(), ProgramError> {
    let (got, limit) = (network.neighbours.len(), NetworkProgram::MAX_NEIGHBOURS);
    if got > limit {
        let what = "neighbours";
        return Err(ProgramError::TooMany { what, got, limit });
    }
    let mut seen = BTreeSet::new();
    for neighbour in &network.neighbours {
        station(neighbour.mac)?;
        host("neighbours", neighbour.address)?;
        if !seen.insert(neighbour.address) {
            return Err(ProgramError::NeighbourTwice(neighbour.address));
        }
    }
    Ok(())
}

fn check_limits(port: &PortProgram) -> Result<(), ProgramError> {
    range("stations", u64::from(port.stations), 1, 1_000_000)?;
    let (got, limit) = (
        port.addresses.as_ref().map_or(0, Vec::len),
        PortProgram::MAX_ADDRESSES,
    );
    if got > limit {
        let what = "addresses";
        return Err(ProgramError::TooMany { what, got, limit });
    }
    let rates = [
        ("rate.from_guest_mbit", port.rate.from_guest_mbit),
        ("rate.to_guest_mbit", port.rate.to_guest_mbit),
    ];
    for (field, rate) in rates {
        if let Some(rate) = rate {
            range(field, u64::from(rate), 1, 1_000_000)?;
        }
    }
    Ok(())
}

/// Refuses what is not the address of one host that can be sent to.
fn host(field: &'static str, address: IpAddr) -> Result<(), ProgramError> {
    let never = match address {
        IpAddr::V4(v4) => {
            let nobody = v4.octets()[0] == 0; // RFC 1122 §3.2.1.3: {0, host} is "this network"
            nobody || v4.octets()[0] >= 240 // RFC 1112 §4: class E, the broadcast address in it
        }
        // An IPv4 address in IPv6 clothes is never seen on a wire (RFC 4291 §2.5.5.2).
        IpAddr::V6(v6) => v6.is_unspecified() || v6.to_ipv4_mapped().is_some(),
    };
    if never || address.is_multicast() || address.is_loopback() {
        return Err(ProgramError::NotAHost { field, address });
    }
    Ok(())
}

fn station(mac: Mac) -> Result<(), ProgramError> {
    if mac.is_station() {
        Ok(())
    } else {
        Err(ProgramError::NotAStation(mac))
    }
}

fn range(field: &'static str, got: u64, low: u64, high: u64) -> Result<(), ProgramError> {
    if (low..=high).contains(&got) {
        Ok(())
    } else {
        Err(ProgramError::OutOfRange {
            field,
            got,
            low,
            high,
        })
    }
}

#[cfg(test)]
mod tests;
