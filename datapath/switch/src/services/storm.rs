//! Holds what is flooded to what the network and the port may.
//!
//! Reads the network's and the port's programs. Remembers how much each port had flooded. Comes
//! before `Flood`: one frame is counted, not its copies. What a peer sends was held to its limits
//! where its guest is.

use crate::{DropReason, Exit, Marks, Packet, Service, Turn, Verdict};
use wire::ethernet::{BROADCAST, Ethernet, is_group};

/// Drops what would be flooded, and may not, or not so often.
pub struct Storm;

impl Service for Storm {
    const NAME: &'static str = "storm";
    const WANTS: Marks = Marks::FLOODED;

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        if packet.exit != Exit::Flood {
            return Verdict::Next;
        }
        let Ok((ethernet, _)) = Ethernet::parse(packet.frame.bytes()) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        let Some(network) = turn.config.network(packet.vnet) else {
            return Verdict::Drop(DropReason::NoPort);
        };
        let flood = &network.flood;
        let (kind, floods, storm) = match ethernet.destination() {
            BROADCAST => (0, flood.broadcast, DropReason::StormBroadcast),
            group if is_group(group) => (1, flood.multicast, DropReason::StormMulticast),
            _ => (2, flood.unknown, DropReason::StormUnknown),
        };
        if !floods {
            return Verdict::Drop(DropReason::NotFlooded);
        }
        let slot = packet.origin.port;
        if let Some(guest) = turn.config.guest(slot)
            && let Some(port) = turn.state.ports.get_mut(usize::from(slot))
            // A full bucket passes anything; one that holds nothing is to pass nothing.
            && (guest.storm[kind].burst == 0
                || !port.storm[kind].take(turn.now, &guest.storm[kind], 1))
        {
            return Verdict::Drop(storm);
        }
        Verdict::Next
    }
}
