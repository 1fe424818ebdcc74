//! Heeds what routers on the way say of our own tunnel packets (RFC 1191, RFC 8201).
//!
//! Anybody can send such a message. It is believed if it quotes a packet that we could have sent:
//! from our endpoint, to a peer, with a tunnel's own headers and key, and larger than what is said
//! to fit. It can make a tunnel slow, and never stop it: below what every way carries, nothing is
//! believed.

use super::network_of_tunnel;
use super::outer::ip_at;
use crate::state::Happening;
use crate::{Cell, Config, DropReason, Packet, Turn, Verdict};
use core::time::Duration;
use program::DontFragment;
use std::net::IpAddr;
use wire::ethernet::EtherType;
use wire::gre::UDP_PORT;
use wire::icmp::TooBig;
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;
use wire::l4::Protocol;

/// How long a router is believed: RFC 1191 §6.3 and RFC 8201 §4 say ten minutes.
const BELIEVED: Duration = Duration::from_mins(10);

/// The least that is believed over IPv4, in bytes. RFC 791's 68 would leave nothing for the guest;
/// hosts commonly take 552, which is 512 bytes of data.
const LEAST_V4: usize = 552;

/// The least over IPv6, in bytes: every link carries it (RFC 8200 §5).
const LEAST_V6: usize = 1280;

/// The largest IP packet that is not too big, by an old router's silence (RFC 1191 §5): the next
/// smaller of the sizes that links have.
const PLATEAUS: [usize; 7] = [8166, 4352, 2002, 1492, 1006, 576, LEAST_V4];

/// What a message says, once it is believed.
struct Heard {
    tunnel: u16,
    mtu: usize,
}

/// Lowers the MTU of the tunnel that `packet`, an error message, is about.
#[inline(never)]
pub(super) fn heed(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
    let Some(Heard { tunnel, mtu }) = read(turn.config, packet.frame.bytes()) else {
        return Verdict::Drop(DropReason::IcmpRefused);
    };
    let vnet = network_of_tunnel(turn.config, tunnel);
    let home = turn.config.network(vnet).map(|network| network.home);
    match home {
        Some(home) if home != turn.worker => return Verdict::HandOver(home),
        _ => {}
    }
    let now = turn.now;
    let before = turn.state.lowered(tunnel, now);
    let Some(state) = turn.state.tunnels.get_mut(usize::from(tunnel)) else {
        return Verdict::Drop(DropReason::IcmpRefused);
    };
    // The smaller of two routers counts; what it says again is believed for longer.
    let lowest = before.map_or(mtu, |before| before.min(mtu));
    turn.state.lowered += u32::from(state.lowered.is_none());
    state.lowered = Some((lowest, now + BELIEVED));
    turn.counters
        .both(packet.origin.port, vnet, Cell::MtuLowered, 1);
    if before != Some(lowest) {
        let to = lowest;
        turn.note(vnet, Happening::MtuLowered { tunnel, to });
    }
    Verdict::Heeded
}

/// Which tunnel of ours `bytes` are about, and what they say fits.
fn read(config: &Config, bytes: &[u8]) -> Option<Heard> {
    let (at, ethertype) = ip_at(bytes).ok()?;
    let (said, sent, least) = if ethertype == EtherType::IPV4 {
        let (_, message) = Ipv4::parse(&bytes[at..]).ok()?;
        let said = TooBig::parse_v4(message).ok()?;
        let dont_fragment = message.get(14)? & 0x40 != 0;
        if !dont_fragment {
            return None;
        }
        let sent = message.get(10..12)?;
        let sent = usize::from(u16::from_be_bytes([sent[0], sent[1]]));
        (said, sent, LEAST_V4)
    } else {
        let (ip, payload) = Ipv6::parse(&bytes[at..]).ok()?;
        let message = ip.upper_layer(payload).ok()?.bytes;
        let said = TooBig::parse_v6(&ip, message).ok()?;
        let sent = message.get(12..14)?;
        let sent = usize::from(u16::from_be_bytes([sent[0], sent[1]])) + Ipv6::LEN;
        (said, sent, LEAST_V6)
    };
    let quoted = said.quoted;
    let ours = config.endpoint?.towards(quoted.destination)?;
    if ours != quoted.source || quoted.is_later_fragment {
        return None;
    }
    let (gre, in_udp) = match quoted.protocol {
        Protocol::GRE => (quoted.payload, false),
        Protocol::UDP => (udp(quoted.payload)?, true),
        _ => return None,
    };
    let slot = tunnel(config, quoted.destination, gre, in_udp)?;
    let tunnel = config.tunnel(slot)?;
    let mtu = match usize::try_from(said.mtu).ok()? {
        0 => *PLATEAUS.iter().find(|plateau| **plateau < sent)?,
        mtu => mtu,
    };
    let could_be = sent <= tunnel.mtu && mtu < sent;
    could_be.then_some(Heard {
        tunnel: slot,
        mtu: mtu.max(least),
    })
}

/// What is quoted behind a UDP header, if that could be one of ours.
fn udp(datagram: &[u8]) -> Option<&[u8]> {
    let (header, rest) = datagram.split_first_chunk::<8>()?;
    let [from, _, to @ ..] = header;
    let ours = *from >= 0xc0 && to.starts_with(&UDP_PORT.to_be_bytes());
    ours.then_some(rest)
}

/// The tunnel to `remote` whose packets start as `gre` does: as far as that is quoted, 8 bytes or
/// more.
fn tunnel(config: &Config, remote: IpAddr, gre: &[u8], in_udp: bool) -> Option<u16> {
    let [flags, _, 0x65, 0x58, ..] = *gre else {
        return None;
    };
    let at = if flags & 0x80 == 0 { 4 } else { 8 };
    let key = match (flags & 0x20 != 0, gre.get(at..at + 4)) {
        (false, _) => None,
        (true, Some(key)) => Some(u32::from_be_bytes([key[0], key[1], key[2], key[3]])),
        (true, None) => return None,
    };
    let slot = config.tunnel_of(remote, key)?;
    let way = config.tunnel(slot)?.way.as_ref()?;
    // Which fields its header has, and what it is in, is as the tunnel sends them.
    let same = way.outer[usize::from(way.gre_at)] == flags && way.is_in_udp() == in_udp;
    // What may be cut on its way is never too big for a router.
    let same = same && (remote.is_ipv6() || way.df != DontFragment::Clear);
    same.then_some(slot)
}
