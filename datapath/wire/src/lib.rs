//! What bytes mean.
//!
//! Each format has a view, which reads a header in place, and, if we send it, a repr, which
//! writes one. A view is made by `parse`, which makes every check once and returns the payload
//! beside the view; no getter can fail.
//!
//! Start at [`ethernet`], then [`ipv4`], then [`gre`]: the way into an overlay packet. [`l4`] and
//! [`ipv6`] are for what guests send, [`checksum`] for all of them.
//!
//! What is asked and answered without a guest's doing is in [`arp`], [`nd`] and [`icmp`]; what
//! makes a packet fit its way in [`mss`] and [`fragment`]; what a tunnel tells the networks under
//! it of its packets in [`ecn`], [`udp`] and [`flow`].
//!
//! What holds, whatever arrives:
//!
//! - nothing here panics, allocates, or reads past the bytes it was given;
//! - a payload ends where its packet ends, not where the frame does: what Ethernet added to
//!   reach its shortest frame is cut off;
//! - where a length or a flag promises bytes that are not there, the answer is
//!   [`Truncated`](ParseError::Truncated), and never a shorter packet; only what an ICMP error
//!   quotes is cut short by right, and [`icmp::Quoted`] says so;
//! - what a repr emits, its view reads back.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
pub mod ecn;
mod error;
pub mod ethernet;
pub mod flow;
pub mod fragment;
pub mod gre;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod l4;
pub mod mss;
pub mod nd;
#[cfg(test)]
mod random;
pub mod udp;

pub use arp::{Arp, ArpRepr};
pub use ecn::Ecn;
pub use error::{ParseError, Unsupported};
pub use ethernet::{EtherType, Ethernet, EthernetRepr, MacAddr};
pub use gre::{Gre, GreRepr};
pub use ipv4::{Ipv4, Ipv4Repr};
pub use ipv6::{Ipv6, Ipv6Repr};
pub use l4::Protocol;
pub use udp::{Udp, UdpRepr};
