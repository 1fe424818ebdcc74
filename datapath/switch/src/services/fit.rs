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

use crate::{DropReason, Exit, Packet, Role, Service, Turn, Verdict};
use program::Oversize;
use wire::ethernet::Ethernet;

/// Cuts, answers or drops what is longer than the network's MTU, the port's, or the way's; drops
/// what is more than the guest may be sent.
pub struct Fit;

impl Service for Fit {
    const NAME: &'static str = "fit";

    #[inline]
    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let length = packet.frame.len();
        let tags = packet.headers.tags_len();
        let network = turn.config.network(packet.vnet);
        if let Some(mtu) = network.and_then(|network| network.mtu)
            && length > mtu + Ethernet::LEN + tags
        {
            return too_big(turn, packet, mtu);
        }
        match packet.exit {
            Exit::Port(slot) => {
                let Some(port) = turn.config.port(slot).filter(|port| port.up) else {
                    return Verdict::Drop(DropReason::PortDown);
                };
                if let Role::Guest(guest) = &port.role
                    && let Some(rate) = &guest.to_guest
                    && let Some(state) = turn.state.ports.get_mut(usize::from(slot))
                    && !state.to_guest.take(turn.now, rate, length as u64)
                {
                    return Verdict::Drop(DropReason::RateToGuest);
                }
                if length > port.max_frame + tags {
                    let mtu = port.max_frame.saturating_sub(Ethernet::LEN);
                    return too_big(turn, packet, mtu);
                }
            }
            Exit::Tunnel(slot) => {
                let Some(room) = tunnel_room(turn, slot) else {
                    return Verdict::Drop(DropReason::NoWay);
                };
                if length > room {
                    let mtu = room.saturating_sub(Ethernet::LEN + tags);
                    return too_big(turn, packet, mtu);
                }
            }
            Exit::Undecided | Exit::Flood => return Verdict::Drop(DropReason::NoPort),
        }
        Verdict::Next
    }
}

/// The longest inner frame that gets through the tunnel in `slot` now, in bytes; none if it is
/// not there, or there is no way.
#[inline]
pub(super) fn tunnel_room(turn: &Turn<'_>, slot: u16) -> Option<usize> {
    let tunnel = turn.config.tunnel(slot)?;
    let way = tunnel.ways.first()?;
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
    let oversize = match packet.exit {
        Exit::Tunnel(slot) => turn.config.tunnel(slot).map(|tunnel| tunnel.oversize),
        _ => None,
    };
    match oversize.unwrap_or_default() {
        // `Encap` cuts it, headers and all.
        Oversize::Outer if !is_longer_than_declared(turn, packet) => return Verdict::Next,
        Oversize::Inner if cut::may_be_cut(packet) => return cut::cut(turn, packet, mtu),
        Oversize::Outer | Oversize::Inner | Oversize::Answer => {}
    }
    answer::answer(turn, packet, mtu)
}

/// Whether the network's program says that it carries nothing so long.
fn is_longer_than_declared(turn: &Turn<'_>, packet: &Packet) -> bool {
    let network = turn.config.network(packet.vnet);
    let headers = Ethernet::LEN + packet.headers.tags_len();
    let mtu = network.and_then(|network| network.mtu);
    mtu.is_some_and(|mtu| packet.frame.len() > mtu + headers)
}
