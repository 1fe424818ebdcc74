//! Puts the envelope on what leaves through a tunnel: Ethernet, IP and GRE (RFC 2784, RFC 2890).
//!
//! Reads the way to the peer, which has the headers ready but for what differs from packet to
//! packet. Remembers the number of each tunnel's next packet. Comes last: it gives every packet
//! its verdict.
//!
//! Nearly every packet gets 42 bytes in which two lengths are all that changes. That way is here;
//! whatever else a tunnel may want is in `otherwise`.

mod otherwise;

use crate::config::PLAIN_LEN;
use crate::{DropReason, Exit, Marks, Packet, Service, Tunnel, Turn, Verdict, Way};
use wire::ethernet::EthernetRepr;
use wire::flow;

/// Wraps what goes to a peer; sends everything.
pub struct Encap;

impl Service for Encap {
    const NAME: &'static str = "encap";
    const MAKES: bool = true;

    #[inline]
    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        match packet.exit {
            Exit::Port(slot) => Verdict::Send(slot),
            Exit::Tunnel(slot) => {
                let config = turn.config;
                let Some(tunnel) = config.tunnel(slot) else {
                    return Verdict::Drop(DropReason::NoWay);
                };
                let Some(way) = way(tunnel, packet) else {
                    return Verdict::Drop(DropReason::NoWay);
                };
                if !config.port(way.port).is_some_and(|port| port.up) {
                    return Verdict::Drop(DropReason::PortDown);
                }
                if !way.plain || packet.headers.marks.any(Marks::CUT) {
                    return otherwise::wrap(turn, packet, slot, tunnel, way);
                }
                if wrap(packet, way) {
                    Verdict::Send(way.port)
                } else {
                    Verdict::Drop(DropReason::NoHeadroom)
                }
            }
            Exit::Undecided | Exit::Flood => Verdict::Drop(DropReason::NoPort),
        }
    }
}

/// The way that the packet's flow takes: packets of one flow all take the same.
#[inline]
fn way<'a>(tunnel: &'a Tunnel, packet: &Packet) -> Option<&'a Way> {
    match &*tunnel.others {
        [] => tunnel.way.as_ref(),
        ways => {
            let spread = u64::from(flow::hash(packet.frame.bytes())) * ways.len() as u64;
            ways.get(usize::try_from(spread >> 32).unwrap_or(0))
        }
    }
}

/// Puts the outer headers of `way` in front; false, and nothing changed, if there is no room.
#[inline]
#[allow(clippy::cast_possible_truncation)] // a frame is shorter than 64 KiB; a folded sum has 16 bits
fn wrap(packet: &mut Packet, way: &Way) -> bool {
    const IP: usize = EthernetRepr::LEN;
    let length = (packet.frame.len() + PLAIN_LEN - IP) as u16;
    let tos = packet.headers.tos & way.tos_mask;
    let Some(outer) = packet.frame.prepend::<PLAIN_LEN>() else {
        return false;
    };
    let sum = way.sum + u32::from(length) + u32::from(tos);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    outer.copy_from_slice(&way.outer[..PLAIN_LEN]);
    outer[IP + 1] = way.outer[IP + 1] | tos;
    outer[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
    outer[IP + 10..IP + 12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    true
}
