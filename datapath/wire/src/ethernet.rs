//! Ethernet: what every frame starts with.
//!
//! Sources: IEEE 802.3 §3.2 (frame), IEEE 802.1Q §9.6 (tag), §8.6.3 (reserved group addresses),
//! RFC 9542 (numbers). A frame here has no preamble and no frame check sequence.

use crate::ParseError;

/// An Ethernet address, six bytes as on the wire.
pub type MacAddr = [u8; 6];

/// Every station's address.
pub const BROADCAST: MacAddr = [0xff; 6];

/// Whether `mac` names a group of stations, broadcast included.
#[inline]
pub fn is_group(mac: MacAddr) -> bool {
    mac[0] & 1 != 0
}

/// Whether `mac` is one of 01:80:c2:00:00:00 to 0f, which a bridge never forwards.
#[inline]
pub fn is_link_local_control(mac: MacAddr) -> bool {
    mac[..5] == [0x01, 0x80, 0xc2, 0x00, 0x00] && mac[5] < 0x10
}

/// What an Ethernet payload is; below 0x0600 it is a length in bytes instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// A customer tag (802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// A service tag (802.1ad).
    pub const SERVICE_VLAN: Self = Self(0x88a8);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// Transparent Ethernet bridging: an Ethernet frame inside GRE (RFC 1701, RFC 7637 §3.2).
    pub const BRIDGED: Self = Self(0x6558);

    /// Whether a tag of 4 bytes follows.
    #[inline]
    pub fn is_tag(self) -> bool {
        self == Self::VLAN || self == Self::SERVICE_VLAN
    }
}

/// An Ethernet header, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |                          destination                          |
/// |          destination          |            source             |
/// |                            source                             |
/// |           ethertype           |
/// ```
///
/// Length in bytes: 14. Tags count as payload: see [`payload_behind_tags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet<'a> {
    header: &'a [u8; Ethernet::LEN],
}

impl<'a> Ethernet<'a> {
    /// Length of the header, in bytes.
    pub const LEN: usize = 14;

    /// Reads the header in front of `bytes`; returns it and the payload behind it.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) below 14 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, payload) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok((Self { header }, payload))
    }

    /// Whom it is for.
    #[inline]
    pub fn destination(&self) -> MacAddr {
        mac_at(self.header, 0)
    }

    /// Whom it is from.
    #[inline]
    pub fn source(&self) -> MacAddr {
        mac_at(self.header, 6)
    }

    /// What the payload is.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(u16::from_be_bytes([self.header[12], self.header[13]]))
    }
}

/// The address that starts at byte `at`, 0 or 6.
#[inline]
fn mac_at(header: &[u8; Ethernet::LEN], at: usize) -> MacAddr {
    let mut mac = [0; 6];
    mac.copy_from_slice(&header[at..at + 6]);
    mac
}

/// Tags walked by [`payload_behind_tags`]: one of the customer, one of the provider.
pub const MAX_TAGS: usize = 2;

/// Length of one tag, in bytes.
pub const TAG_LEN: usize = 4;

/// What an Ethernet payload is, and where it starts, behind up to [`MAX_TAGS`] tags.
///
/// A third tag is left in front; its ethertype says so.
///
/// # Errors
///
/// [`Truncated`](ParseError::Truncated) if a tag was announced and is cut short.
#[inline]
pub fn payload_behind_tags(
    mut ethertype: EtherType,
    mut payload: &[u8],
) -> Result<(EtherType, &[u8]), ParseError> {
    for _ in 0..MAX_TAGS {
        if !ethertype.is_tag() {
            break;
        }
        let (tag, rest) = payload
            .split_first_chunk::<TAG_LEN>()
            .ok_or(ParseError::Truncated)?;
        ethertype = EtherType(u16::from_be_bytes([tag[2], tag[3]]));
        payload = rest;
    }
    Ok((ethertype, payload))
}

/// An Ethernet header to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Whom it is for.
    pub destination: MacAddr,
    /// Whom it is from.
    pub source: MacAddr,
    /// What the payload is.
    pub ethertype: EtherType,
}

impl EthernetRepr {
    /// Length of the header, in bytes.
    pub const LEN: usize = Ethernet::LEN;

    /// The header.
    #[inline]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        header[..6].copy_from_slice(&self.destination);
        header[6..12].copy_from_slice(&self.source);
        header[12..].copy_from_slice(&self.ethertype.0.to_be_bytes());
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const TAGGED: [u8; 24] = [
        0x02, 0, 0, 0, 0, 0x02, // destination
        0x02, 0, 0, 0, 0, 0x01, // source
        0x88, 0xa8, 0x00, 0x07, // service tag, VLAN 7
        0x81, 0x00, 0x60, 0x2a, // customer tag, priority 3, VLAN 42
        0x08, 0x00,             // IPv4
        0x45, 0x00,
    ];

    #[test]
    fn a_header_is_read_as_written() {
        let (ethernet, payload) = Ethernet::parse(&TAGGED).unwrap();
        assert_eq!(ethernet.destination(), [2, 0, 0, 0, 0, 2]);
        assert_eq!(ethernet.source(), [2, 0, 0, 0, 0, 1]);
        assert_eq!(ethernet.ethertype(), EtherType::SERVICE_VLAN);
        assert_eq!(payload, &TAGGED[14..]);
        let repr = EthernetRepr {
            destination: ethernet.destination(),
            source: ethernet.source(),
            ethertype: ethernet.ethertype(),
        };
        assert_eq!(repr.emit(), TAGGED[..14]);
    }

    #[test]
    fn two_tags_are_walked_and_a_third_is_left() {
        let (ethernet, payload) = Ethernet::parse(&TAGGED).unwrap();
        let behind = payload_behind_tags(ethernet.ethertype(), payload);
        assert_eq!(behind, Ok((EtherType::IPV4, &TAGGED[22..])));

        let thrice = [0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x08, 0];
        let behind = payload_behind_tags(EtherType::VLAN, &thrice);
        assert_eq!(behind, Ok((EtherType::VLAN, &thrice[8..])));
    }

    #[test]
    fn a_header_or_tag_cut_short_is_truncated() {
        for len in 0..14 {
            assert_eq!(
                Ethernet::parse(&TAGGED[..len]),
                Err(ParseError::Truncated),
                "{len} bytes"
            );
        }
        for len in 0..8 {
            let behind = payload_behind_tags(EtherType::SERVICE_VLAN, &TAGGED[14..14 + len]);
            assert_eq!(behind, Err(ParseError::Truncated), "{len} bytes of tags");
        }
    }

    #[test]
    fn groups_and_reserved_groups_are_told_from_stations() {
        assert!(is_group(BROADCAST) && is_group([0x33, 0x33, 0, 0, 0, 1]));
        assert!(!is_group([0x02, 0xff, 0xff, 0xff, 0xff, 0xff]));
        for last in 0..=255 {
            assert_eq!(
                is_link_local_control([0x01, 0x80, 0xc2, 0, 0, last]),
                last < 16
            );
        }
        assert!(!is_link_local_control([0x01, 0x80, 0xc2, 0, 1, 0]));
    }
}
