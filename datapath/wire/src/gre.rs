//! GRE: the envelope an overlay frame travels in.
//!
//! Sources: RFC 2784 (base header), RFC 2890 (key and sequence number), RFC 8086 (in UDP).

use crate::{EtherType, ParseError, Unsupported, checksum};

/// The UDP port that GRE in UDP is sent to (RFC 8086 §7).
pub const UDP_PORT: u16 = 4754;

/// Bit 0: a checksum follows.
const CHECKSUM: u16 = 0x8000;
/// Bit 1: source routes follow, which only RFC 1701 has.
const ROUTING: u16 = 0x4000;
/// Bit 2: a key follows.
const KEY: u16 = 0x2000;
/// Bit 3: a sequence number follows.
const SEQUENCE: u16 = 0x1000;
/// Bits 4 and 5, on which RFC 2784 §2.3 says to discard. Bits 6 to 12 it says to ignore.
const REFUSED: u16 = 0x0c00;
/// Bits 13 to 15.
const VERSION: u16 = 0x0007;

/// A GRE header, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |C|0|K|S|0 0|   ignored   |0 0 0|         protocol type         |
/// |         checksum, if C        |         reserved, if C        |
/// |                           key, if K                           |
/// |                     sequence number, if S                     |
/// ```
///
/// Length in bytes: 4, and 4 more for each of C, K and S.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre<'a> {
    base: &'a [u8; 4],
    key: Option<&'a [u8; 4]>,
    sequence: Option<&'a [u8; 4]>,
}

impl<'a> Gre<'a> {
    /// Reads the header in front of `bytes`; returns it and the payload behind it.
    ///
    /// `bytes` ends where the packet ends. Every check is made here, once, so that no getter
    /// can fail or panic.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the flags promise bytes that are not there;
    /// [`Unsupported`](ParseError::Unsupported) if a refused bit is set, or the version is not 0;
    /// [`Malformed`](ParseError::Malformed) if a checksum is there and does not hold.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (base, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        let flags = u16::from_be_bytes([base[0], base[1]]);
        if flags & (ROUTING | REFUSED | VERSION) != 0 {
            return Err(ParseError::Unsupported(refusal(flags)));
        }
        let (summed, rest) = optional(flags & CHECKSUM != 0, rest)?;
        let (key, rest) = optional(flags & KEY != 0, rest)?;
        let (sequence, payload) = optional(flags & SEQUENCE != 0, rest)?;
        if summed.is_some() && !checksum::holds_apart(bytes) {
            return Err(ParseError::Malformed);
        }
        let header = Self {
            base,
            key,
            sequence,
        };
        Ok((header, payload))
    }

    /// What the payload is: an ethertype.
    #[inline]
    pub fn protocol(&self) -> EtherType {
        EtherType(u16::from_be_bytes([self.base[2], self.base[3]]))
    }

    /// The key, which on our tunnels is the vnet.
    #[inline]
    pub fn key(&self) -> Option<u32> {
        self.key.map(|key| u32::from_be_bytes(*key))
    }

    /// The sequence number.
    #[inline]
    pub fn sequence(&self) -> Option<u32> {
        self.sequence.map(|number| u32::from_be_bytes(*number))
    }

    /// Whether it carries a checksum, which held.
    #[inline]
    pub fn is_summed(&self) -> bool {
        self.base[0] & 0x80 != 0
    }

    /// Length of the header, in bytes: 4, 8, 12 or 16.
    #[inline]
    pub fn header_len(&self) -> usize {
        4 + 4 * usize::from(self.is_summed())
            + 4 * usize::from(self.key.is_some())
            + 4 * usize::from(self.sequence.is_some())
    }
}

/// The four bytes that a flag promises, if it is set, and what is behind them.
#[inline]
fn optional(promised: bool, bytes: &[u8]) -> Result<(Option<&[u8; 4]>, &[u8]), ParseError> {
    if !promised {
        return Ok((None, bytes));
    }
    let (field, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
    Ok((Some(field), rest))
}

/// Which of what we refuse `flags` ask for; the version first, as it gives the others meaning.
#[cold]
fn refusal(flags: u16) -> Unsupported {
    if flags & VERSION != 0 {
        Unsupported::GreVersion
    } else if flags & ROUTING != 0 {
        Unsupported::GreRouting
    } else {
        Unsupported::GreFlags
    }
}

/// A GRE header to be sent, an Ethernet frame behind it.
///
/// Flags say which fields there are; version 0, protocol 0x6558. The checksum is over header and
/// payload, and left zero by [`emit`](Self::emit): [`complete`] fills it in when both are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GreRepr {
    /// The vnet of the frame.
    pub key: Option<u32>,
    /// Whether it has a checksum.
    pub checksum: bool,
    /// Its number.
    pub sequence: Option<u32>,
}

impl GreRepr {
    /// Length of a header with a key and nothing else, in bytes.
    pub const KEYED_LEN: usize = 8;

    /// Length of the longest header, in bytes.
    pub const MAX_LEN: usize = 16;

    /// A header with a key and nothing else.
    #[inline]
    pub fn keyed(key: u32) -> Self {
        Self {
            key: Some(key),
            ..Self::default()
        }
    }

    /// Length of the header, in bytes: 4, 8, 12 or 16.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // no header is
    pub fn len(&self) -> usize {
        4 + 4 * usize::from(self.checksum)
            + 4 * usize::from(self.key.is_some())
            + 4 * usize::from(self.sequence.is_some())
    }

    /// The header, its first [`len`](Self::len) bytes; the others are zero.
    pub fn emit(&self) -> [u8; Self::MAX_LEN] {
        let mut header = [0; Self::MAX_LEN];
        let mut flags = 0;
        let mut at = 4;
        if self.checksum {
            flags |= CHECKSUM;
            at += 4;
        }
        if let Some(key) = self.key {
            flags |= KEY;
            header[at..at + 4].copy_from_slice(&key.to_be_bytes());
            at += 4;
        }
        if let Some(sequence) = self.sequence {
            flags |= SEQUENCE;
            header[at..at + 4].copy_from_slice(&sequence.to_be_bytes());
        }
        header[..2].copy_from_slice(&flags.to_be_bytes());
        header[2..4].copy_from_slice(&EtherType::BRIDGED.0.to_be_bytes());
        header
    }
}

/// Fills in the checksum of `packet`, a GRE header that has room for one and the payload behind
/// it. Does nothing to one that has none.
pub fn complete(packet: &mut [u8]) {
    let Some([flags, ..]) = packet.first_chunk::<8>().copied() else {
        return;
    };
    if flags & 0x80 == 0 {
        return;
    }
    packet[4..6].fill(0);
    let checksum = checksum::of(packet);
    packet[4..6].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[rustfmt::skip]
    const KEYED: [u8; 10] = [
        0x20, 0x00,             // K, version 0
        0x65, 0x58,             // an Ethernet frame follows
        0x00, 0x00, 0x13, 0x89, // key 5001
        0xca, 0xfe,             // payload
    ];

    #[rustfmt::skip]
    const ALL_THREE: [u8; 18] = [
        0xb0, 0x00,             // C, K, S, version 0
        0x65, 0x58,             // an Ethernet frame follows
        0x2f, 0xe1, 0x00, 0x00, // checksum, reserved
        0xff, 0xff, 0xff, 0xff, // key 2^32 - 1
        0x00, 0x00, 0x00, 0x07, // sequence number 7
        0xba, 0xbe,             // payload
    ];

    /// A header with `flags`, fields that are told apart by their bytes, and a right checksum.
    fn written(flags: u16) -> Vec<u8> {
        let mut bytes = Vec::from(flags.to_be_bytes());
        bytes.extend([0x65, 0x58]);
        for (flag, field) in [(CHECKSUM, [0; 4]), (KEY, [1; 4]), (SEQUENCE, [2; 4])] {
            if flags & flag != 0 {
                bytes.extend(field);
            }
        }
        bytes.extend(b"payload");
        if flags & CHECKSUM != 0 {
            let checksum = checksum::of(&bytes);
            bytes[4..6].copy_from_slice(&checksum.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn a_keyed_header_is_read_as_written() {
        let (gre, payload) = Gre::parse(&KEYED).unwrap();
        assert_eq!((gre.key(), gre.sequence()), (Some(5001), None));
        assert_eq!((gre.protocol(), gre.header_len()), (EtherType::BRIDGED, 8));
        assert_eq!(payload, [0xca, 0xfe]);
        assert_eq!(GreRepr::keyed(5001).emit()[..8], KEYED[..8]);
        assert_eq!(GreRepr::keyed(5001).len(), GreRepr::KEYED_LEN);
    }

    #[test]
    fn checksum_key_and_sequence_are_read_together() {
        let (gre, payload) = Gre::parse(&ALL_THREE).unwrap();
        assert_eq!((gre.key(), gre.sequence()), (Some(u32::MAX), Some(7)));
        assert!(gre.is_summed());
        assert_eq!((gre.header_len(), payload), (16, &[0xba, 0xbe][..]));
    }

    #[test]
    fn all_eight_combinations_find_their_fields() {
        for combination in 0..8u16 {
            let flags = (combination & 4) << 13 | (combination & 3) << 12;
            let bytes = written(flags);
            let (gre, payload) = Gre::parse(&bytes).unwrap();
            assert_eq!(payload, b"payload", "flags {flags:04x}");
            assert_eq!(gre.header_len(), bytes.len() - 7, "flags {flags:04x}");
            assert_eq!(gre.key(), (flags & KEY != 0).then_some(0x0101_0101));
            assert_eq!(
                gre.sequence(),
                (flags & SEQUENCE != 0).then_some(0x0202_0202)
            );
        }
    }

    #[test]
    fn whatever_is_sent_is_read_again() {
        for combination in 0..8u32 {
            let repr = GreRepr {
                key: (combination & 1 != 0).then_some(u32::MAX),
                checksum: combination & 2 != 0,
                sequence: (combination & 4 != 0).then_some(7),
            };
            let mut bytes = Vec::from(&repr.emit()[..repr.len()]);
            bytes.extend(b"odd");
            complete(&mut bytes);
            let (gre, payload) = Gre::parse(&bytes).unwrap();
            assert_eq!((gre.key(), gre.sequence()), (repr.key, repr.sequence));
            assert_eq!(
                (gre.is_summed(), gre.header_len()),
                (repr.checksum, repr.len())
            );
            assert_eq!((gre.protocol(), payload), (EtherType::BRIDGED, &b"odd"[..]));
        }
    }

    #[test]
    fn a_key_that_was_promised_and_cut_off_is_truncated() {
        for len in 0..GreRepr::KEYED_LEN {
            assert_eq!(
                Gre::parse(&KEYED[..len]),
                Err(ParseError::Truncated),
                "{len} bytes"
            );
        }
        for len in 0..16 {
            assert_eq!(
                Gre::parse(&ALL_THREE[..len]),
                Err(ParseError::Truncated),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_checksum_covers_header_and_payload() {
        for bit in 0..ALL_THREE.len() * 8 {
            // Flags and version have answers of their own; the checksum guards the rest.
            if bit < 16 {
                continue;
            }
            let mut bytes = ALL_THREE;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Gre::parse(&bytes), Err(ParseError::Malformed), "bit {bit}");
        }
    }

    #[test]
    fn each_refused_bit_says_why_and_ignored_bits_do_not() {
        let answer = |bit: u16| {
            let mut bytes = KEYED;
            let flags = KEY | 0x8000 >> bit;
            bytes[..2].copy_from_slice(&flags.to_be_bytes());
            Gre::parse(&bytes).map(|(gre, _)| gre.key())
        };
        let refused = |why| Err(ParseError::Unsupported(why));
        assert_eq!(answer(1), refused(Unsupported::GreRouting));
        for bit in [4, 5] {
            assert_eq!(answer(bit), refused(Unsupported::GreFlags), "bit {bit}");
        }
        for bit in 6..=12 {
            assert_eq!(answer(bit), Ok(Some(5001)), "bit {bit}");
        }
        for bit in 13..=15 {
            assert_eq!(answer(bit), refused(Unsupported::GreVersion), "bit {bit}");
        }
    }
}
