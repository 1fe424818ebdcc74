//! What the datapath shows of itself.

use crate::{Epoch, Interface, Mac, Name, Speaks, Vnet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// Ports, guests' and underlay: how each is attached, and what was got.
    Ports,
    /// Networks.
    Networks,
    /// Tunnels and the way to each.
    Tunnels,
    /// The stations that were heard.
    Stations,
    /// Every counter, with the balance.
    Counters,
    /// What the workers do with their time.
    Workers,
    /// Who has which IP address, as far as was heard.
    Neighbours,
    /// What happened that an operator may want to know, the latest last.
    Events,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// To [`Subject::Ports`].
    Ports(Vec<Port>),
    /// To [`Subject::Networks`].
    Networks(Vec<Network>),
    /// To [`Subject::Tunnels`].
    Tunnels(Vec<Tunnel>),
    /// To [`Subject::Stations`].
    Stations(Vec<Station>),
    /// To [`Subject::Counters`].
    Counters(Counters),
    /// To [`Subject::Workers`].
    Workers(Vec<Worker>),
    /// To [`Subject::Neighbours`].
    Neighbours(Vec<Neighbour>),
    /// To [`Subject::Events`].
    Events(Vec<Event>),
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its program's name.
    pub name: Name,
    /// Its program's epoch.
    pub epoch: Epoch,
    /// The network it belongs to; none for an underlay port.
    pub vnet: Option<Vnet>,
    /// Its interface.
    pub interface: Interface,
    /// Whose address it may speak in; none for an underlay port.
    pub speaks: Option<Speaks>,
    /// `"up"`, or what it waits for, in words.
    pub state: String,
    /// How the program that steers is attached: `"native"` or `"generic"`; empty while it waits.
    pub steer: String,
    /// One entry a receive queue: the worker that polls it and the mode it got.
    pub queues: Vec<Queue>,
    /// The interface's MTU, in bytes; 0 while it waits.
    pub mtu: u32,
    /// What an operator should know: why not a better mode, unfinished checksums, and the like.
    pub notes: Vec<String>,
}

/// One receive queue of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its number on the interface.
    pub queue: u32,
    /// The worker that polls it.
    pub worker: u16,
    /// `"zero-copy"` or `"copy"`.
    pub mode: String,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its program's name.
    pub name: Name,
    /// Its program's epoch.
    pub epoch: Epoch,
    /// Its GRE key.
    pub vnet: Vnet,
    /// The largest IP packet it carries to a peer, in bytes; 0 while no way to a peer is known
    /// and its program names none.
    pub mtu: u32,
    /// Guest ports on this host.
    pub ports: usize,
    /// Peer hosts.
    pub tunnels: usize,
    /// The worker that is home to it.
    pub worker: u16,
}

/// One tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Its program's name.
    pub name: Name,
    /// Its program's epoch.
    pub epoch: Epoch,
    /// The network it belongs to: its GRE key.
    pub vnet: Vnet,
    /// Our end; none while no underlay of its family is programmed.
    pub local: Option<IpAddr>,
    /// The peer's end.
    pub remote: IpAddr,
    /// How frames are wrapped, in words: `"key"`, or `"key csum seq in UDP"`.
    pub wraps: String,
    /// `"up"`, or what it waits for, in words.
    pub state: String,
    /// The interface it leaves by, if the way is known.
    pub interface: Option<Interface>,
    /// The addresses of the next hops; none if the way is not known.
    pub next_hops: Vec<Mac>,
    /// The largest IP packet on the way, in bytes; 0 if the way is not known.
    pub mtu: u32,
    /// The same, as a router on the way has said; 0 if none has, lately.
    pub lowered_to: u32,
}

/// One station that was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// Its network.
    pub vnet: Vnet,
    /// Its address.
    pub mac: Mac,
    /// The port or tunnel it is behind, such as `port a` or `tunnel h2`.
    pub behind: String,
    /// Seconds until it is forgotten if it stays silent.
    pub expires_s: u64,
}

/// Who has an IP address, as far as was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// Its network.
    pub vnet: Vnet,
    /// The address.
    pub address: IpAddr,
    /// Whose it is.
    pub mac: Mac,
    /// The port or tunnel it was heard behind, or `program`.
    pub behind: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its number, from 1, in the order in which they were noted: a gap was forgotten.
    pub number: u64,
    /// When, in milliseconds since the datapath started.
    pub at_ms: u64,
    /// The network.
    pub vnet: Vnet,
    /// Which kind, such as `station_moved`.
    pub kind: String,
    /// What happened, for a person.
    pub text: String,
}

/// Every counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// One ledger a port: by its name, or `underlay NAME`.
    pub ports: BTreeMap<String, Ledger>,
    /// One ledger a network, by its vnet.
    pub vnets: BTreeMap<Vnet, Ledger>,
    /// What is counted once for the whole datapath, by name.
    pub datapath: BTreeMap<String, u64>,
}

/// What became of the packets that came in by one port, or in one network.
///
/// `received + copied = sent + answered + merged + Σ dropped`, always, once the packets under way
/// have come to rest: a frame that is flooded to three places is one received and two copied, and
/// so is one that leaves in three fragments; three fragments that were put together are two merged
/// and one sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Packets that came in.
    pub received: u64,
    /// Their bytes, from the Ethernet header on, without the frame check sequence.
    pub received_bytes: u64,
    /// Packets made by flooding or fragmenting, beyond the one that came in.
    pub copied: u64,
    /// Of these all, packets that left by some port.
    pub sent: u64,
    /// Packets that were answered here, or were news for us and heeded.
    pub answered: u64,
    /// Fragments that went into another packet.
    pub merged: u64,
    /// Packets that ended here, by reason; reasons that were never met are left out.
    pub dropped: BTreeMap<String, u64>,
    /// What else was noticed, by name, and moved no packet anywhere; what never was is left out.
    pub noted: BTreeMap<String, u64>,
    /// Packets that left by this port, or in this network, wherever they had come from.
    pub transmitted: u64,
    /// Their bytes.
    pub transmitted_bytes: u64,
}

impl Ledger {
    /// What came in less what is accounted for: 0 when the ledger balances.
    pub fn missing(&self) -> i128 {
        let dropped: u64 = self.dropped.values().sum();
        i128::from(self.received) + i128::from(self.copied)
            - i128::from(self.sent)
            - i128::from(self.answered)
            - i128::from(self.merged)
            - i128::from(dropped)
    }
}

/// What one worker does with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Its number.
    pub worker: u16,
    /// The core it is pinned to; none if it is not.
    pub core: Option<usize>,
    /// Devices it polls.
    pub devices: usize,
    /// Turns since the start.
    pub turns: u64,
    /// Turns that moved at least one packet.
    pub busy_turns: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Packets it took from devices and other workers.
    pub packets: u64,
    /// Frame buffers it was given at start.
    pub frames_made: usize,
    /// Frame buffers in its pool now.
    pub frames_free: usize,
    /// Frame buffers with the kernel or another worker now.
    pub frames_lent: usize,
    /// Stations it remembers, the silent ones that were not yet overwritten included.
    pub stations: usize,
    /// Programs' epoch count it runs: how many configs it has taken.
    pub configs: u64,
}
