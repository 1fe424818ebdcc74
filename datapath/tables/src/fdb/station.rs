//! Who is remembered, and where it is.

use program::Vnet;
use wire::MacAddr;

/// An address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Station {
    /// The address, and above it the low half of the vnet: eight bytes that are compared at once.
    low: u64,
    /// The high half of the vnet.
    high: u16,
}

impl Station {
    /// Address zero in vnet 0.
    pub(super) const NOBODY: Self = Self { low: 0, high: 0 };

    /// The station `mac` in `vnet`.
    #[inline]
    pub fn new(vnet: Vnet, mac: MacAddr) -> Self {
        let [high @ .., third, fourth] = vnet.0.to_be_bytes();
        let mut low = [third, fourth, 0, 0, 0, 0, 0, 0];
        low[2..].copy_from_slice(&mac);
        Self {
            low: u64::from_be_bytes(low),
            high: u16::from_be_bytes(high),
        }
    }

    /// Its network.
    #[inline]
    pub fn vnet(&self) -> Vnet {
        let [third, fourth, ..] = self.low.to_be_bytes();
        let [first, second] = self.high.to_be_bytes();
        Vnet(u32::from_be_bytes([first, second, third, fourth]))
    }

    /// Its address.
    #[inline]
    pub fn mac(&self) -> MacAddr {
        let [_, _, mac @ ..] = self.low.to_be_bytes();
        mac
    }

    #[inline]
    pub(super) fn words(self) -> (u64, u16) {
        (self.low, self.high)
    }

    #[inline]
    pub(super) fn from_words(low: u64, high: u16) -> Self {
        Self { low, high }
    }
}

/// Where a station is: a slot of what the config knows as ports, or as peers.
///
/// Slots are used again; the generation tells who had the slot when the station was heard. A
/// caller who finds another generation in the slot takes the station as unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// Behind a port of this host.
    Port {
        /// Which port.
        slot: u16,
        /// Which owner of the slot.
        generation: u8,
    },
    /// Behind a peer host.
    Peer {
        /// Which peer.
        slot: u16,
        /// Which owner of the slot.
        generation: u8,
    },
}

/// Bits that a packed [`Location`] has: one for its kind, 8 of generation, 16 of slot.
pub(crate) const LOCATION_BITS: u32 = 25;

impl Location {
    #[inline]
    pub(crate) fn pack(self) -> u64 {
        let (kind, slot, generation) = match self {
            Self::Port { slot, generation } => (0, slot, generation),
            Self::Peer { slot, generation } => (1, slot, generation),
        };
        kind << 24 | u64::from(generation) << 16 | u64::from(slot)
    }

    /// What was packed, whatever is above its bits.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // to the bits that were packed
    pub(crate) fn unpack(bits: u64) -> Self {
        let (slot, generation) = (bits as u16, (bits >> 16) as u8);
        if bits & 1 << 24 == 0 {
            Self::Port { slot, generation }
        } else {
            Self::Peer { slot, generation }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_station_and_a_location_are_read_as_written() {
        let station = Station::new(Vnet(0x1234_5678), [0x02, 1, 2, 3, 4, 5]);
        assert_eq!(station.vnet(), Vnet(0x1234_5678));
        assert_eq!(station.mac(), [0x02, 1, 2, 3, 4, 5]);
        for (slot, generation) in [(0, 0), (u16::MAX, u8::MAX), (1, 2)] {
            for location in [
                Location::Port { slot, generation },
                Location::Peer { slot, generation },
            ] {
                assert!(location.pack() < 1 << LOCATION_BITS);
                assert_eq!(Location::unpack(location.pack() | 0xff << 25), location);
            }
        }
    }
}
