//! What passes between the agent and the datapath: JSON, one message a line, over a unix socket.
//!
//! The agent asks, the datapath answers, in turn; the datapath never speaks first. A lost
//! connection loses nothing: the agent asks [`Request::Hello`] again, compares, and sends what is
//! missing. [`Answer::Outcomes`] comes when every worker has the programs, not before.

use crate::{Epoch, Id, Interface, Mac, Step, report};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The longest message, in bytes, its newline included.
pub const MAX_MESSAGE: usize = 64 << 20;

/// What the agent asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who are you, and what have you got?
    Hello,
    /// Take these steps, in this order. Each is applied whole or refused whole.
    Apply {
        /// The steps.
        steps: Vec<Step>,
    },
    /// What the kernel says of the way to every peer. Replaces all that was said before.
    NextHops {
        /// One entry a peer; a peer that is not named has no way to it.
        next_hops: Vec<NextHop>,
    },
    /// Show something.
    Show(report::Subject),
}

/// What the datapath answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Apply`]: one outcome a step, in order.
    Outcomes(Vec<Outcome>),
    /// To [`Request::NextHops`]: every worker has them.
    Done,
    /// To [`Request::Show`].
    Report(report::Report),
    /// The request was not understood, or could not be carried out.
    Failed {
        /// Why, for a person.
        why: String,
    },
}

/// Who the datapath is, and what it has in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`VERSION`](crate::VERSION) of its programs.
    pub version: u32,
    /// Differs at every start, so that a restart cannot be missed.
    pub instance: u64,
    /// Every program in force, with its epoch.
    pub applied: Vec<(Id, Epoch)>,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// In force on every worker.
    Applied {
        /// Which program.
        id: Id,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Nothing of it was applied.
    Refused {
        /// Which program.
        id: Id,
        /// The path of the field that was wrong, such as `port.interface`; empty if it is the whole.
        field: String,
        /// Why, for a person.
        why: String,
    },
}

/// The way to one peer, as the kernel would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextHop {
    /// The peer.
    pub remote: IpAddr,
    /// Where to go, each as good as the others; flows are spread over them. Never empty, and at
    /// most [`MAX_HOPS`].
    pub hops: Vec<Hop>,
    /// The largest IP packet that may be sent this way, in bytes: of all hops the smallest.
    pub mtu: u32,
}

/// One of the ways to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// The underlay's interface, below its VLAN interface if it has one.
    pub interface: Interface,
    /// The address our frames come from there.
    pub source: Mac,
    /// The address of the next hop on it: the peer itself, or a router.
    pub destination: Mac,
}

/// The most hops that flows to one peer are spread over.
pub const MAX_HOPS: usize = 16;
