//! What control may say to the datapath, and what the datapath answers.
//!
//! A [`Program`] declares one thing whole: an underlay, a network, a tunnel, or a port. Control
//! never edits one in place; it sends the program again with a higher [`Epoch`]. A program is
//! checked whole and refused whole, and [`ProgramError`] names the field that was wrong.
//!
//! Start at [`Program`], then [`Programs`] (all that is in force, and what may join it), then
//! [`link`] (the messages between the agent and the datapath) and [`report`] (what is shown).
//!
//! What holds, whatever arrives:
//!
//! - reading a program never panics, and never takes more than [`MAX_DOCUMENT`] bytes of text;
//! - a program that was refused has changed nothing;
//! - in [`Programs`] every tunnel and port has its network, and no two claim the same interface,
//!   the same peer of the same vnet, or what comes from the same peer without a key;
//! - programs written as JSON and read again are equal.

mod document;
mod error;
pub mod link;
mod name;
mod network;
mod port;
mod programs;
pub mod report;
mod tunnel;
mod underlay;
mod units;

pub use document::{MAX_DOCUMENT, VERSION, read, write};
pub use error::ProgramError;
pub use name::{Interface, Name};
pub use network::{Flooded, Neighbour, NetworkProgram};
pub use port::{Allowed, PortProgram, Shape, Storm};
pub use programs::{Limits, MAX_MTU, Programs, Step};
pub use tunnel::{DontFragment, Dscp, Oversize, Sequence, Transport, TunnelProgram};
pub use underlay::{Endpoint, UnderlayProgram};
pub use units::{Epoch, Mac, Prefix, Speaks, Vnet};

use serde::{Deserialize, Serialize};

/// One thing that control declares.
///
/// On the wire: a JSON object with `"version": 1`, `"kind"`, an optional `"epoch"`, and the
/// kind's own fields. A field that is not known is refused: a typing error must not pass for a
/// default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Program {
    /// Where this host meets its peers.
    Underlay(UnderlayProgram),
    /// One tenant network.
    Network(NetworkProgram),
    /// One peer host of one network.
    Tunnel(TunnelProgram),
    /// One guest's attachment.
    Port(PortProgram),
}

/// The kind and name of a program: what tells it from all others of this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Id {
    /// Which kind of program.
    pub kind: Kind,
    /// Its name, unique in its kind.
    pub name: Name,
}

/// The kinds of program, in the order in which they may be put in force: a later one may stand
/// on an earlier one. Withdrawing goes the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// See [`UnderlayProgram`].
    Underlay,
    /// See [`NetworkProgram`].
    Network,
    /// See [`TunnelProgram`].
    Tunnel,
    /// See [`PortProgram`].
    Port,
}

impl Program {
    /// What tells this program from all others.
    pub fn id(&self) -> Id {
        let (kind, name) = match self {
            Self::Underlay(p) => (Kind::Underlay, &p.name),
            Self::Network(p) => (Kind::Network, &p.name),
            Self::Tunnel(p) => (Kind::Tunnel, &p.name),
            Self::Port(p) => (Kind::Port, &p.name),
        };
        Id {
            kind,
            name: name.clone(),
        }
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Underlay => "underlay",
            Self::Network => "network",
            Self::Tunnel => "tunnel",
            Self::Port => "port",
        })
    }
}

impl core::fmt::Display for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
