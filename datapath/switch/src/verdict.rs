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
    /// On the underlay: not GRE over IPv4.
    NotGre = "not_gre",
    /// On the underlay: sent to another address than our endpoint.
    NotOurs = "not_ours",
    /// A fragment of an outer packet.
    OuterFragment = "outer_fragment",
    /// GRE with the routing bit, a reserved bit, or a version other than 0 (RFC 2784 §2.3).
    GreRefused = "gre_refused",
    /// GRE whose checksum does not hold.
    GreChecksum = "gre_checksum",
    /// GRE that carries no Ethernet frame: its protocol type is not 0x6558.
    NotEthernet = "not_ethernet",
    /// GRE without a key.
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
