//! UDP, where we send it: the envelope around GRE that networks know how to spread.
//!
//! Sources: RFC 768 (header), RFC 8200 §8.1 (its checksum on IPv6), RFC 8086 (GRE inside).

use crate::checksum;

pub use crate::l4::Udp;

/// A UDP header to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRepr {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Length of header and payload, in bytes.
    pub len: u16,
    /// What [`UdpRepr::checksum`] says, or 0 for none: allowed on IPv4, and on IPv6 only to
    /// tunnels that agreed (RFC 6935 §5).
    pub checksum: u16,
}

impl UdpRepr {
    /// Length of the header, in bytes.
    pub const LEN: usize = Udp::LEN;

    /// The header, as [`Udp`] draws it.
    #[inline]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        header[..2].copy_from_slice(&self.source_port.to_be_bytes());
        header[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        header[4..6].copy_from_slice(&self.len.to_be_bytes());
        header[6..].copy_from_slice(&self.checksum.to_be_bytes());
        header
    }

    /// The checksum of this header, whatever checksum it has now, and `payload`. `pseudo` is the
    /// sum of the pseudo-header. Never 0, which would mean none.
    #[inline]
    pub fn checksum(&self, pseudo: u16, payload: &[u8]) -> u16 {
        let header = Self {
            checksum: 0,
            ..*self
        };
        let sum = checksum::add(checksum::sum(&header.emit()), checksum::sum(payload));
        checksum::for_udp(!checksum::add(pseudo, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;
    use crate::l4::{Finding, finding};

    #[rustfmt::skip]
    const BYTES: [u8; 12] = [
        0xc0, 0x01, 0x12, 0x92, // port 49153 to port 4754
        0x00, 0x0c, 0x00, 0x00, // 12 bytes, no checksum
        0x20, 0x00, 0x65, 0x58, // GRE
    ];

    fn repr() -> UdpRepr {
        UdpRepr {
            source_port: 49_153,
            destination_port: 4_754,
            len: 12,
            checksum: 0,
        }
    }

    #[test]
    fn a_header_is_written_as_it_is_read() {
        assert_eq!(repr().emit(), BYTES[..8]);
        let (udp, payload) = Udp::parse(&BYTES).unwrap();
        let read = UdpRepr {
            source_port: udp.source_port(),
            destination_port: udp.destination_port(),
            len: udp.total_len(),
            checksum: udp.checksum(),
        };
        assert_eq!((read, payload), (repr(), &BYTES[8..]));
    }

    #[test]
    fn every_pseudo_header_gives_a_checksum_that_holds() {
        for pseudo in 0..=u16::MAX {
            let mut header = repr();
            header.checksum = 0x5555; // what stands there does not count
            header.checksum = header.checksum(pseudo, &BYTES[8..]);
            assert_ne!(header.checksum, 0);
            let mut bytes = BYTES;
            bytes[..8].copy_from_slice(&header.emit());
            assert_eq!(finding(Protocol::UDP, pseudo, &bytes), Ok(Finding::Holds));
        }
    }
}
