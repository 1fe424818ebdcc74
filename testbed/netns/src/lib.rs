//! Hosts and guests as network namespaces of the real kernel, for tests and the demo.
//!
//! A [`Lab`] makes [`Host`]s, wires them together, and hangs [`Guest`]s on them; a [`Namespace`]
//! runs programs. What runs in it is real: kernel stacks, veth, XDP, `AF_XDP` sockets, and where a
//! test wants a second opinion, Debian's Open vSwitch ([`Ovs`]).
//!
//! Start at [`Lab`]; then [`Greyhound`] (the product on a host), [`measure`] (ping, iperf3), and
//! [`RawPort`] (any frame whatever, in and out), [`vm`] (a machine with a stock kernel).
//!
//! What holds, however a run ends:
//!
//! - all traffic stays in namespaces called `gh-…` that this run made;
//! - returning, panicking, SIGINT and SIGTERM remove every namespace, process and file;
//! - what SIGKILL leaves, the next [`Lab::new`] finds by its owner record, names, and removes
//!   ([`sweep`]); what belongs to a run that is alive is never touched;
//! - everything that waits has a limit, and says what it waited for.
//!
//! It needs root, `iproute2`, `ethtool`, `ping`, `iperf3`; `cargo xtask` installs them.

#![forbid(unsafe_code)]

mod binaries;
mod command;
mod greyhound;
mod lab;
pub mod measure;
mod namespace;
mod ovs;
pub mod program;
mod raw;
mod run;
mod running;
pub mod vm;
mod wait;

pub use binaries::{binary, target_dir, use_binaries};
pub use command::{Finished, run_bounded};
pub use greyhound::{Greyhound, Options};
pub use lab::{Guest, GuestOptions, Host, Lab};
pub use namespace::Namespace;
pub use ovs::{Ovs, OvsFiles};
pub use raw::{Flood, RawPort};
pub use run::{Swept, sweep};
pub use running::Running;
pub use wait::{until, value_within};
