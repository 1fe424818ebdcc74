//! Sees to it that what leaves fits its exit.
//!
//! Reads the exit's limits, and what routers said of the way. Remembers how much each port was
//! sent and told. Comes before `Encap`, while the frame is still the guest's: a VLAN tag is the
//! guest's own and does not count against the MTU of network or port.
//!
//! What does not fit is cut into fragments if it is IPv4 and allows that; else its sender is told,
//! if it is IP; else it is dropped.

mod answer;
mod cut;

use crate::{DropReason, Exit, Marks, Packet, Service, Turn, Verdict};
use program::Oversize;
use wire::ethernet::Ethernet;

/// Cuts, answers or drops what is longer than the network's MTU, the port's, or the way's; drops
/// what is more than the guest may be sent.
pub struct Fit;

impl Service for Fit {
    const NAME: &'static str = "fit";
    const MAKES: bool = true;

    #[inline]
    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let length = packet.frame.len();
        let room = match room(turn, packet, packet.exit) {
            Ok(room) => room,
            Err(reason) => return Verdict::Drop(reason),
        };
        if let Exit::Port(slot) = packet.exit
            && let Some(rate) = turn.config.guest(slot).and_then(|guest| guest.to_guest)
            && let Some(state) = turn.state.ports.get_mut(usize::from(slot))
            && !state.to_guest.take(turn.now, &rate, length as u64)
        {
            return Verdict::Drop(DropReason::RateToGuest);
        }
        if length > room {
            let headers = Ethernet::LEN + packet.headers.tags_len();
            return too_big(turn, packet, room.saturating_sub(headers));
        }
        Verdict::Next
    }
}

/// The longest frame that `exit` carries of the network and with the tags of `packet`, in bytes, or
/// why it carries none.
#[inline]
fn room(turn: &Turn<'_>, packet: &Packet, exit: Exit) -> Result<usize, DropReason> {
    let tags = packet.headers.tags_len();
    let room = match exit {
        Exit::Port(slot) => {
            let port = turn.config.port(slot).filter(|port| port.up);
            port.ok_or(DropReason::PortDown)?.max_frame + tags
        }
        Exit::Tunnel(slot) => tunnel_room(turn, slot).ok_or(DropReason::NoWay)?,
        Exit::Undecided | Exit::Flood => return Err(DropReason::NoPort),
    };
    let network = turn.config.network(packet.vnet);
    let declared = network.and_then(|network| network.mtu);
    Ok(declared.map_or(room, |mtu| room.min(mtu + Ethernet::LEN + tags)))
}

/// The longest inner frame that gets through the tunnel in `slot` now, in bytes; none if it is
/// not there, or there is no way.
#[inline]
pub(super) fn tunnel_room(turn: &Turn<'_>, slot: u16) -> Option<usize> {
    let tunnel = turn.config.tunnel(slot)?;
    let way = tunnel.way.as_ref()?;
    match turn.state.lowered(slot, turn.now) {
        None => Some(tunnel.max_inner),
        Some(mtu) => {
            let headers = usize::from(way.len - way.ip_at);
            Some(tunnel.max_inner.min(mtu.saturating_sub(headers)))
        }
    }
}

/// What becomes of a packet of which no more than `mtu` bytes, from its IP header on, fit.
#[inline(never)]
fn too_big(turn: &mut Turn<'_>, packet: &mut Packet, mtu: usize) -> Verdict {
    let headers = Ethernet::LEN + packet.headers.tags_len();
    let network = turn.config.network(packet.vnet);
    let declared = network
        .and_then(|network| network.mtu)
        .unwrap_or(usize::MAX);
    let tunnel = match packet.exit {
        Exit::Tunnel(slot) => turn.config.tunnel(slot),
        _ => None,
    };
    let mut mtu = mtu;
    if let Some(tunnel) = tunnel {
        // As much as can be cut behind its outer headers, so that the peer can put it together.
        let cut = tunnel.max_cut.saturating_sub(headers).min(declared);
        let length = packet.frame.len() - headers;
        let outer = tunnel.oversize == Oversize::Outer;
        if length <= cut && (outer || must_get_through(packet, length)) {
            packet.headers.marks = packet.headers.marks.with(Marks::CUT);
            return Verdict::Next;
        }
        if outer {
            mtu = cut;
        }
    }
    let oversize = tunnel.map_or(Oversize::Inner, |tunnel| tunnel.oversize);
    if oversize == Oversize::Inner && cut::may_be_cut(packet) {
        return cut::cut(turn, packet, mtu);
    }
    answer::answer(turn, packet, mtu)
}

/// Whether it is IPv6 and no longer than what every way has to carry: its sender could do nothing,
/// so the tunnel packet is cut instead (RFC 8200 §5, RFC 2473 §7.1).
fn must_get_through(packet: &Packet, length: usize) -> bool {
    packet.headers.marks.any(Marks::IPV6) && length <= answer::LEAST_V6
}
