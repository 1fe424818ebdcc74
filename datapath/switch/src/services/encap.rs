//! Puts the envelope on what leaves through a tunnel: Ethernet, IPv4 and GRE (RFC 2784, RFC 2890).
//!
//! Reads the way to the peer, which has the headers ready but for a length and a checksum.
//! Remembers nothing. Comes last: it gives every packet its verdict.

use crate::config::OUTER_LEN;
use crate::{DropReason, Exit, Packet, Service, Turn, Verdict, Way};
use wire::ethernet::EthernetRepr;

/// Wraps what goes to a peer; sends everything.
pub struct Encap;

impl Service for Encap {
    const NAME: &'static str = "encap";

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        match packet.exit {
            Exit::Port(slot) => Verdict::Send(slot),
            Exit::Tunnel(slot) => {
                let Some(way) = turn
                    .config
                    .tunnel(slot)
                    .and_then(|tunnel| tunnel.way.as_ref())
                else {
                    return Verdict::Drop(DropReason::NoWay);
                };
                if !turn.config.port(way.port).is_some_and(|port| port.up) {
                    return Verdict::Drop(DropReason::PortDown);
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

/// Puts the outer headers of `way` in front; false, and nothing changed, if there is no room.
#[inline]
#[allow(clippy::cast_possible_truncation)] // a frame is shorter than CHUNK; a folded sum has 16 bits
fn wrap(packet: &mut Packet, way: &Way) -> bool {
    let length = (packet.frame.len() + OUTER_LEN - EthernetRepr::LEN) as u16;
    let Some(outer) = packet.frame.prepend::<OUTER_LEN>() else {
        return false;
    };
    let sum = way.sum + u32::from(length);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    *outer = way.outer;
    outer[EthernetRepr::LEN + 2..EthernetRepr::LEN + 4].copy_from_slice(&length.to_be_bytes());
    outer[EthernetRepr::LEN + 10..EthernetRepr::LEN + 12]
        .copy_from_slice(&(!(sum as u16)).to_be_bytes());
    true
}
