//! One host: what is wanted, the steps to it, and the datapath that takes them.
//!
//! The agent keeps the programs that are wanted on this host ([`desired`], on disk by [`store`]),
//! plans the steps from what the datapath has to what it should have ([`plan`](mod@plan)), sends
//! them over a [`link`], and follows the kernel's routes and neighbours for the ways to the peers
//! ([`underlay`]). It is asked over a unix socket ([`api`], [`server`], [`client`]).
//!
//! Start at [`keeper`]: the one thread that owns all of it. [`agent`](mod@agent) starts and ends
//! the threads around it.
//!
//! What holds, whatever is lost, repeated or restarted:
//!
//! - what was answered as taken is on the disk, and in force as soon as there is a datapath;
//! - an answer "done" means done on every worker;
//! - a request that was refused has changed nothing;
//! - every queue and every wait has a bound.

pub mod agent;
pub mod api;
pub mod board;
pub mod client;
pub mod desired;
pub mod keeper;
pub mod latest;
pub mod line;
pub mod link;
pub mod log;
pub mod memory;
pub mod plan;
#[cfg(test)]
mod sample;
pub mod server;
pub mod store;
pub mod underlay;

pub use agent::{Agent, Options, StartError};
pub use client::{Client, ClientError};
