//! ICMP that says a packet is too big: read where a router says it of ours, written where a guest
//! has to know.
//!
//! Sources: RFC 792 and RFC 1191 §4 (fragmentation needed), RFC 4443 §3.2 (packet too big), RFC
//! 1122 §3.2.2, RFC 1812 §4.3.2 and RFC 4443 §2.4 (when, and how).

use crate::ipv4::{Ipv4, Ipv4Repr};
use crate::ipv6::{Ipv6, Ipv6Repr, MAX_EXTENSIONS};
use crate::{ParseError, Protocol, Unsupported, checksum};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// ICMP on IPv4: destination unreachable, and its code for fragmentation needed.
const UNREACHABLE: [u8; 2] = [3, 4];
/// ICMP on IPv6: packet too big. Its code means nothing (RFC 4443 §3.2).
const TOO_BIG_V6: u8 = 2;
/// Length of what is in front of the quoted packet, in bytes.
const LEN: usize = 8;
/// The longest answer on IPv4, in bytes: any network takes it (RFC 1812 §4.3.2.3).
const MAX_V4: usize = 576;
/// The longest answer on IPv6, in bytes: any link takes it (RFC 4443 §3.2, RFC 8200 §5).
const MAX_V6: usize = 1280;
/// Hops an answer may take: all those that a guest's own packets may.
const HOPS: u8 = 64;
/// Precedence 6, internetwork control: RFC 1812 §4.3.2.5 wants it for errors, as they matter most
/// where a way is crowded, and that is where ordinary packets are dropped first. On IPv6 the
/// same six bits mean the same (RFC 2474 §4.2.2).
const PRECEDENCE: u8 = 0xc0;

/// What a router says of a packet that was too big for it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |    type: 3    |    code: 4    |           checksum            |   on IPv4
/// |               0               |     largest packet, or 0      |
/// |          the packet that was too big, or its start            |
///
/// |    type: 2    |     code      |           checksum            |   on IPv6
/// |                        largest packet                         |
/// |          the packet that was too big, or its start            |
/// ```
///
/// Anyone on the way can write one. Believe it only if what it quotes is what we have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig<'a> {
    /// The largest packet that fits, in bytes. On IPv4 it is 0 if the router is older than RFC
    /// 1191; any other number may stand here too, also ones no link may have.
    pub mtu: u32,
    /// The packet that was too big.
    pub quoted: Quoted<'a>,
}

/// The start of a packet, as an ICMP error quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// Whom it was from.
    pub source: IpAddr,
    /// Whom it was for.
    pub destination: IpAddr,
    /// What its payload is.
    pub protocol: Protocol,
    /// As much of the payload as is quoted.
    pub payload: &'a [u8],
    /// Whether it is a fragment other than the first: its payload starts somewhere in the middle.
    pub is_later_fragment: bool,
}

impl<'a> TooBig<'a> {
    /// Reads `message`, the whole payload of an IPv4 packet of [`Protocol::ICMP`].
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the message, the quoted header or the first 8
    /// bytes behind that are cut short; [`Unsupported`](ParseError::Unsupported) if it is another
    /// message; [`Malformed`](ParseError::Malformed) if its checksum does not hold, or it does not
    /// quote IPv4.
    pub fn parse_v4(message: &'a [u8]) -> Result<Self, ParseError> {
        let (start, quoted) = message
            .split_first_chunk::<LEN>()
            .ok_or(ParseError::Truncated)?;
        if start[..2] != UNREACHABLE {
            return Err(ParseError::Unsupported(Unsupported::IcmpKind));
        }
        if !checksum::holds(message) {
            return Err(ParseError::Malformed);
        }
        Ok(Self {
            mtu: u16::from_be_bytes([start[6], start[7]]).into(),
            quoted: Quoted::parse_v4(quoted)?,
        })
    }

    /// Reads `message`, the upper layer of a whole packet with the header `ip`, of
    /// [`Protocol::ICMPV6`].
    ///
    /// # Errors
    ///
    /// As [`parse_v4`](Self::parse_v4), but nothing needs to be quoted behind the IPv6 header.
    pub fn parse_v6(ip: &Ipv6<'_>, message: &'a [u8]) -> Result<Self, ParseError> {
        let (start, quoted) = message
            .split_first_chunk::<LEN>()
            .ok_or(ParseError::Truncated)?;
        if start[0] != TOO_BIG_V6 {
            return Err(ParseError::Unsupported(Unsupported::IcmpKind));
        }
        let len = u32::try_from(message.len()).map_err(|_| ParseError::Malformed)?;
        let protocol = Protocol::ICMPV6.0;
        let pseudo = checksum::pseudo_v6(ip.source(), ip.destination(), protocol, len);
        if checksum::add(pseudo, checksum::sum(message)) != 0xffff {
            return Err(ParseError::Malformed);
        }
        Ok(Self {
            mtu: u32::from_be_bytes([start[4], start[5], start[6], start[7]]),
            quoted: Quoted::parse_v6(quoted)?,
        })
    }
}

impl<'a> Quoted<'a> {
    /// Reads the IPv4 header in front of `bytes`, and as much payload as is there.
    ///
    /// The header was sent, but has been on its way since: routers change its checksum, and some
    /// change its lengths, so neither is held against it.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the header or the first 8 bytes behind it are cut
    /// short, which every error quotes (RFC 792); [`Malformed`](ParseError::Malformed) if the
    /// version is not 4, or the header says that it is shorter than 20 bytes.
    pub fn parse_v4(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header: &[u8; Ipv4::MIN_LEN] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        if header[0] >> 4 != 4 || header_len < Ipv4::MIN_LEN {
            return Err(ParseError::Malformed);
        }
        let payload = bytes.get(header_len..).ok_or(ParseError::Truncated)?;
        if payload.len() < 8 {
            return Err(ParseError::Truncated);
        }
        let (addresses, _) = header[12..].as_chunks::<4>();
        let [source, destination] = addresses else {
            return Err(ParseError::Truncated);
        };
        Ok(Self {
            source: Ipv4Addr::from(*source).into(),
            destination: Ipv4Addr::from(*destination).into(),
            protocol: Protocol(header[9]),
            payload,
            is_later_fragment: u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0,
        })
    }

    /// Reads the IPv6 header in front of `bytes`, walks the extension headers as far as they are
    /// quoted, and returns what is behind. Where one is cut short, or there are more than
    /// [`MAX_EXTENSIONS`], the protocol is that extension header's, and the payload starts with it.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the IPv6 header itself is cut short;
    /// [`Malformed`](ParseError::Malformed) if the version is not 6.
    pub fn parse_v6(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, payload) = bytes
            .split_first_chunk::<{ Ipv6::LEN }>()
            .ok_or(ParseError::Truncated)?;
        if header[0] >> 4 != 6 {
            return Err(ParseError::Malformed);
        }
        let (addresses, _) = header[8..].as_chunks::<16>();
        let [source, destination] = addresses else {
            return Err(ParseError::Truncated);
        };
        let mut found = Self {
            source: Ipv6Addr::from(*source).into(),
            destination: Ipv6Addr::from(*destination).into(),
            protocol: Protocol(header[6]),
            payload,
            is_later_fragment: false,
        };
        for _ in 0..MAX_EXTENSIONS {
            let is_fragment = found.protocol == Protocol::FRAGMENT;
            let len = match (found.protocol, found.payload) {
                (Protocol::FRAGMENT, _) => 8,
                (
                    Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS,
                    [_, units, ..],
                ) => 8 + 8 * usize::from(*units),
                _ => break,
            };
            let Some((extension, rest)) = found.payload.split_at_checked(len) else {
                break;
            };
            found.protocol = Protocol(extension[0]);
            found.payload = rest;
            if is_fragment && u16::from_be_bytes([extension[2], extension[3]]) & 0xfff8 != 0 {
                found.is_later_fragment = true;
                break;
            }
        }
        Ok(found)
    }
}

/// Writes to the front of `into` a whole IPv4 packet, from `from` to `to`, that says of
/// `original` that it is too big, and that `mtu` bytes fit. Returns its length in bytes: at most
/// 576, and 0 if `into` is shorter than the 28 bytes of its headers.
///
/// `original` starts with an IPv4 header, and is quoted as far as that says it goes and as there
/// is room (RFC 1812 §4.3.2.3). Ask [`may_be_answered_v4`] first.
pub fn too_big_v4(
    into: &mut [u8],
    original: &[u8],
    from: Ipv4Addr,
    to: Ipv4Addr,
    mtu: u16,
) -> usize {
    const HEADERS: usize = Ipv4Repr::LEN + LEN;
    let announced = match *original {
        [_, _, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let room = into.len().min(MAX_V4);
    let Some(room) = room.checked_sub(HEADERS) else {
        return 0;
    };
    let quoted = &original[..original.len().min(announced).min(room)];
    let len = HEADERS + quoted.len();
    let message_len = u16::try_from(LEN + quoted.len()).unwrap_or(0); // at most 556
    let header = Ipv4Repr {
        source: from,
        destination: to,
        protocol: Protocol::ICMP,
        ttl: HOPS,
        tos: PRECEDENCE,
        identification: 0,
        dont_fragment: true,
        payload_len: message_len,
    };
    into[..Ipv4Repr::LEN].copy_from_slice(&header.emit());
    let message = &mut into[Ipv4Repr::LEN..len];
    message[..LEN].fill(0);
    message[..2].copy_from_slice(&UNREACHABLE);
    message[6..LEN].copy_from_slice(&mtu.to_be_bytes());
    message[LEN..].copy_from_slice(quoted);
    let checksum = checksum::of(message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    len
}

/// Writes to the front of `into` a whole IPv6 packet, from `from` to `to`, that says of
/// `original` that it is too big, and that `mtu` bytes fit. Returns its length in bytes: at most
/// 1,280, and 0 if `into` is shorter than the 48 bytes of its headers.
///
/// `original` starts with an IPv6 header, and is quoted as far as that says it goes and as there
/// is room (RFC 4443 §3.2). Ask [`may_be_answered_v6`] first.
pub fn too_big_v6(
    into: &mut [u8],
    original: &[u8],
    from: Ipv6Addr,
    to: Ipv6Addr,
    mtu: u32,
) -> usize {
    const HEADERS: usize = Ipv6Repr::LEN + LEN;
    let announced = match *original {
        [_, _, _, _, high, low, ..] => Ipv6::LEN + usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let room = into.len().min(MAX_V6);
    let Some(room) = room.checked_sub(HEADERS) else {
        return 0;
    };
    let quoted = &original[..original.len().min(announced).min(room)];
    let len = HEADERS + quoted.len();
    let message_len = u16::try_from(LEN + quoted.len()).unwrap_or(0); // at most 1,240
    let header = Ipv6Repr {
        source: from,
        destination: to,
        next: Protocol::ICMPV6,
        hop_limit: HOPS,
        traffic_class: PRECEDENCE,
        flow_label: 0,
        payload_len: message_len,
    };
    into[..Ipv6Repr::LEN].copy_from_slice(&header.emit());
    let message = &mut into[Ipv6Repr::LEN..len];
    message[..4].copy_from_slice(&[TOO_BIG_V6, 0, 0, 0]);
    message[4..LEN].copy_from_slice(&mtu.to_be_bytes());
    message[LEN..].copy_from_slice(quoted);
    let pseudo = checksum::pseudo_v6(from, to, Protocol::ICMPV6.0, message_len.into());
    let checksum = !checksum::add(pseudo, checksum::sum(message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    len
}

/// Whether an ICMP error may answer `packet`, IPv4 (RFC 1122 §3.2.2): it is not one itself, nor
/// of an unknown kind, which could be; it is for one host and from one; and it is not a fragment
/// other than the first. What cannot be read is not answered.
///
/// Whether the frame was for all stations, or the address is its network's broadcast address, the
/// packet does not say: that is for the caller to know.
pub fn may_be_answered_v4(packet: &[u8]) -> bool {
    let Ok((ip, payload)) = Ipv4::parse(packet) else {
        return false;
    };
    let (source, destination) = (ip.source(), ip.destination());
    // Class E, 240 and above, has the broadcast address as its last; 0 is nobody's network.
    let from_one = !matches!(source.octets()[0], 0 | 127 | 224..=255);
    let for_one = !destination.is_multicast() && !destination.is_broadcast();
    let answerable = match (ip.protocol(), payload.first()) {
        // Echo, router discovery, timestamp, information, address mask, extended echo.
        (Protocol::ICMP, Some(kind)) => matches!(kind, 0 | 8..=10 | 13..=18 | 42 | 43),
        (Protocol::ICMP, None) => false,
        _ => true,
    };
    from_one && for_one && answerable && ip.fragment_offset() == 0
}

/// Whether an ICMP error may answer `packet`, IPv6 (RFC 4443 §2.4): it is not one itself, nor a
/// redirect; it is for one host and from one; and it is not a fragment other than the first. What
/// cannot be read is not answered.
///
/// RFC 4443 §2.4 (e.3) would let a packet that is too big be answered even if it is for a group.
/// We do not: behind a tunnel each host of the group would answer.
pub fn may_be_answered_v6(packet: &[u8]) -> bool {
    let Ok((ip, payload)) = Ipv6::parse(packet) else {
        return false;
    };
    let Ok(upper) = ip.upper_layer(payload) else {
        return false;
    };
    let (source, destination) = (ip.source(), ip.destination());
    let from_one = !source.is_unspecified() && !source.is_loopback() && !source.is_multicast();
    let answerable = match (upper.protocol, upper.bytes.first()) {
        (Protocol::ICMPV6, Some(kind)) => *kind >= 128 && *kind != 137,
        (Protocol::ICMPV6, None) => false,
        _ => true,
    };
    let is_first = upper.fragment.is_none_or(|fragment| fragment.offset == 0);
    from_one && !destination.is_multicast() && answerable && is_first
}

#[cfg(test)]
mod tests;
