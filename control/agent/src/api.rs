//! What the agent is asked, and what it answers: JSON, one message a line, over a unix socket.
//!
//! The same types are the client's ([`Client`](crate::client::Client)) and the agent's.

use crate::board::{Pending, Unreachable};
use crate::desired::Change;
use program::report::{Report, Subject};
use program::{Id, MAX_DOCUMENT};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The longest line, in bytes: a document in a JSON string, every byte of it escaped.
pub const MAX_LINE: usize = 2 * MAX_DOCUMENT + (1 << 10);

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Want the programs of this document, all or none.
    Apply {
        /// The document, as text: what [`program::read`] reads.
        document: String,
        /// Whether to answer when every worker has them, or at once.
        #[serde(default = "yes")]
        wait: bool,
    },
    /// Want these programs no longer, all or none.
    Withdraw {
        /// Which programs.
        ids: Vec<Id>,
        /// Whether to answer when no worker has them any more, or at once.
        #[serde(default = "yes")]
        wait: bool,
    },
    /// What would [`Apply`](Request::Apply) change?
    Plan {
        /// The document.
        document: String,
    },
    /// Show something of the datapath.
    Show(Subject),
    /// How far are things?
    Status,
}

fn yes() -> bool {
    true
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To [`Request::Apply`] and [`Request::Withdraw`]: it is kept, and outlives a restart.
    Taken {
        /// What became of each program, in the order of the request.
        changes: Vec<Change>,
        /// What is not done yet on every worker, and why. Empty if it is done; empty also if
        /// nobody wanted to wait.
        pending: Vec<Pending>,
    },
    /// To [`Request::Plan`].
    Planned {
        /// What would become of each program.
        changes: Vec<Change>,
    },
    /// To [`Request::Show`].
    Shown(Report),
    /// To [`Request::Status`].
    Status(Status),
    /// The request is not good. It has changed nothing.
    Refused {
        /// The path of the field in the document, such as `[2].mac`; empty if the whole is meant.
        field: String,
        /// The program, if it could be read so far.
        id: Option<Id>,
        /// Why, for a person.
        why: String,
    },
    /// It could not be carried out, or not yet.
    Failed {
        /// Why, for a person.
        why: String,
    },
}

/// How far things are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The socket of the datapath.
    pub datapath: PathBuf,
    /// Whether the datapath is there.
    pub connected: bool,
    /// The datapath's instance: another one after every start.
    pub instance: Option<u64>,
    /// Why it is not there, for a person; empty if it is.
    pub why: String,
    /// How many programs are wanted.
    pub wanted: usize,
    /// How many programs are in force in the datapath.
    pub applied: usize,
    /// What is not done yet, and why.
    pub pending: Vec<Pending>,
    /// Peers there is no way to, and why.
    pub unreachable: Vec<Unreachable>,
}
