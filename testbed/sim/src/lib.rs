//! A lab in memory: hosts, guests, the wire between the hosts, a clock, and a seed.
//!
//! Every host is the whole datapath as it runs on a real one (supervisor, workers, switch); only
//! the devices are memory, the clock is a number, and the threads take turns. So a story is told
//! in microseconds, needs no root, and happens again exactly as it happened.
//!
//! Start at [`Lab`]. What holds: after [`Lab::settle`] nothing is under way, every ledger
//! balances, and no frame buffer is missing, or it panics and says which.

// A lab panics when what must hold does not: that is what it is for.
#![allow(clippy::missing_panics_doc)]

mod bytes;
mod chance;
mod host;
mod lab;
mod line;

pub use bytes::{
    Part, arp, ethernet, fragment, fragments, gre, gre_with, ipv4, ipv4_with, ipv6, outer, tagged,
    tcp, too_big, udp, upper_sum,
};
pub use chance::Chance;
pub use host::Host;
pub use lab::{Guest, Lab, Setup, Weather};
