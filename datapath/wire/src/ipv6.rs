//! IPv6: what guests send, and what may carry GRE between hosts.
//!
//! Sources: RFC 8200 (header, §4 extension headers), RFC 6437 (flow label), RFC 2675 (jumbograms,
//! which we refuse).

use crate::{ParseError, Protocol, Unsupported};
use core::net::Ipv6Addr;

/// Extension headers walked by [`Ipv6::upper_layer`]. RFC 8200 §4.1 names seven at most.
pub const MAX_EXTENSIONS: usize = 8;

/// Where the header names what is behind it, in bytes.
const NEXT_HEADER_AT: usize = 6;

/// An IPv6 header, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |version| traffic class |              flow label               |
/// |        payload length         |  next header  |   hop limit   |
/// |                       source, 16 bytes                        |
/// |                     destination, 16 bytes                     |
/// ```
///
/// Length in bytes: 40. Payload length counts what is behind the header, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6<'a> {
    header: &'a [u8; Ipv6::LEN],
}

/// What lies behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer<'a> {
    /// What it is.
    pub protocol: Protocol,
    /// Its bytes; of a fragment that is not the first, from somewhere in its middle.
    pub bytes: &'a [u8],
    /// Which part of a packet this is, if it is a part only.
    pub fragment: Option<Fragment>,
}

/// Which part of a packet a fragment is (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where it starts, in bytes.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
    /// What tells the fragments of one packet from those of another.
    pub identification: u32,
    /// Where the fragment header stands, in bytes from the packet's start, 40 or more. Each
    /// fragment repeats what is in front of it.
    pub header_at: usize,
    /// Where the byte stands that names the fragment header as the next one, in bytes from the
    /// packet's start. The whole packet has there what the first fragment's header names.
    pub named_at: usize,
}

impl<'a> Ipv6<'a> {
    /// Length of the header, in bytes.
    pub const LEN: usize = 40;

    /// Reads the header in front of `bytes`; returns it and the payload, which ends where the
    /// payload length says, and starts with the extension headers if there are any.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if there are fewer bytes than header and payload
    /// length promise; [`Unsupported`](ParseError::Unsupported) if it is a jumbogram;
    /// [`Malformed`](ParseError::Malformed) if the version is not 6.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest): (&[u8; Ipv6::LEN], _) =
            bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        if header[0] >> 4 != 6 {
            return Err(ParseError::Malformed);
        }
        let view = Self { header };
        if view.payload_len() == 0 && view.next_header() == Protocol::HOP_BY_HOP {
            return Err(ParseError::Unsupported(Unsupported::Jumbogram));
        }
        let payload = rest
            .get(..usize::from(view.payload_len()))
            .ok_or(ParseError::Truncated)?;
        Ok((view, payload))
    }

    /// What lies behind the extension headers of `payload`, which `parse` returned beside this
    /// header.
    ///
    /// Walks hop-by-hop options, routing, destination options and fragment headers; anything
    /// else is the upper layer, and so is whatever a later fragment carries.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if an extension header is cut short;
    /// [`Unsupported`](ParseError::Unsupported) above [`MAX_EXTENSIONS`].
    pub fn upper_layer(&self, payload: &'a [u8]) -> Result<UpperLayer<'a>, ParseError> {
        let mut found = UpperLayer {
            protocol: self.next_header(),
            bytes: payload,
            fragment: None,
        };
        let mut named_at = NEXT_HEADER_AT;
        for _ in 0..MAX_EXTENSIONS {
            let header_at = Self::LEN + payload.len() - found.bytes.len();
            let len = match found.protocol {
                Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS => {
                    let units = found.bytes.get(1).ok_or(ParseError::Truncated)?;
                    8 + 8 * usize::from(*units)
                }
                Protocol::FRAGMENT => {
                    found.fragment = Some(fragment(found.bytes, header_at, named_at)?);
                    8
                }
                _ => return Ok(found),
            };
            let (header, rest) = found
                .bytes
                .split_at_checked(len)
                .ok_or(ParseError::Truncated)?;
            found.protocol = Protocol(header[0]);
            found.bytes = rest;
            named_at = header_at;
            if found.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Ok(found);
            }
        }
        match found.protocol {
            Protocol::HOP_BY_HOP
            | Protocol::ROUTING
            | Protocol::DESTINATION_OPTIONS
            | Protocol::FRAGMENT => Err(ParseError::Unsupported(Unsupported::Extensions)),
            _ => Ok(found),
        }
    }

    /// The traffic class byte: six bits of DSCP, two of ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        self.header[0] << 4 | self.header[1] >> 4
    }

    /// The flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        u32::from_be_bytes([0, self.header[1] & 0x0f, self.header[2], self.header[3]])
    }

    /// Length of what is behind the header, in bytes.
    #[inline]
    pub fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// What is behind the header: an extension header, or the upper layer.
    #[inline]
    pub fn next_header(&self) -> Protocol {
        Protocol(self.header[NEXT_HEADER_AT])
    }

    /// Hops it may still take.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// Whom it is from.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        address(self.header, 8)
    }

    /// Whom it is for.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        address(self.header, 24)
    }
}

/// The address that starts at byte `at`, 8 or 24.
#[inline]
fn address(header: &[u8; Ipv6::LEN], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(octets)
}

/// The fragment header in front of `bytes`, which stands and is named where it is said.
fn fragment(bytes: &[u8], header_at: usize, named_at: usize) -> Result<Fragment, ParseError> {
    let header: &[u8; 8] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
    let field = u16::from_be_bytes([header[2], header[3]]);
    Ok(Fragment {
        offset: field & 0xfff8,
        more: field & 1 != 0,
        identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        header_at,
        named_at,
    })
}

/// An IPv6 header to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Whom it is from.
    pub source: Ipv6Addr,
    /// Whom it is for.
    pub destination: Ipv6Addr,
    /// What is behind the header: an extension header, or the upper layer.
    pub next: Protocol,
    /// Hops it may take.
    pub hop_limit: u8,
    /// The traffic class byte.
    pub traffic_class: u8,
    /// The same for all packets of a flow, so that routers keep them together (RFC 6437 §2); of
    /// its 32 bits the lower 20 are sent.
    pub flow_label: u32,
    /// Length of what is behind the header, in bytes.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// Length of the header, in bytes.
    pub const LEN: usize = Ipv6::LEN;

    /// The header.
    #[inline]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        let class = u32::from(self.traffic_class) << 20;
        let first = 6 << 28 | class | self.flow_label & 0x000f_ffff;
        header[..4].copy_from_slice(&first.to_be_bytes());
        header[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        header[NEXT_HEADER_AT] = self.next.0;
        header[7] = self.hop_limit;
        header[8..24].copy_from_slice(&self.source.octets());
        header[24..].copy_from_slice(&self.destination.octets());
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[rustfmt::skip]
    const FIRST_FRAGMENT: [u8; 68] = [
        0x6b, 0x81, 0x23, 0x45,    // version 6, class 0xb8, flow 0x12345
        0x00, 0x1a, 0x00, 0x40,    // 26 bytes, hop-by-hop next, 64 hops
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
        0x3c, 0x00, 1, 4, 0, 0, 0, 0, // destination options next; padding
        0x2c, 0x00, 1, 4, 0, 0, 0, 0, // fragment next; padding
        0x11, 0x00, 0, 1, 0, 0, 0, 9, // UDP next, offset 0, more, identification 9
        0xca, 0xfe,                   // the upper layer
        0x00, 0x00,                   // what Ethernet added
    ];

    #[test]
    fn a_header_is_read_as_written() {
        let (ip, payload) = Ipv6::parse(&FIRST_FRAGMENT).unwrap();
        assert_eq!((ip.traffic_class(), ip.flow_label()), (0xb8, 0x12345));
        assert_eq!((ip.payload_len(), ip.hop_limit()), (26, 64));
        assert_eq!(ip.next_header(), Protocol::HOP_BY_HOP);
        assert_eq!(ip.source(), "fd00::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(ip.destination(), "fd00::2".parse::<Ipv6Addr>().unwrap());
        assert_eq!(payload, &FIRST_FRAGMENT[40..66]);
    }

    #[test]
    fn extension_headers_are_walked_to_the_upper_layer() {
        let (ip, payload) = Ipv6::parse(&FIRST_FRAGMENT).unwrap();
        let first = Fragment {
            offset: 0,
            more: true,
            identification: 9,
            header_at: 56,
            named_at: 48,
        };
        let expected = UpperLayer {
            protocol: Protocol::UDP,
            bytes: &[0xca, 0xfe],
            fragment: Some(first),
        };
        assert_eq!(ip.upper_layer(payload), Ok(expected));
    }

    #[test]
    fn a_later_fragment_is_not_walked_into() {
        let mut bytes = FIRST_FRAGMENT;
        bytes[56] = 0x2b; // routing header next, it says, but its bytes are in another fragment
        bytes[58..60].copy_from_slice(&[0x00, 0x10]);
        let (ip, payload) = Ipv6::parse(&bytes).unwrap();
        let found = ip.upper_layer(payload).unwrap();
        assert_eq!(
            (found.protocol, found.bytes),
            (Protocol::ROUTING, &[0xca, 0xfe][..])
        );
        assert_eq!(found.fragment.map(|fragment| fragment.offset), Some(16));
    }

    #[test]
    fn a_packet_cut_short_anywhere_is_truncated() {
        for len in 0..66 {
            let parsed = Ipv6::parse(&FIRST_FRAGMENT[..len]);
            assert_eq!(parsed, Err(ParseError::Truncated), "{len} bytes");
        }
        let (ip, payload) = Ipv6::parse(&FIRST_FRAGMENT).unwrap();
        for len in 0..24 {
            let found = ip.upper_layer(&payload[..len]);
            assert_eq!(found, Err(ParseError::Truncated), "{len} bytes of payload");
        }
    }

    #[test]
    fn a_chain_without_end_and_a_jumbogram_are_refused() {
        let refused = |why| Err(ParseError::Unsupported(why));
        let mut bytes = Vec::from(&FIRST_FRAGMENT[..40]);
        bytes[6] = 60;
        for extensions in 1..=MAX_EXTENSIONS + 1 {
            bytes.extend([60, 0, 1, 4, 0, 0, 0, 0]);
            let len = bytes.len();
            bytes[5] = u8::try_from(len - 40).unwrap();
            bytes[len - 8] = 17;
            let (ip, payload) = Ipv6::parse(&bytes).unwrap();
            let found = ip.upper_layer(payload).map(|found| found.protocol);
            let expected = if extensions <= MAX_EXTENSIONS {
                Ok(Protocol::UDP)
            } else {
                refused(Unsupported::Extensions)
            };
            assert_eq!(found, expected, "{extensions} extension headers");
            bytes[len - 8] = 60;
        }
        let mut bytes = FIRST_FRAGMENT;
        bytes[5] = 0;
        assert_eq!(
            Ipv6::parse(&bytes).map(|(ip, _)| ip.next_header()),
            refused(Unsupported::Jumbogram)
        );
    }

    #[test]
    fn a_fragment_header_is_named_by_the_header_in_front_of_it() {
        let mut bytes = FIRST_FRAGMENT;
        bytes[6] = 0x2c;
        bytes[40..48].copy_from_slice(&[0x11, 0, 0, 0x18, 0, 0, 0, 7]);
        let (ip, payload) = Ipv6::parse(&bytes).unwrap();
        let expected = Fragment {
            offset: 24,
            more: false,
            identification: 7,
            header_at: 40,
            named_at: 6,
        };
        let found = ip.upper_layer(payload).unwrap();
        assert_eq!(found.fragment, Some(expected));
    }

    #[test]
    fn a_header_is_written_as_it_is_read() {
        let (ip, _) = Ipv6::parse(&FIRST_FRAGMENT).unwrap();
        let mut repr = Ipv6Repr {
            source: ip.source(),
            destination: ip.destination(),
            next: ip.next_header(),
            hop_limit: ip.hop_limit(),
            traffic_class: ip.traffic_class(),
            flow_label: ip.flow_label(),
            payload_len: ip.payload_len(),
        };
        assert_eq!(repr.emit(), FIRST_FRAGMENT[..40]);
        repr.flow_label |= 0xfff0_0000;
        assert_eq!(repr.emit(), FIRST_FRAGMENT[..40], "20 bits are sent");
    }

    #[test]
    fn another_version_is_malformed() {
        let mut bytes = FIRST_FRAGMENT;
        bytes[0] = 0x45;
        assert_eq!(Ipv6::parse(&bytes), Err(ParseError::Malformed));
    }
}
