//! Tells the two ends of a TCP connection how long a segment gets through.
//!
//! Reads the tunnel's way. Changes the segment size that a SYN announces, if it is larger than
//! what the tunnel carries, and its checksum with it; both ways, so one of two hosts that does so
//! is enough. Comes when each copy has its exit, and before `Fit`.

use super::fit::tunnel_room;
use crate::{Cell, Exit, Marks, NOWHERE, Packet, Service, Turn, Verdict};
use wire::ethernet::Ethernet;
use wire::mss;

/// The shortest TCP header, in bytes: what a segment size leaves out (RFC 6691 §2).
const TCP: usize = 20;

/// Lowers the segment size of connections through a tunnel.
pub struct Clamp;

impl Service for Clamp {
    const NAME: &'static str = "clamp";
    const WANTS: Marks = Marks::SYN;

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        if !packet.headers.marks.any(Marks::SYN) {
            return Verdict::Next;
        }
        let headers = packet.headers;
        let tunnel = match packet.exit {
            Exit::Tunnel(slot) => slot,
            _ => packet.origin.tunnel,
        };
        let network = turn.config.network(packet.vnet);
        let declared = network
            .and_then(|network| network.mtu)
            .unwrap_or(usize::MAX);
        let through = match tunnel_room(turn, tunnel) {
            Some(room) if tunnel != NOWHERE => {
                room.saturating_sub(Ethernet::LEN + headers.tags_len())
            }
            _ => usize::MAX,
        };
        let ip = if headers.marks.any(Marks::IPV4) {
            20
        } else {
            40
        };
        let most = declared.min(through).saturating_sub(ip + TCP);
        let Ok(most) = u16::try_from(most) else {
            return Verdict::Next; // nothing is that long
        };
        let segment = headers.segment_mut(packet.frame.bytes_mut());
        if mss::clamp(segment, most).is_some() {
            let (port, vnet) = (packet.origin.port, packet.vnet);
            turn.counters.both(port, vnet, Cell::Clamped, 1);
        }
        Verdict::Next
    }
}
