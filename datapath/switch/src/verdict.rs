//! What a service says happens next.

use crate::WorkerId;

/// What happens next to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next service decides.
    Next,
    /// It leaves, by the port in this slot.
    Send(u16),
    /// Another worker is home to its network, and decides.
    HandOver(WorkerId),
    /// It was for us, and was heeded: it ends here, answered.
    Heeded,
    /// It is a fragment, and what it carried is kept until the others are here.
    Held,
    /// It ends here.
    Drop(DropReason),
}

/// Makes [`DropReason`] with its names and its list, so that none can be left out of either.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet ended here. Every variant is one counter of every ledger.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What it is called where counters are shown.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// The bytes are not the headers they claim to be, or end before they do.
    Malformed = "malformed",
    /// The guest speaks in another station's name.
    Spoofed = "spoofed",
    /// The guest speaks from an IP address that is not its own, or says in ARP or neighbour
    /// discovery that it has one.
    SpoofedAddress = "spoofed_address",
    /// The guest sends IP or ARP behind more tags or extension headers than are read, behind LLC,
    /// or cut short: it cannot be seen whether it may.
    Unreadable = "unreadable",
    /// The guest serves DHCP, and may not.
    ServedDhcp = "served_dhcp",
    /// The guest advertises itself as a router, or redirects, and may not.
    RouterAdvert = "router_advert",
    /// The guest sends more than its rate.
    RateFromGuest = "rate_from_guest",
    /// The guest is sent more than its rate.
    RateToGuest = "rate_to_guest",
    /// More broadcasts than the port may send.
    StormBroadcast = "storm_broadcast",
    /// More frames to groups than the port may send.
    StormMulticast = "storm_multicast",
    /// More frames to stations that were not heard than the port may send.
    StormUnknown = "storm_unknown",
    /// The network does not flood such frames.
    NotFlooded = "not_flooded",
    /// The source address is a group's or zero: no station has it.
    BadSource = "bad_source",
    /// Sent to 01:80:c2:00:00:00 to 0f, which no bridge forwards (IEEE 802.1Q §8.6.3).
    LinkLocal = "link_local",
    /// The port's program was withdrawn while the frame was under way.
    NoPort = "no_port",
    /// The exit is not attached to its interface, or was just detached.
    PortDown = "port_down",
    /// The station is behind the port the frame came from.
    SamePort = "same_port",
    /// The station is behind a peer, and the frame came from one.
    SplitHorizon = "split_horizon",
    /// Nobody else is in the network: no other port, no peer.
    Alone = "alone",
    /// More bytes than the exit carries.
    TooBig = "too_big",
    /// More bytes than the exit carries, and its sender was told so too often just now.
    TooBigUntold = "too_big_untold",
    /// No room in front of the frame for the outer headers.
    NoHeadroom = "no_headroom",
    /// The kernel knows no way to the peer now.
    NoWay = "no_way",
    /// No free buffer for a copy.
    NoFrame = "no_frame",
    /// More copies in one turn than there is room for.
    FloodLimit = "flood_limit",
    /// The exit's queue is full.
    ExitFull = "exit_full",
    /// The ring to the worker that is home to the network is full.
    HandOffFull = "hand_off_full",
    /// On the underlay: not GRE, nor about GRE of ours.
    NotGre = "not_gre",
    /// On the underlay: sent to another address than our endpoint.
    NotOurs = "not_ours",
    /// A fragment that cannot be one: its length, or that it is of GRE in UDP.
    FragmentMalformed = "fragment_malformed",
    /// A fragment that came twice.
    FragmentDuplicate = "fragment_duplicate",
    /// Fragments that overlap, and all others of their packet (RFC 5722).
    FragmentOverlap = "fragment_overlap",
    /// A fragment of a packet of which one was refused.
    FragmentRefused = "fragment_refused",
    /// Fragments whose others did not come in time.
    FragmentLate = "fragment_late",
    /// Fragments that made room for newer ones: more packets in pieces than are kept.
    FragmentLimit = "fragment_limit",
    /// Fragments of a packet larger than a buffer.
    FragmentTooBig = "fragment_too_big",
    /// An error message about a packet that we have not sent, or not so large.
    IcmpRefused = "icmp_refused",
    /// A router marked it as delayed, and its sender does not understand marks (RFC 6040 §4.2).
    EcnDropped = "ecn_dropped",
    /// GRE whose number is not above the last one's, where order is asked for.
    OutOfOrder = "out_of_order",
    /// GRE without a number, where order is asked for.
    NoSequence = "no_sequence",
    /// GRE of a version other than 0 (RFC 2784 §2.3.1).
    GreVersion = "gre_version",
    /// GRE with the routing bit (RFC 2784 §2.3).
    GreRouting = "gre_routing",
    /// GRE with a reserved bit that says to discard it (RFC 2784 §2.3).
    GreReserved = "gre_reserved",
    /// GRE in UDP whose checksum does not hold.
    UdpChecksum = "udp_checksum",
    /// GRE whose checksum does not hold.
    GreChecksum = "gre_checksum",
    /// GRE that carries no Ethernet frame: its protocol type is not 0x6558.
    NotEthernet = "not_ethernet",
    /// GRE without a key, from a peer whose tunnels all have one.
    NoKey = "no_key",
    /// No network has this key.
    UnknownKey = "unknown_key",
    /// The network has no tunnel to the host this came from.
    UnknownPeer = "unknown_peer",
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn every_reason_has_its_own_name_and_its_own_counter() {
        for (n, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, n);
            let namesakes = DropReason::ALL.iter().filter(|r| r.name() == reason.name());
            assert_eq!(namesakes.count(), 1, "{reason:?}");
        }
    }
}
