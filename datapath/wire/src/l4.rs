//! What is behind IP: TCP, UDP and ICMP, as far as a switch needs to know.
//!
//! Sources: RFC 9293 §3.1 (TCP), RFC 768 (UDP), RFC 792 and RFC 4443 (ICMP).

use crate::{ParseError, checksum};

/// What an IP payload is, and on IPv6 also what an extension header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP on IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// GRE.
    pub const GRE: Self = Self(47);
    /// ICMP on IPv6.
    pub const ICMPV6: Self = Self(58);
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: Self = Self(60);

    /// Where in its header a checksum stands that covers the whole segment, in bytes; none if
    /// the protocol has none or we do not know it.
    #[inline]
    pub fn checksum_at(self) -> Option<usize> {
        match self {
            Self::TCP => Some(16),
            Self::UDP => Some(6),
            Self::ICMP | Self::ICMPV6 => Some(2),
            _ => None,
        }
    }
}

/// A TCP header, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |          source port          |       destination port        |
/// |                        sequence number                        |
/// |                    acknowledgment number                      |
/// |offset | 0 |      flags        |            window             |
/// |           checksum            |        urgent pointer         |
/// |             options, if offset > 5: offset - 5 words          |
/// ```
///
/// Length in bytes: 4 times offset, 20 to 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    header: &'a [u8; Tcp::MIN_LEN],
}

impl<'a> Tcp<'a> {
    /// Length of a header without options, in bytes.
    pub const MIN_LEN: usize = 20;

    /// Reads the header in front of `bytes`; returns it and the payload. The checksum is not
    /// looked at: see [`finding`].
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the header is cut short;
    /// [`Malformed`](ParseError::Malformed) if it says that it is shorter than 20 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let header: &[u8; Tcp::MIN_LEN] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(header[12] >> 4) * 4;
        if header_len < Self::MIN_LEN {
            return Err(ParseError::Malformed);
        }
        let payload = bytes.get(header_len..).ok_or(ParseError::Truncated)?;
        Ok((Self { header }, payload))
    }

    /// The sender's port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// The receiver's port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The flags FIN, SYN, RST, PSH, ACK, URG, ECE and CWR, from the lowest bit on.
    #[inline]
    pub fn flags(&self) -> u8 {
        self.header[13]
    }
}

/// A UDP header, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |          source port          |       destination port        |
/// |            length             |       checksum, or 0          |
/// ```
///
/// Length in bytes: 8. The length in it counts header and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    header: &'a [u8; Udp::LEN],
}

impl<'a> Udp<'a> {
    /// Length of the header, in bytes.
    pub const LEN: usize = 8;

    /// Reads the header in front of `bytes`; returns it and the payload, which ends where the
    /// length says. The checksum is not looked at: see [`finding`].
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the length promises more bytes than there are;
    /// [`Malformed`](ParseError::Malformed) if it is below 8.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let header: &[u8; Udp::LEN] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if len < Self::LEN {
            return Err(ParseError::Malformed);
        }
        let payload = bytes.get(Self::LEN..len).ok_or(ParseError::Truncated)?;
        Ok((Self { header }, payload))
    }

    /// The sender's port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// The receiver's port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// Length of header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// The checksum as it stands; 0 if there is none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }
}

/// The start of an ICMP message, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |     type      |     code      |           checksum            |
/// |                  identifier and sequence number, of an echo   |
/// ```
///
/// Length in bytes: 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp<'a> {
    header: &'a [u8; Icmp::LEN],
}

impl<'a> Icmp<'a> {
    /// Length of what all messages start with, in bytes.
    pub const LEN: usize = 8;

    /// Reads the message's start; returns it and what is behind it. The checksum is not looked
    /// at: see [`finding`].
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) below 8 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, payload) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok((Self { header }, payload))
    }

    /// Its type. The numbers of ICMP on IPv4 and on IPv6 are not the same.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.header[0]
    }

    /// Its code.
    #[inline]
    pub fn code(&self) -> u8 {
        self.header[1]
    }

    /// Of an echo request or reply, whose it is.
    #[inline]
    pub fn identifier(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }
}

/// What a segment's checksum says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// It holds.
    Holds,
    /// There is none: UDP may do without on IPv4, and other protocols have none.
    Absent,
    /// Only the pseudo-header was summed: a sender who left the rest to hardware that this
    /// frame never met. [`complete`] finishes it.
    Unfinished,
    /// It does not hold.
    Wrong,
}

/// What the checksum of `segment` says. `pseudo` is the sum of its pseudo-header, 0 for ICMP on
/// IPv4. `segment` is a whole one, not a fragment, and ends where its packet ends.
///
/// # Errors
///
/// [`Truncated`](ParseError::Truncated) if the checksum itself is cut off.
pub fn finding(protocol: Protocol, pseudo: u16, segment: &[u8]) -> Result<Finding, ParseError> {
    let Some(at) = protocol.checksum_at() else {
        return Ok(Finding::Absent);
    };
    let field = segment.get(at..at + 2).ok_or(ParseError::Truncated)?;
    let field = u16::from_be_bytes([field[0], field[1]]);
    if protocol == Protocol::UDP && field == 0 {
        return Ok(Finding::Absent);
    }
    Ok(if checksum::add(pseudo, checksum::sum(segment)) == 0xffff {
        Finding::Holds
    } else if field == pseudo && pseudo != 0 {
        Finding::Unfinished
    } else {
        Finding::Wrong
    })
}

/// Finishes the checksum of a `segment` that was found [`Unfinished`](Finding::Unfinished).
/// Where there is no checksum, nothing changes.
pub fn complete(protocol: Protocol, segment: &mut [u8]) {
    // The sum of the pseudo-header stands in the field, so the segment's own sum has it already.
    let checksum = checksum::of(segment);
    let checksum = match protocol {
        Protocol::UDP => checksum::for_udp(checksum),
        _ => checksum,
    };
    let at = protocol.checksum_at();
    if let Some(field) = at.and_then(|at| segment.get_mut(at..at + 2)) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[rustfmt::skip]
    const QUERY: [u8; 12] = [
        0x82, 0x35, 0x00, 0x35, // port 33333 to port 53
        0x00, 0x0c, 0x00, 0x00, // 12 bytes, no checksum
        0xca, 0xfe, 0xba, 0xbe,
    ];

    #[rustfmt::skip]
    const SYN: [u8; 24] = [
        0x82, 0x35, 0x00, 0x50, // port 33333 to port 80
        0x00, 0x00, 0x00, 0x01,
        0x00, 0x00, 0x00, 0x00,
        0x60, 0x02, 0xff, 0xff, // offset 6, SYN
        0x00, 0x00, 0x00, 0x00,
        0x02, 0x04, 0x05, 0xb4, // largest segment 1460
    ];

    fn pseudo(protocol: Protocol, segment: &[u8]) -> u16 {
        let (a, b) = (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2));
        checksum::pseudo_v4(a, b, protocol.0, u16::try_from(segment.len()).unwrap())
    }

    #[test]
    fn ports_and_payload_are_read_as_written() {
        let (udp, payload) = Udp::parse(&QUERY).unwrap();
        assert_eq!((udp.source_port(), udp.destination_port()), (33_333, 53));
        assert_eq!(payload, [0xca, 0xfe, 0xba, 0xbe]);
        let (tcp, payload) = Tcp::parse(&SYN).unwrap();
        assert_eq!((tcp.source_port(), tcp.destination_port()), (33_333, 80));
        assert_eq!((tcp.flags(), payload.len()), (2, 0));
        let (echo, payload) = Icmp::parse(&[8, 0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        assert_eq!(
            (echo.kind(), echo.code(), echo.identifier()),
            (8, 0, 0x0304)
        );
        assert_eq!(payload, [7]);
    }

    #[test]
    fn a_segment_cut_short_is_truncated() {
        for len in 0..24 {
            assert_eq!(Tcp::parse(&SYN[..len]), Err(ParseError::Truncated));
        }
        for len in 0..12 {
            assert_eq!(Udp::parse(&QUERY[..len]), Err(ParseError::Truncated));
        }
        for len in 0..8 {
            assert_eq!(Icmp::parse(&QUERY[..len]), Err(ParseError::Truncated));
        }
        assert_eq!(
            finding(Protocol::TCP, 1, &SYN[..17]),
            Err(ParseError::Truncated)
        );
    }

    #[test]
    fn lengths_below_the_header_are_malformed() {
        let mut short = SYN;
        short[12] = 0x40;
        assert_eq!(Tcp::parse(&short), Err(ParseError::Malformed));
        let mut short = QUERY;
        short[5] = 7;
        assert_eq!(Udp::parse(&short), Err(ParseError::Malformed));
    }

    #[test]
    fn an_unfinished_checksum_is_found_and_finished() {
        for (protocol, mut segment) in [
            (Protocol::TCP, SYN.to_vec()),
            (Protocol::UDP, QUERY.to_vec()),
        ] {
            let at = protocol.checksum_at().unwrap();
            let pseudo = pseudo(protocol, &segment);
            segment[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
            assert_eq!(finding(protocol, pseudo, &segment), Ok(Finding::Unfinished));
            complete(protocol, &mut segment);
            assert_eq!(finding(protocol, pseudo, &segment), Ok(Finding::Holds));
            segment[at] ^= 1;
            assert_eq!(finding(protocol, pseudo, &segment), Ok(Finding::Wrong));
        }
    }

    #[test]
    fn no_checksum_is_no_fault() {
        assert_eq!(finding(Protocol::UDP, 1, &QUERY), Ok(Finding::Absent));
        assert_eq!(finding(Protocol::GRE, 1, &[]), Ok(Finding::Absent));
    }
}
