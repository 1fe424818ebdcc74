//! What others say of a packet: two judges that we did not write.
//!
//! [`Dummy`] is Open vSwitch as a function from frames to frames: its own userspace datapath, with
//! dummy devices in the place of network cards. No namespace, no kernel, no traffic: a frame goes in
//! as hex over its control socket and comes out of a pcap file, a thousand times a second.
//!
//! [`Scapy`] is one python process that builds any packet, checksums included, and reads any packet,
//! checksums included. What Open vSwitch has no option for, scapy says.
//!
//! What holds:
//!
//! - every wait has a limit and says what it waited for;
//! - a judge that is dropped leaves no process and no file;
//! - no judge outlives the thread that called it, however that ends.

#![forbid(unsafe_code)]

mod control;
mod dummy;
mod files;
mod hex;
mod pcap;
mod scapy;

pub use dummy::{Dummy, Keyed, Output, Setup, Tunnel};
pub use hex::{from_hex, hex};
pub use scapy::{Gre, Ip, Outer, Scapy, Seen, SeenGre, SeenUdp, Summed, Udp, Written};
