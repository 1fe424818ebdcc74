//! What is remembered.
//!
//! Each table answers four questions in its own words: what shape, what bound, whose time, whose
//! memory. Time, the bound and the seed are arguments: nothing here reads a clock, waits, or
//! draws a random number, so the same calls give the same answers.
//!
//! Start at [`fdb`], the stations of all networks. [`neighbours`] knows which station has an IP
//! address; [`reassembly`] holds packets that came in pieces until they are whole; [`rate`] says
//! how much of something may pass; [`time`] has the instants that tables are told.
//!
//! What holds, whatever arrives:
//!
//! - all memory is made by `new`; nothing allocates after that;
//! - a full table is an answer, and never makes room at the cost of what is alive; but of packets in
//!   pieces the oldest makes way, and its sender's first;
//! - a table knows what a map would know, or said that it is full.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod fdb;
mod hash;
mod heard;
pub mod neighbours;
pub mod rate;
pub mod reassembly;
pub mod time;

pub use fdb::{Change, Fdb, Learned, Location, Station};
pub use neighbours::{Neighbour, Neighbours, Noted};
pub use rate::{Bucket, Rate};
pub use reassembly::Reassembly;
pub use time::Instant;
