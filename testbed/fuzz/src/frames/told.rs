//! How an input says which frames come in.

use crate::made;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::{GreRepr, Protocol, gre};

/// The number of the port that peers' frames come in by.
pub const UNDERLAY: u8 = 0;

/// Keys a peer may use: those of the networks, none, and one that no network has.
pub(super) const KEYS: [Option<u32>; 8] = [
    Some(5001),
    Some(0),
    None,
    Some(9),
    Some(u32::MAX),
    Some(77),
    Some(5001),
    None,
];

/// Peers: one that is near, one behind a small MTU, one without a way, a stranger; the same over
/// IPv6, but that the third is near as well.
pub(super) const PEERS: [IpAddr; 8] = [v4(2), v4(3), v4(4), v4(9), v6(2), v6(3), v6(5), v6(9)];

const fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

/// One frame that comes in.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |     wait      |     port      |     shape     |peer |key  |var|
/// |            length             |   as many bytes, or as are left
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Quarters of a second before it comes; if not 0, those before it are decided first.
    pub wait: u8,
    /// The number of its port: 0 is the underlay.
    pub port: u8,
    /// What is done to its bytes.
    pub shape: Shape,
    /// Of a peer's: which peer, which key, and which variant of its shape.
    pub detail: Detail,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What is done to a frame's bytes before it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing.
    AsIs,
    /// The checksums of its IP header, and of what is behind that, are made right.
    Mended,
    /// It is put into GRE, as a peer would; the variant is the outer ECN.
    Wrapped,
    /// The same, with a checksum, and a number: its own last byte, and 65,536 more if the byte in
    /// front of that is odd.
    Numbered,
    /// It is put into GRE in UDP; the variant is the outer ECN.
    InUdp,
    /// A part of it, wrapped, comes: by the variant the first, the last, a last one that overlaps
    /// the first, or a first one that cannot be one. The packet is known by its length.
    Piece,
    /// Its first two bytes are what a router says fits of our packets to that peer, of as many
    /// bytes as its next two say.
    TooBig,
}

impl Shape {
    const ALL: [Self; 7] = [
        Self::AsIs,
        Self::Mended,
        Self::Wrapped,
        Self::Numbered,
        Self::InUdp,
        Self::Piece,
        Self::TooBig,
    ];
}

/// Which peer, which key, and which variant, in 3, 3 and 2 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail(pub u8);

impl Detail {
    /// That peer, key and variant.
    pub fn of(peer: u8, key: u8, variant: u8) -> Self {
        Self((peer & 7) << 5 | (key & 7) << 2 | variant & 3)
    }

    pub(super) fn peer(self) -> IpAddr {
        PEERS[usize::from(self.0 >> 5)]
    }

    pub(super) fn key(self) -> Option<u32> {
        KEYS[usize::from(self.0 >> 2 & 7)]
    }

    fn variant(self) -> u8 {
        self.0 & 3
    }
}

impl Told {
    /// Takes the next one off the front of `input`.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        let ([wait, port, shape, detail, high, low], rest) = input.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        *input = rest;
        Some(Self {
            wait: *wait,
            port: *port,
            shape: Shape::ALL[usize::from(*shape) % Shape::ALL.len()],
            detail: Detail(*detail),
            bytes: bytes.to_vec(),
        })
    }

    /// An input in which `all`, frames of up to 65,535 bytes, come in, in scene `scene`.
    pub fn encode(scene: u8, all: &[Self]) -> Vec<u8> {
        let mut input = vec![scene];
        for told in all {
            let len = u16::try_from(told.bytes.len()).unwrap_or(u16::MAX);
            let shape = Shape::ALL.iter().zip(0u8..);
            let shape = shape.filter(|(shape, _)| **shape == told.shape);
            input.extend([told.wait, told.port]);
            input.extend(shape.map(|(_, number)| number));
            input.push(told.detail.0);
            input.extend(len.to_be_bytes());
            input.extend(&told.bytes[..len.into()]);
        }
        input
    }

    /// The frame as it comes in; none if only the world knows how.
    pub(super) fn frame(&self) -> Option<Vec<u8>> {
        let (peer, ecn) = (self.detail.peer(), self.detail.variant());
        let header = GreRepr {
            key: self.detail.key(),
            ..GreRepr::default()
        };
        Some(match self.shape {
            Shape::AsIs => self.bytes.clone(),
            Shape::Mended => made::mended(self.bytes.clone()),
            Shape::Wrapped => {
                made::outer(peer, Protocol::GRE, ecn, &made::gre(header, &self.bytes))
            }
            Shape::Numbered => {
                let header = GreRepr {
                    checksum: true,
                    sequence: Some(self.number()),
                    ..header
                };
                made::outer(peer, Protocol::GRE, ecn, &made::gre(header, &self.bytes))
            }
            Shape::InUdp => {
                let packet = made::gre(header, &self.bytes);
                let packet = made::udp([0xc001, gre::UDP_PORT], &packet);
                made::mended(made::outer(peer, Protocol::UDP, ecn, &packet))
            }
            Shape::Piece => self.piece(&made::gre(header, &self.bytes)),
            Shape::TooBig => return None,
        })
    }

    /// What `about`, the router's message, says: what fits, and how long the packet was.
    pub(super) fn too_big(&self) -> (u16, u16) {
        let number = |at: usize| match self.bytes.get(at..at + 2) {
            Some(bytes) => u16::from_be_bytes([bytes[0], bytes[1]]),
            None => 1500,
        };
        (number(0), number(2))
    }

    fn number(&self) -> u32 {
        match *self.bytes {
            [.., high, low] => u32::from(high & 1) << 16 | u32::from(low),
            _ => 0,
        }
    }

    fn piece(&self, packet: &[u8]) -> Vec<u8> {
        let half = packet.len() / 16 * 8;
        let (first, last) = packet.split_at(half);
        let identification = u16::try_from(packet.len()).unwrap_or(0);
        let (offset, more, part) = match self.detail.variant() {
            0 => (0, true, first),
            1 => (half, false, last),
            2 => (half.saturating_sub(8), false, last),
            _ => (0, true, &packet[..packet.len().min(half + 3)]),
        };
        made::piece(self.detail.peer(), identification, offset, more, part)
    }
}
