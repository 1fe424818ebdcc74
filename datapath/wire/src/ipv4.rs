//! IPv4: what carries GRE between hosts, and what guests mostly send.
//!
//! Sources: RFC 791 (header), RFC 2474 and 3168 (type of service), RFC 6864 (identification).

use crate::{ParseError, Protocol, checksum};
use core::net::Ipv4Addr;

/// In the fragment field: do not fragment.
const DONT_FRAGMENT: u16 = 0x4000;
/// In the fragment field: more fragments follow.
const MORE_FRAGMENTS: u16 = 0x2000;
/// In the fragment field: where this one starts, in units of 8 bytes.
const OFFSET: u16 = 0x1fff;

/// An IPv4 header, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |version|  IHL  |type of service|         total length          |
/// |        identification         |0|D|M|     fragment offset     |
/// | time to live  |   protocol    |        header checksum        |
/// |                            source                             |
/// |                          destination                          |
/// |               options, if IHL > 5: IHL - 5 words              |
/// ```
///
/// Length in bytes: 4 times IHL, 20 to 60. Total length counts header and payload, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4<'a> {
    header: &'a [u8; Ipv4::MIN_LEN],
    options: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Length of a header without options, in bytes.
    pub const MIN_LEN: usize = 20;

    /// Reads the header in front of `bytes`; returns it and the payload, which ends where the
    /// total length says, whatever is behind it.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if header or total length promise more bytes than
    /// there are; [`Malformed`](ParseError::Malformed) if the version is not 4, the lengths
    /// contradict each other, or the header checksum does not hold.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let header: &[u8; Ipv4::MIN_LEN] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_len < Self::MIN_LEN || total_len < header_len {
            return Err(ParseError::Malformed);
        }
        let packet = bytes.get(..total_len).ok_or(ParseError::Truncated)?;
        let (whole, payload) = packet.split_at(header_len);
        // Nearly no header has options; of a length that is known, the sum needs no loop.
        let holds = match header_len {
            Self::MIN_LEN => checksum::holds(header),
            _ => checksum::holds_apart(whole),
        };
        if !holds {
            return Err(ParseError::Malformed);
        }
        let options = &whole[Self::MIN_LEN..];
        Ok((Self { header, options }, payload))
    }

    /// The type of service byte: six bits of DSCP, two of ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.header[1]
    }

    /// Length of header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// What tells the fragments of one packet from those of another.
    #[inline]
    pub fn identification(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// Whether it must not be fragmented on its way.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.fragment_field() & DONT_FRAGMENT != 0
    }

    /// Whether fragments follow this one.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.fragment_field() & MORE_FRAGMENTS != 0
    }

    /// Where in the whole packet's payload this one starts, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        (self.fragment_field() & OFFSET) * 8
    }

    /// Whether it is a part of a packet only.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment_field() & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Hops it may still take.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// What the payload is.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        Protocol(self.header[9])
    }

    /// The header checksum, which held.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[10], self.header[11]])
    }

    /// Whom it is from.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Whom it is for.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The options, 0 to 40 bytes, not looked into.
    #[inline]
    pub fn options(&self) -> &'a [u8] {
        self.options
    }

    /// Length of the header, in bytes: 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        Self::MIN_LEN + self.options.len()
    }

    #[inline]
    fn fragment_field(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }
}

/// An IPv4 header to be sent, of a whole packet without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Whom it is from.
    pub source: Ipv4Addr,
    /// Whom it is for.
    pub destination: Ipv4Addr,
    /// What the payload is.
    pub protocol: Protocol,
    /// Hops it may take.
    pub ttl: u8,
    /// The type of service byte.
    pub tos: u8,
    /// Any number if `dont_fragment` (RFC 6864 §4.1).
    pub identification: u16,
    /// Whether it must not be fragmented on its way.
    pub dont_fragment: bool,
    /// Length of the payload, in bytes, at most [`MAX_PAYLOAD`](Self::MAX_PAYLOAD).
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// Length of the header, in bytes.
    pub const LEN: usize = Ipv4::MIN_LEN;

    /// The longest payload, in bytes: what 16 bits of total length leave for it.
    pub const MAX_PAYLOAD: u16 = u16::MAX - 20;

    /// The header, its checksum included. A payload length above
    /// [`MAX_PAYLOAD`](Self::MAX_PAYLOAD) is written as that.
    #[inline]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        let total_len = self.payload_len.saturating_add(20);
        let fragment = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        header[0] = 0x45;
        header[1] = self.tos;
        header[2..4].copy_from_slice(&total_len.to_be_bytes());
        header[4..6].copy_from_slice(&self.identification.to_be_bytes());
        header[6..8].copy_from_slice(&fragment.to_be_bytes());
        header[8] = self.ttl;
        header[9] = self.protocol.0;
        header[12..16].copy_from_slice(&self.source.octets());
        header[16..20].copy_from_slice(&self.destination.octets());
        let checksum = checksum::of(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const WITH_OPTIONS: [u8; 30] = [
        0x46, 0xb9, 0x00, 0x1c, // version 4, IHL 6, DSCP 46 and ECN 1, 28 bytes
        0x12, 0x34, 0x40, 0x00, // identification, D
        0x40, 0x2f, 0x7e, 0xbf, // 64 hops, GRE, checksum
        0x0a, 0x00, 0x00, 0x01, // 10.0.0.1
        0x0a, 0x00, 0x00, 0x02, // 10.0.0.2
        0x94, 0x04, 0x00, 0x00, // router alert
        0xde, 0xad, 0xbe, 0xef, // payload
        0x00, 0x00,             // what Ethernet added
    ];

    #[test]
    fn a_header_with_options_is_read_as_written() {
        let (ip, payload) = Ipv4::parse(&WITH_OPTIONS).unwrap();
        assert_eq!((ip.header_len(), ip.total_len()), (24, 28));
        assert_eq!(
            (ip.tos(), ip.ttl(), ip.protocol()),
            (0xb9, 64, Protocol::GRE)
        );
        assert_eq!((ip.identification(), ip.checksum()), (0x1234, 0x7ebf));
        assert!(ip.dont_fragment() && !ip.is_fragment());
        assert_eq!(ip.source(), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(ip.destination(), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(ip.options(), [0x94, 0x04, 0, 0]);
        assert_eq!(
            payload,
            [0xde, 0xad, 0xbe, 0xef],
            "less what Ethernet added"
        );
    }

    #[test]
    fn a_packet_cut_short_anywhere_is_truncated() {
        for len in 0..28 {
            assert_eq!(
                Ipv4::parse(&WITH_OPTIONS[..len]),
                Err(ParseError::Truncated),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_changed_bit_of_the_header_is_noticed() {
        for bit in 0..24 * 8 {
            let mut bytes = WITH_OPTIONS;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Ipv4::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_malformed() {
        for (at, byte) in [(0, 0x44), (0, 0x65), (3, 23)] {
            let mut bytes = WITH_OPTIONS;
            bytes[at] = byte;
            assert_eq!(Ipv4::parse(&bytes), Err(ParseError::Malformed));
        }
    }

    #[test]
    fn first_middle_and_last_fragment_are_told_apart() {
        let fragment = |field: u16| {
            let mut bytes = WITH_OPTIONS;
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            bytes[10..12].fill(0);
            let checksum = checksum::of(&bytes[..24]);
            bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            let (ip, _) = Ipv4::parse(&bytes).unwrap();
            (ip.is_fragment(), ip.more_fragments(), ip.fragment_offset())
        };
        assert_eq!(fragment(0x2000), (true, true, 0));
        assert_eq!(fragment(0x2001), (true, true, 8));
        assert_eq!(fragment(0x1fff), (true, false, 65_528));
        assert_eq!(fragment(0x4000), (false, false, 0));
    }
}
