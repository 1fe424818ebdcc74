//! Refuses what its exit cannot carry.
//!
//! Reads the exit's limits. Remembers nothing. Comes before `Encap`, while the frame is still the
//! guest's: a VLAN tag is the guest's own and does not count against the MTU.

use crate::{DropReason, Exit, Packet, Service, Turn, Verdict};
use wire::ethernet::{Ethernet, payload_behind_tags};

/// Drops what is longer than the network's MTU, the port's, or the way's.
pub struct Fit;

impl Service for Fit {
    const NAME: &'static str = "fit";

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let length = packet.frame.len();
        let network = turn.config.network(packet.vnet);
        if let Some(mtu) = network.and_then(|network| network.mtu)
            && length > mtu + Ethernet::LEN
            && length > mtu + Ethernet::LEN + tags_len(packet.frame.bytes())
        {
            return Verdict::Drop(DropReason::TooBig);
        }
        match packet.exit {
            Exit::Port(slot) => {
                let Some(port) = turn.config.port(slot).filter(|port| port.up) else {
                    return Verdict::Drop(DropReason::PortDown);
                };
                // The tags are looked for only where they could make a difference.
                if length > port.max_frame
                    && length > port.max_frame + tags_len(packet.frame.bytes())
                {
                    return Verdict::Drop(DropReason::TooBig);
                }
            }
            Exit::Tunnel(slot) => {
                let Some(way) = turn
                    .config
                    .tunnel(slot)
                    .and_then(|tunnel| tunnel.way.as_ref())
                else {
                    return Verdict::Drop(DropReason::NoWay);
                };
                if length > way.max_inner {
                    return Verdict::Drop(DropReason::TooBig);
                }
            }
            Exit::Undecided | Exit::Flood => return Verdict::Drop(DropReason::NoPort),
        }
        Verdict::Next
    }
}

/// Bytes of the VLAN tags at the front of `frame`.
fn tags_len(frame: &[u8]) -> usize {
    let Ok((ethernet, payload)) = Ethernet::parse(frame) else {
        return 0;
    };
    let behind = payload_behind_tags(ethernet.ethertype(), payload);
    behind.map_or(0, |(_, rest)| payload.len() - rest.len())
}
