//! ARP: which Ethernet address an IPv4 address has.
//!
//! Sources: RFC 826 (packet), RFC 5227 (probes and announcements), RFC 5494 (numbers).

use crate::{MacAddr, ParseError, Unsupported};
use core::net::Ipv4Addr;

/// What an ARP packet starts with, for IPv4 on Ethernet: hardware 1, protocol 0x0800, addresses
/// of 6 and 4 bytes.
const ETHERNET_IPV4: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation(pub u16);

impl Operation {
    /// Who has the target's IPv4 address?
    pub const REQUEST: Self = Self(1);
    /// The sender has the sender's IPv4 address.
    pub const REPLY: Self = Self(2);
}

/// An ARP packet for IPv4 on Ethernet, read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |        hardware: 1            |       protocol: 0x0800        |
/// | hw length: 6  | pr. length: 4 |           operation           |
/// |                          sender's MAC                         |
/// |         sender's MAC          |         sender's IPv4         |
/// |         sender's IPv4         |         target's MAC          |
/// |                          target's MAC                         |
/// |                         target's IPv4                         |
/// ```
///
/// Length in bytes: 28.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp<'a> {
    packet: &'a [u8; Arp::LEN],
}

impl<'a> Arp<'a> {
    /// Length of the packet, in bytes.
    pub const LEN: usize = 28;

    /// Reads the packet in front of `bytes`; what is behind it Ethernet has added.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if it is cut short;
    /// [`Unsupported`](ParseError::Unsupported) if it is not for IPv4 on Ethernet.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let kind: &[u8; 6] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        if *kind != ETHERNET_IPV4 {
            return Err(ParseError::Unsupported(Unsupported::ArpKind));
        }
        let packet = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        Ok(Self { packet })
    }

    /// What it wants.
    #[inline]
    pub fn operation(&self) -> Operation {
        Operation(u16::from_be_bytes([self.packet[6], self.packet[7]]))
    }

    /// The sender's address on Ethernet. The frame around it may say another.
    #[inline]
    pub fn sender_mac(&self) -> MacAddr {
        mac_at(self.packet, 8)
    }

    /// The sender's IPv4 address; unspecified in a probe.
    #[inline]
    pub fn sender_ip(&self) -> Ipv4Addr {
        ip_at(self.packet, 14)
    }

    /// The target's address on Ethernet; in a request it means nothing.
    #[inline]
    pub fn target_mac(&self) -> MacAddr {
        mac_at(self.packet, 18)
    }

    /// The IPv4 address that is asked for, or whose owner is answered.
    #[inline]
    pub fn target_ip(&self) -> Ipv4Addr {
        ip_at(self.packet, 24)
    }

    /// Whether the sender asks if an address that it would like is taken (RFC 5227 §1.1). Only
    /// the address's owner may answer, and never the sender itself.
    #[inline]
    pub fn is_probe(&self) -> bool {
        self.operation() == Operation::REQUEST && self.sender_ip().is_unspecified()
    }

    /// Whether the sender tells everyone its own address, as a request (RFC 5227 §1.1) or as the
    /// reply that some send instead (§3).
    #[inline]
    pub fn is_announcement(&self) -> bool {
        self.sender_ip() == self.target_ip() && !self.sender_ip().is_unspecified()
    }
}

/// The Ethernet address that starts at byte `at`, 8 or 18.
#[inline]
fn mac_at(packet: &[u8; Arp::LEN], at: usize) -> MacAddr {
    let mut mac = [0; 6];
    mac.copy_from_slice(&packet[at..at + 6]);
    mac
}

/// The IPv4 address that starts at byte `at`, 14 or 24.
#[inline]
fn ip_at(packet: &[u8; Arp::LEN], at: usize) -> Ipv4Addr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&packet[at..at + 4]);
    Ipv4Addr::from(octets)
}

/// An ARP packet to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpRepr {
    /// What it wants.
    pub operation: Operation,
    /// The sender's address on Ethernet.
    pub sender_mac: MacAddr,
    /// The sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// The target's address on Ethernet; zero in a request (RFC 5227 §1.1).
    pub target_mac: MacAddr,
    /// The IPv4 address that is asked for, or whose owner is answered.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// Length of the packet, in bytes.
    pub const LEN: usize = Arp::LEN;

    /// The packet.
    #[inline]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut packet = [0; Self::LEN];
        packet[..6].copy_from_slice(&ETHERNET_IPV4);
        packet[6..8].copy_from_slice(&self.operation.0.to_be_bytes());
        packet[8..14].copy_from_slice(&self.sender_mac);
        packet[14..18].copy_from_slice(&self.sender_ip.octets());
        packet[18..24].copy_from_slice(&self.target_mac);
        packet[24..].copy_from_slice(&self.target_ip.octets());
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const REPLY: [u8; 30] = [
        0x00, 0x01, 0x08, 0x00, // Ethernet, IPv4
        6, 4, 0x00, 0x02,       // their lengths, a reply
        2, 0, 0, 0, 0, 1,       // sender's MAC
        10, 1, 0, 1,            // sender's IPv4
        2, 0, 0, 0, 0, 2,       // target's MAC
        10, 1, 0, 2,            // target's IPv4
        0xff, 0xff,             // what Ethernet added
    ];

    fn packet(operation: Operation, sender: [u8; 4], target: [u8; 4]) -> [u8; 28] {
        let repr = ArpRepr {
            operation,
            sender_mac: [2, 0, 0, 0, 0, 1],
            sender_ip: Ipv4Addr::from(sender),
            target_mac: [0; 6],
            target_ip: Ipv4Addr::from(target),
        };
        repr.emit()
    }

    #[test]
    fn a_reply_is_read_as_written_and_written_as_read() {
        let arp = Arp::parse(&REPLY).unwrap();
        let repr = ArpRepr {
            operation: arp.operation(),
            sender_mac: arp.sender_mac(),
            sender_ip: arp.sender_ip(),
            target_mac: arp.target_mac(),
            target_ip: arp.target_ip(),
        };
        let expected = ArpRepr {
            operation: Operation::REPLY,
            sender_mac: [2, 0, 0, 0, 0, 1],
            sender_ip: Ipv4Addr::new(10, 1, 0, 1),
            target_mac: [2, 0, 0, 0, 0, 2],
            target_ip: Ipv4Addr::new(10, 1, 0, 2),
        };
        assert_eq!(repr, expected);
        assert_eq!(repr.emit(), REPLY[..28]);
    }

    #[test]
    fn a_probe_an_announcement_and_a_question_are_told_apart() {
        let told = |packet: &[u8]| {
            let arp = Arp::parse(packet).unwrap();
            (arp.is_probe(), arp.is_announcement())
        };
        let (nobody, one, other) = ([0; 4], [10, 1, 0, 1], [10, 1, 0, 2]);
        let (asks, says) = (Operation::REQUEST, Operation::REPLY);
        assert_eq!(told(&packet(asks, one, other)), (false, false));
        assert_eq!(told(&packet(says, one, other)), (false, false));
        assert_eq!(told(&packet(asks, nobody, one)), (true, false));
        assert_eq!(told(&packet(says, nobody, one)), (false, false));
        assert_eq!(told(&packet(asks, one, one)), (false, true));
        assert_eq!(told(&packet(says, one, one)), (false, true));
        assert_eq!(told(&packet(asks, nobody, nobody)), (true, false));
    }

    #[test]
    fn other_hardware_and_protocols_are_unsupported() {
        for at in 0..6 {
            let mut bytes = REPLY;
            bytes[at] ^= 1;
            assert_eq!(
                Arp::parse(&bytes),
                Err(ParseError::Unsupported(Unsupported::ArpKind)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_packet_cut_short_anywhere_is_truncated() {
        for len in 0..28 {
            assert_eq!(
                Arp::parse(&REPLY[..len]),
                Err(ParseError::Truncated),
                "{len} bytes"
            );
        }
    }
}
