//! Takes the envelope off what comes from a peer, and finds its network by key and peer.
//!
//! Reads the endpoint and the tunnels. Remembers nothing. Comes first on the way in, since
//! nothing is known of a peer's packet before its headers are read.
//!
//! A packet whose network has its home at another worker is handed over as it came: that worker
//! reads its headers again, so that there is one way in and not two.

use crate::{Cell, Config, DropReason, Packet, Service, Turn, Verdict};
use program::Vnet;
use std::net::Ipv4Addr;
use wire::ParseError;
use wire::ethernet::{EtherType, Ethernet};
use wire::gre::Gre;
use wire::ipv4::Ipv4;
use wire::l4::Protocol;

/// Unwraps GRE that is ours; drops the rest, each for its own reason.
pub struct Decap;

/// What the outer headers said.
struct Unwrapped {
    remote: Ipv4Addr,
    key: Vnet,
    /// Bytes in front of the inner frame.
    front: usize,
    /// Bytes of the inner frame.
    inner: usize,
}

impl Service for Decap {
    const NAME: &'static str = "decap";

    /// The kernel, or another core, wrote the frame last: its headers are far away.
    #[inline]
    fn ahead(_turn: &Turn<'_>, packet: &Packet) {
        core::hint::black_box(packet.frame.bytes().first().copied());
    }

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let unwrapped = match unwrap(turn.config, packet.frame.bytes()) {
            Ok(unwrapped) => unwrapped,
            Err(reason) => return Verdict::Drop(reason),
        };
        let Unwrapped {
            remote,
            key,
            front,
            inner,
        } = unwrapped;
        let Some(slot) = turn.config.network_of(key) else {
            return Verdict::Drop(DropReason::UnknownKey);
        };
        let Some(network) = turn.config.network(slot) else {
            return Verdict::Drop(DropReason::UnknownKey);
        };
        if network.home != turn.worker {
            return Verdict::HandOver(network.home);
        }
        packet.vnet = slot;
        turn.counters.vnet(slot, Cell::Received, 1);
        turn.counters.vnet(slot, Cell::ReceivedBytes, inner as u64);
        let Some(tunnel) = turn.config.tunnel_of(remote, key) else {
            return Verdict::Drop(DropReason::UnknownPeer);
        };
        packet.origin.tunnel = tunnel;
        packet.frame.strip(front);
        packet.frame.truncate(inner);
        if inner < Ethernet::LEN {
            return Verdict::Drop(DropReason::Malformed);
        }
        Verdict::Next
    }
}

/// Reads the outer headers of `bytes`.
#[inline]
fn unwrap(config: &Config, bytes: &[u8]) -> Result<Unwrapped, DropReason> {
    let (ethernet, packet) = Ethernet::parse(bytes).map_err(|_| DropReason::Malformed)?;
    if ethernet.ethertype() != EtherType::IPV4 {
        return Err(DropReason::NotGre);
    }
    let (ip, payload) = Ipv4::parse(packet).map_err(|_| DropReason::Malformed)?;
    if config.endpoint != Some(ip.destination()) {
        return Err(DropReason::NotOurs);
    }
    if ip.protocol() != Protocol::GRE {
        return Err(DropReason::NotGre);
    }
    if ip.is_fragment() {
        return Err(DropReason::OuterFragment);
    }
    let (gre, inner) = Gre::parse(payload).map_err(|error| match error {
        ParseError::Unsupported(_) => DropReason::GreRefused,
        ParseError::Malformed => DropReason::GreChecksum,
        ParseError::Truncated => DropReason::Malformed,
    })?;
    if gre.protocol() != EtherType::BRIDGED {
        return Err(DropReason::NotEthernet);
    }
    let key = gre.key().ok_or(DropReason::NoKey)?;
    let front = Ethernet::LEN + ip.header_len() + gre.header_len();
    Ok(Unwrapped {
        remote: ip.source(),
        key: Vnet(key),
        front,
        inner: inner.len(),
    })
}
