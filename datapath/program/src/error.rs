//! Why a program was refused.

use crate::{Epoch, Id, Interface, Mac, Name, Vnet};
use std::net::IpAddr;
use thiserror::Error;

/// Why a program was refused. Nothing of a refused program is applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// Not JSON, not the shape of a program, or a field that is not one of its fields.
    #[error("{why}")]
    Unreadable {
        /// The path of the field, such as `[2].mac`; empty if the whole is meant.
        field: String,
        /// What the reader met.
        why: String,
    },
    /// Longer than [`MAX_DOCUMENT`](crate::MAX_DOCUMENT).
    #[error("the document has {got} bytes; at most {limit} are read")]
    TooLong {
        /// Its bytes.
        got: usize,
        /// What is read at most.
        limit: usize,
    },
    /// Written for another version of this contract.
    #[error("version {got} is not spoken here; this is version {have}")]
    Version {
        /// The version it names.
        got: u64,
        /// [`VERSION`](crate::VERSION).
        have: u32,
    },
    /// Not six hexadecimal pairs.
    #[error("{0:?} is not a MAC address; write it as 02:00:00:00:00:01, or \"any\"")]
    NotAMac(String),
    /// A group address, or the zero address, where one station is meant.
    #[error("{0} names no station: it is a group address or zero")]
    NotAStation(Mac),
    /// Not a name.
    #[error("{0:?} is not a name: 1 to 64 of A-Z a-z 0-9 . _ : -")]
    NotAName(String),
    /// Not a name the kernel gives an interface.
    #[error("{0:?} is not an interface name: 1 to 15 printable characters without space and /")]
    NotAnInterface(String),
    /// Not an address of one host.
    #[error("{address} is not the address of a host")]
    NotAHost {
        /// The path of the field.
        field: &'static str,
        /// The address.
        address: IpAddr,
    },
    /// Neither an IP address nor one with the number of bits that others share with it.
    #[error("{0:?} is no address or prefix; write 10.1.1.5, or 10.1.1.0/24 with zeros behind")]
    NotAPrefix(String),
    /// Not one address, nor one of each family.
    #[error("an endpoint is one IP address, or a list of one IPv4 and one IPv6 address")]
    NotAnEndpoint,
    /// Two fields that do not go together.
    #[error("{why}")]
    Contradiction {
        /// The path of the one that should change.
        field: &'static str,
        /// Which other one it does not go with.
        why: &'static str,
    },
    /// More bytes than one buffer of this datapath holds.
    #[error(
        "an MTU of {got} takes jumbo buffers, without which {high} is the most: \
         start the datapath with --jumbo"
    )]
    NoJumbo {
        /// What was said.
        got: u16,
        /// What is carried at most.
        high: u16,
    },
    /// A number outside its range.
    #[error("{got} is out of range; {low} to {high} are good")]
    OutOfRange {
        /// The path of the field.
        field: &'static str,
        /// What was said.
        got: u64,
        /// The lowest that is good.
        low: u64,
        /// The highest that is good.
        high: u64,
    },
    /// An older program than the one in force: a late or repeated delivery.
    #[error("{id} has epoch {have} in force; epoch {got} is not newer")]
    Stale {
        /// Which program.
        id: Id,
        /// The epoch that came.
        got: Epoch,
        /// The epoch in force.
        have: Epoch,
    },
    /// A port or tunnel of a network that no program has defined.
    #[error("no network has vnet {0}; apply its network program first")]
    UnknownVnet(Vnet),
    /// Two networks with one number.
    #[error("vnet {vnet} is the network {by} already")]
    VnetTaken {
        /// The number.
        vnet: Vnet,
        /// Who has it.
        by: Name,
    },
    /// A network's number changed while ports or tunnels stand on it, or it was withdrawn.
    #[error("{id} is in use by {by}; withdraw that first")]
    InUse {
        /// What was to change.
        id: Id,
        /// Who stands on it.
        by: Id,
    },
    /// Two programs claim one interface.
    #[error("interface {interface} belongs to {by} already")]
    InterfaceTaken {
        /// The interface.
        interface: Interface,
        /// Who has it.
        by: Id,
    },
    /// Two tunnels of one vnet to one peer.
    #[error("vnet {vnet} has a tunnel to {remote} already: {by}")]
    PeerTaken {
        /// The network.
        vnet: Vnet,
        /// The peer.
        remote: IpAddr,
        /// The tunnel there is.
        by: Name,
    },
    /// Two tunnels without a key from one peer: what comes could be either's.
    #[error("what {remote} sends without a key belongs to {by} already")]
    UnkeyedTaken {
        /// The peer.
        remote: IpAddr,
        /// The tunnel there is.
        by: Name,
    },
    /// Two stations have one address.
    #[error("{0} comes twice")]
    NeighbourTwice(IpAddr),
    /// A tunnel to our own endpoint.
    #[error("{0} is this host's own endpoint")]
    OwnEndpoint(IpAddr),
    /// A second underlay: this version carries one.
    #[error("there is an underlay already: {0}")]
    SecondUnderlay(Name),
    /// A program that is to be withdrawn is not there.
    #[error("there is no {0}")]
    NotThere(Id),
    /// More entries than the tables were sized for at start.
    #[error("{got} {what}; the datapath was started for {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many it would be.
        got: usize,
        /// How many there is room for.
        limit: usize,
    },
}

impl ProgramError {
    /// The path of the field that was wrong; empty if the whole program is meant.
    pub fn field(&self) -> &str {
        match self {
            Self::Unreadable { field, .. } => field,
            Self::Version { .. } => "version",
            Self::NotAHost { field, .. }
            | Self::OutOfRange { field, .. }
            | Self::Contradiction { field, .. } => field,
            Self::NotAPrefix(_) => "addresses",
            Self::NotAnEndpoint => "endpoint",
            Self::NoJumbo { .. } => "mtu",
            Self::NeighbourTwice(_) => "neighbours",
            Self::Stale { .. } => "epoch",
            Self::UnknownVnet(_) | Self::VnetTaken { .. } => "vnet",
            Self::InterfaceTaken { .. } | Self::NotAnInterface(_) => "interface",
            Self::PeerTaken { .. } | Self::OwnEndpoint(_) => "remote",
            Self::UnkeyedTaken { .. } => "keyed",
            Self::NotAMac(_) | Self::NotAStation(_) => "mac",
            Self::NotAName(_) => "name",
            Self::TooLong { .. }
            | Self::InUse { .. }
            | Self::SecondUnderlay(_)
            | Self::NotThere(_)
            | Self::TooMany { .. } => "",
        }
    }
}
