//! Cutting a packet that is too long for its way, and the header that says so on IPv6.
//!
//! Sources: RFC 791 §2.3 and §3.2 (fragmentation), §3.1 (options), RFC 8200 §4.5 (IPv6).

use crate::{Ipv4, ParseError, Protocol, checksum};
use core::ops::Range;

/// In IPv4's fragment field: more fragments follow.
const MORE: u16 = 0x2000;
/// In IPv4's fragment field: what every piece has from its packet, DF and a reserved bit.
const KEPT: u16 = 0xc000;
/// The longest IPv4 header, in bytes.
const MAX_HEADER: usize = 60;
/// The unit that fragments are cut in, in bytes.
const UNIT: usize = 8;
/// The first bit of an option's type: each fragment has it, and not only the first.
const COPIED: u8 = 0x80;

/// Why an IPv4 packet is not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uncut {
    /// It cannot be read, or its options or its place in a larger packet make no sense.
    Unread(ParseError),
    /// It is too long, and its sender forbids to cut it.
    Forbidden,
    /// Its header and 8 bytes of payload do not fit. 68 bytes are always enough (RFC 791 §3.2).
    NoRoom,
}

/// One piece of an IPv4 packet that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    header: [u8; MAX_HEADER],
    header_len: usize,
    payload: Range<usize>,
}

impl Piece {
    /// Its header, complete, 20 to 60 bytes.
    #[inline]
    pub fn header(&self) -> &[u8] {
        &self.header[..self.header_len]
    }

    /// Where its payload lies in the packet that was cut, in bytes from that packet's start.
    #[inline]
    pub fn payload(&self) -> Range<usize> {
        self.payload.clone()
    }

    /// Its length, header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.header_len + self.payload.len()
    }
}

/// The pieces of an IPv4 packet, in order, each as long as its way allows.
///
/// A packet that fits is its own only piece. One that is a fragment already is cut again, its
/// pieces placed in the packet that it is a fragment of.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// The next piece's header, less lengths, fragment field and checksum.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// What the payload still to come is, in bytes from the packet's start.
    left: Option<Range<usize>>,
    /// Where in the whole packet's payload the next piece starts, in units.
    units: u16,
    /// Whether more fragments follow the packet itself.
    more: bool,
    mtu: usize,
}

impl Pieces {
    /// Cuts the IPv4 packet in front of `packet` into pieces of at most `mtu` bytes each, header
    /// included. Nothing is copied but headers.
    ///
    /// # Errors
    ///
    /// [`Uncut`] says why it cannot be cut. A packet that fits is never refused for its DF bit.
    pub fn new(packet: &[u8], mtu: usize) -> Result<Self, Uncut> {
        let (ip, payload) = Ipv4::parse(packet).map_err(Uncut::Unread)?;
        let header_len = ip.header_len();
        let total_len = usize::from(ip.total_len());
        if total_len > mtu {
            if ip.dont_fragment() {
                return Err(Uncut::Forbidden);
            }
            if mtu < header_len + UNIT {
                return Err(Uncut::NoRoom);
            }
        }
        let offset = usize::from(ip.fragment_offset());
        let fits = u16::try_from(offset + total_len).is_ok();
        if !fits || copied(ip.options()).is_none() {
            return Err(Uncut::Unread(ParseError::Malformed));
        }
        let mut header = [0; MAX_HEADER];
        header[..header_len].copy_from_slice(&packet[..header_len]);
        Ok(Self {
            header,
            header_len,
            left: Some(header_len..header_len + payload.len()),
            units: ip.fragment_offset() / 8,
            more: ip.more_fragments(),
            mtu,
        })
    }

    /// Takes from the header what only the first fragment has.
    fn keep_copied(&mut self) {
        let options = &self.header[Ipv4::MIN_LEN..self.header_len];
        let Some((options, len)) = copied(options) else {
            return; // `new` has seen that there is none
        };
        self.header[Ipv4::MIN_LEN..].copy_from_slice(&options);
        self.header_len = Ipv4::MIN_LEN + len;
        self.header[0] = 0x40 | (self.header_len / 4).to_le_bytes()[0];
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let left = self.left.take()?;
        let room = self.mtu.saturating_sub(self.header_len);
        let len = if left.len() <= room {
            left.len()
        } else {
            room - room % UNIT
        };
        let payload = left.start..left.start + len;
        let rest = payload.end..left.end;
        let more = self.more || !rest.is_empty();

        let mut header = self.header;
        let total_len = u16::try_from(self.header_len + len).unwrap_or(u16::MAX); // not above
        let kept = u16::from_be_bytes([header[6], header[7]]) & KEPT;
        let field = kept | if more { MORE } else { 0 } | self.units;
        header[2..4].copy_from_slice(&total_len.to_be_bytes());
        header[6..8].copy_from_slice(&field.to_be_bytes());
        header[10..12].fill(0);
        let checksum = checksum::of(&header[..self.header_len]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        let piece = Piece {
            header,
            header_len: self.header_len,
            payload,
        };
        if !rest.is_empty() {
            self.units += u16::try_from(len / UNIT).unwrap_or(0); // below 8,192
            self.left = Some(rest);
            self.keep_copied();
        }
        Some(piece)
    }
}

/// Of `options`, at most 40 bytes, those that each fragment has, and their length in bytes, a
/// multiple of four; none if an option contradicts itself.
fn copied(mut options: &[u8]) -> Option<([u8; 40], usize)> {
    let mut kept = [0; 40];
    let mut len = 0;
    loop {
        options = match *options {
            [] | [0, ..] => break, // the list ends here
            [1, ref rest @ ..] => rest,
            [_] => return None,
            [kind, option_len, ..] => {
                let (option, rest) = options.split_at_checked(option_len.into())?;
                if option_len < 2 {
                    return None;
                }
                if kind & COPIED != 0 {
                    kept.get_mut(len..len + option.len())?
                        .copy_from_slice(option);
                    len += option.len();
                }
                rest
            }
        };
    }
    Some((kept, len.next_multiple_of(4)))
}

/// IPv6's fragment header, to be sent.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |  next header  |       0       |     offset in units     | 0 |M|
/// |                        identification                         |
/// ```
///
/// Length in bytes: 8. [`Ipv6::upper_layer`](crate::Ipv6::upper_layer) reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentRepr {
    /// What the first fragment's payload starts with.
    pub next: Protocol,
    /// Where this fragment starts, in bytes; a multiple of 8, or the rest is cut off.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
    /// What tells the fragments of one packet from those of another.
    pub identification: u32,
}

impl FragmentRepr {
    /// Length of the header, in bytes.
    pub const LEN: usize = 8;

    /// The header.
    #[inline]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let [high, low] = (self.offset & 0xfff8 | u16::from(self.more)).to_be_bytes();
        let [a, b, c, d] = self.identification.to_be_bytes();
        [self.next.0, 0, high, low, a, b, c, d]
    }
}

#[cfg(test)]
mod tests;
