//! What a worker was told: programs, compiled for reading.

use crate::{Counters, NOWHERE, WorkerId};
use core::time::Duration;
use hashbrown::HashMap;
use program::{Mac, Speaks, Vnet};
use std::net::Ipv4Addr;
use wire::ethernet::EthernetRepr;
use wire::gre::GreRepr;
use wire::ipv4::Ipv4Repr;

/// Bytes in front of an inner frame: Ethernet, IPv4 and GRE with a key.
pub const OUTER_LEN: usize = EthernetRepr::LEN + Ipv4Repr::LEN + GreRepr::LEN;

/// How much the datapath has room for. Fixed at start; every table is sized from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ports, guests' and underlay. At most 65,534.
    pub ports: usize,
    /// Networks. At most 65,534.
    pub networks: usize,
    /// Tunnels, of all networks together. At most 65,534.
    pub tunnels: usize,
    /// Stations, for each worker.
    pub stations: usize,
    /// Frame buffers, for each worker.
    pub frames: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ports: 1024,
            networks: 4096,
            tunnels: 16384,
            stations: 131_072,
            frames: 16_384,
        }
    }
}

impl Limits {
    /// The memory one worker takes at start, in bytes: frames, stations, counters.
    pub fn bytes(&self) -> usize {
        self.frames * frame::CHUNK + tables::Fdb::bytes_for(self.stations) + Counters::bytes(self)
    }
}

/// Everything a worker was told, at one moment. Made whole by [`Compiler`](crate::Compiler), never
/// changed.
#[derive(Debug, Default)]
pub struct Config {
    /// By slot.
    pub ports: Box<[Option<Port>]>,
    /// By slot.
    pub networks: Box<[Option<Network>]>,
    /// By slot.
    pub tunnels: Box<[Option<Tunnel>]>,
    /// Our end of every tunnel, if there is an underlay.
    pub endpoint: Option<Ipv4Addr>,
    /// The slots of networks, by vnet.
    pub(crate) by_vnet: HashMap<u32, u16, foldhash::fast::FixedState>,
    /// The slots of tunnels, by peer and vnet.
    pub(crate) by_peer: HashMap<u64, u16, foldhash::fast::FixedState>,
    /// Slots of ports that belong to somebody else than in the config before: their ledgers start
    /// anew.
    pub fresh_ports: Vec<u16>,
    /// The same, of networks.
    pub fresh_networks: Vec<u16>,
}

/// One port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Told apart from whoever had this slot before.
    pub generation: u8,
    /// What it is for.
    pub role: Role,
    /// Whether it is attached to its interface.
    pub up: bool,
    /// How many queues of its interface are polled.
    pub queues: u32,
    /// The longest untagged frame its interface carries, in bytes.
    pub max_frame: usize,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Where this host meets its peers.
    Underlay,
    /// A guest's attachment.
    Guest {
        /// The slot of its network.
        network: u16,
        /// Whose address it may speak in.
        speaks: Speaks,
    },
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its number: its GRE key.
    pub vnet: Vnet,
    /// The worker that is home to it: the only one that learns and forwards in it.
    pub home: WorkerId,
    /// How long a station is remembered.
    pub idle: Duration,
    /// The largest IP packet, if its program says so, in bytes.
    pub mtu: Option<usize>,
    /// The slots of its guest ports that are up.
    pub ports: Vec<u16>,
    /// The slots of its tunnels.
    pub tunnels: Vec<u16>,
}

/// One tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Told apart from whoever had this slot before.
    pub generation: u8,
    /// The slot of its network.
    pub network: u16,
    /// The peer's end.
    pub remote: Ipv4Addr,
    /// How it is reached, if the kernel knows.
    pub way: Option<Way>,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The slot of the underlay port it leaves by.
    pub port: u16,
    /// The outer headers, but for the length and the checksum of the IPv4 header.
    pub outer: [u8; OUTER_LEN],
    /// The sum of the outer IPv4 header's words, those two left out.
    pub sum: u32,
    /// The longest inner frame that fits, in bytes.
    pub max_inner: usize,
    /// The address of our interface.
    pub source: Mac,
    /// The address of the next hop.
    pub destination: Mac,
    /// The largest IP packet that may be sent this way, in bytes.
    pub mtu: u32,
}

impl Config {
    /// The port in `slot`.
    #[inline]
    pub fn port(&self, slot: u16) -> Option<&Port> {
        self.ports.get(usize::from(slot))?.as_ref()
    }

    /// The network in `slot`.
    #[inline]
    pub fn network(&self, slot: u16) -> Option<&Network> {
        self.networks.get(usize::from(slot))?.as_ref()
    }

    /// The tunnel in `slot`.
    #[inline]
    pub fn tunnel(&self, slot: u16) -> Option<&Tunnel> {
        self.tunnels.get(usize::from(slot))?.as_ref()
    }

    /// The slot of the network with this number.
    #[inline]
    pub fn network_of(&self, vnet: Vnet) -> Option<u16> {
        self.by_vnet.get(&vnet.0).copied()
    }

    /// The slot of the tunnel between us and `remote` in the network with this number.
    #[inline]
    pub fn tunnel_of(&self, remote: Ipv4Addr, vnet: Vnet) -> Option<u16> {
        self.by_peer.get(&peer_key(remote, vnet)).copied()
    }

    /// The slot of the network of the guest port in `slot`; [`NOWHERE`] if it is no guest's.
    pub fn network_of_port(&self, slot: u16) -> u16 {
        match self.port(slot).map(|port| port.role) {
            Some(Role::Guest { network, .. }) => network,
            _ => NOWHERE,
        }
    }
}

/// What a tunnel is found by.
#[inline]
pub(crate) fn peer_key(remote: Ipv4Addr, vnet: Vnet) -> u64 {
    u64::from(remote.to_bits()) << 32 | u64::from(vnet.0)
}
