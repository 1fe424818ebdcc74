//! What a worker was told: programs, compiled for reading.

use crate::{Counters, NOWHERE, State, WorkerId};
use core::time::Duration;
use hashbrown::{HashMap, HashSet};
use program::{DontFragment, Dscp, Endpoint, Flooded, Mac, Oversize, Sequence, Speaks, Vnet};
use std::net::{IpAddr, Ipv4Addr};
use tables::Rate;
use wire::ethernet::{EthernetRepr, MacAddr, TAG_LEN};
use wire::gre::GreRepr;
use wire::ipv4::Ipv4Repr;
use wire::ipv6::Ipv6Repr;
use wire::udp::UdpRepr;

/// Bytes in front of most inner frames: Ethernet, IPv4 and GRE with a key.
pub const PLAIN_LEN: usize = EthernetRepr::LEN + Ipv4Repr::LEN + GreRepr::KEYED_LEN;

/// Bytes in front of an inner frame, at most: Ethernet with a tag, IPv6, UDP, and GRE with all
/// it can have.
pub const OUTER_MAX: usize =
    EthernetRepr::LEN + TAG_LEN + Ipv6Repr::LEN + UdpRepr::LEN + GreRepr::MAX_LEN;

/// A map that is read on the path.
type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// A set that is read on the path.
type Set<K> = HashSet<K, foldhash::fast::FixedState>;

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
    /// IP addresses whose station is remembered, for each worker.
    pub neighbours: usize,
    /// Outer packets in fragments that are put together at a time, for each worker.
    pub fragmented: usize,
    /// Frame buffers, for each worker.
    pub frames: usize,
    /// Buffers for frames that no chunk holds, for each worker. Without any, no interface with an
    /// MTU beyond one chunk is taken.
    pub jumbo: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ports: 1024,
            networks: 4096,
            tunnels: 16384,
            stations: 131_072,
            neighbours: 65_536,
            fragmented: 64,
            frames: 16_384,
            jumbo: 0,
        }
    }
}

impl Limits {
    /// The memory one worker takes at start, in bytes: frames, what it remembers, counters.
    pub fn bytes(&self) -> usize {
        let frames = self.frames * frame::CHUNK + self.jumbo * frame::JUMBO;
        frames + State::bytes_for(self) + Counters::bytes(self)
    }

    /// The longest frame that a buffer holds, outer headers and all, in bytes.
    pub fn longest(&self) -> usize {
        if self.jumbo == 0 {
            frame::MAX_FRAME
        } else {
            frame::MAX_JUMBO
        }
    }

    /// The largest MTU that a network can have, in bytes: what is left of the longest frame
    /// behind the headers that most frames get.
    pub fn mtu(&self) -> usize {
        self.longest() - PLAIN_LEN - EthernetRepr::LEN
    }
}

/// Everything a worker was told, at one moment. Made whole by [`Compiler`](crate::Compiler), never
/// changed.
#[derive(Debug)]
pub struct Config {
    /// By slot.
    pub ports: Box<[Option<Port>]>,
    /// By slot.
    pub networks: Box<[Option<Network>]>,
    /// By slot.
    pub tunnels: Box<[Option<Tunnel>]>,
    /// Our end of every tunnel, if there is an underlay.
    pub endpoint: Option<Endpoint>,
    /// The slot of the underlay's port; [`NOWHERE`] if there is none.
    pub underlay: u16,
    /// How many workers there are.
    pub workers: u16,
    /// The slots of networks, by vnet.
    pub(crate) by_vnet: Map<u32, u16>,
    /// The slots of tunnels over IPv4 that have a key, by peer and key: nearly all.
    pub(crate) by_peer: Map<u64, u16>,
    /// The slots of the others, by peer and key.
    pub(crate) by_other: Map<(IpAddr, Option<u32>), u16>,
    /// Everybody who is at the other end of a tunnel.
    pub(crate) peers: Set<IpAddr>,
    /// Slots of ports that belong to somebody else than in the config before: what was counted and
    /// remembered of them starts anew.
    pub fresh_ports: Vec<u16>,
    /// The same, of networks.
    pub fresh_networks: Vec<u16>,
    /// The same, of tunnels.
    pub fresh_tunnels: Vec<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ports: Box::default(),
            networks: Box::default(),
            tunnels: Box::default(),
            endpoint: None,
            underlay: NOWHERE,
            workers: 1,
            by_vnet: Map::default(),
            by_peer: Map::default(),
            by_other: Map::default(),
            peers: Set::default(),
            fresh_ports: Vec::new(),
            fresh_networks: Vec::new(),
            fresh_tunnels: Vec::new(),
        }
    }
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Told apart from whoever had this slot before.
    pub generation: u8,
    /// Whether it is attached to its interface.
    pub up: bool,
    /// How many queues of its interface are polled.
    pub queues: u32,
    /// The longest untagged frame its interface carries, in bytes.
    pub max_frame: usize,
    /// What it is for.
    pub role: Role,
}

/// What a port is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Where this host meets its peers.
    Underlay,
    /// A guest's attachment.
    Guest(Guest),
}

/// What a guest's port may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The slot of its network.
    pub network: u16,
    /// Whose address it may speak in.
    pub speaks: Speaks,
    /// The IP addresses it may speak in; any if none.
    pub addresses: Option<Box<Addresses>>,
    /// Whether it may serve DHCP.
    pub serves_dhcp: bool,
    /// Whether it may advertise itself as a router.
    pub routes: bool,
    /// How many stations are remembered behind it.
    pub stations: u32,
    /// Frames to all stations, to other groups, and to stations that were not heard, in packets.
    pub storm: [Rate; 3],
    /// What it may send, in bytes.
    pub from_guest: Option<Rate>,
    /// What it may be sent, in bytes.
    pub to_guest: Option<Rate>,
}

/// IP addresses, as first address and mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Of IPv4.
    pub v4: Box<[(u32, u32)]>,
    /// Of IPv6.
    pub v6: Box<[(u128, u128)]>,
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
    /// How many stations are remembered in it.
    pub stations: u32,
    /// Whether questions for addresses are answered here.
    pub suppress: bool,
    /// What is flooded.
    pub flood: Flooded,
    /// Who has which address, as programs say, and whether it is a router.
    pub neighbours: Map<IpAddr, (MacAddr, bool)>,
    /// Which guest port here has which address, as programs say.
    pub owners: Map<MacAddr, u16>,
    /// The slots of its guest ports that are up.
    pub ports: Vec<u16>,
    /// The slots of its tunnels.
    pub tunnels: Vec<u16>,
}

/// One tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Told apart from whoever had this slot before.
    pub generation: u8,
    /// The slot of its network.
    pub network: u16,
    /// The peer's end.
    pub remote: IpAddr,
    /// The key in its packets.
    pub key: Option<u32>,
    /// What is done about sequence numbers.
    pub sequence: Sequence,
    /// Whether the DSCP goes in and out.
    pub dscp: Dscp,
    /// What is done with what does not fit.
    pub oversize: Oversize,
    /// How it is reached; none if the kernel does not know.
    pub way: Option<Way>,
    /// All the ways there are, that one among them, if there are several, each as good as the
    /// others; else none.
    pub others: Box<[Way]>,
    /// The longest inner frame that fits, in bytes; 0 if there is no way.
    pub max_inner: usize,
    /// The longest inner frame that fits if it is cut behind its outer headers: what a peer like
    /// us can put together, in bytes; 0 if what carries it must not be cut.
    pub max_cut: usize,
    /// The largest IP packet that may be sent there, in bytes.
    pub mtu: usize,
}

/// How a peer is reached: the outer headers, but for what differs from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The slot of the underlay port it leaves by.
    pub port: u16,
    /// Whether they are [`PLAIN_LEN`] bytes of IPv4 and keyed GRE, in which only the length, the
    /// type of service and the header checksum are missing.
    pub plain: bool,
    /// Which bits of the inner type of service go out: ECN, or all.
    pub tos_mask: u8,
    /// The bytes of them that are used.
    pub len: u8,
    /// Where the IP header starts in them.
    pub ip_at: u8,
    /// Where the GRE header starts in them.
    pub gre_at: u8,
    /// Which don't-fragment bit is sent over IPv4.
    pub df: DontFragment,
    /// The sum of the outer IPv4 header's words, without what is missing.
    pub sum: u32,
    /// The headers.
    pub outer: [u8; OUTER_MAX],
    /// The address of the next hop.
    pub destination: Mac,
}

impl Tunnel {
    /// Every way there is.
    pub fn ways(&self) -> impl Iterator<Item = &Way> {
        let one = self.way.iter().filter(|_| self.others.is_empty());
        one.chain(&self.others)
    }
}

impl Way {
    /// Whether the outer IP header is an IPv4 one.
    pub(crate) fn is_v4(&self) -> bool {
        self.outer[usize::from(self.ip_at)] >> 4 == 4
    }

    /// Whether GRE is in UDP.
    pub(crate) fn is_in_udp(&self) -> bool {
        let ip = if self.is_v4() {
            Ipv4Repr::LEN
        } else {
            Ipv6Repr::LEN
        };
        usize::from(self.gre_at) == usize::from(self.ip_at) + ip + UdpRepr::LEN
    }
}

impl Config {
    /// The port in `slot`.
    #[inline]
    pub fn port(&self, slot: u16) -> Option<&Port> {
        self.ports.get(usize::from(slot))?.as_ref()
    }

    /// The guest's port in `slot`; none if it is no guest's.
    #[inline]
    pub fn guest(&self, slot: u16) -> Option<&Guest> {
        match &self.port(slot)?.role {
            Role::Guest(guest) => Some(guest),
            Role::Underlay => None,
        }
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

    /// The slot of the tunnel whose packets come from `remote` with `key`.
    #[inline]
    pub fn tunnel_of(&self, remote: IpAddr, key: Option<u32>) -> Option<u16> {
        match (remote, key) {
            (IpAddr::V4(remote), Some(key)) => self.by_peer.get(&peer_key(remote, key)).copied(),
            _ => self.by_other.get(&(remote, key)).copied(),
        }
    }

    /// The slot of the network of the guest port in `slot`; [`NOWHERE`] if it is no guest's.
    #[inline]
    pub fn network_of_port(&self, slot: u16) -> u16 {
        self.guest(slot).map_or(NOWHERE, |guest| guest.network)
    }
}

/// What a tunnel is found by.
#[inline]
pub(crate) fn peer_key(remote: Ipv4Addr, key: u32) -> u64 {
    u64::from(remote.to_bits()) << 32 | u64::from(key)
}
