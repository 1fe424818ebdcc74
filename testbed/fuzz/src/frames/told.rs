//! How an input says which frames come in.

use crate::seeds::{keyed, outer};
use wire::checksum;

/// The number of the port that peers' frames come in by.
pub const UNDERLAY: u8 = 0;

/// Keys a peer may use: those of the networks, and one that no network has.
pub(super) const KEYS: [u32; 4] = [5001, 0, u32::MAX, 77];

/// Peers: one that is near, one behind a small MTU, one without a way, and a stranger.
pub(super) const PEERS: [[u8; 4]; 4] = [
    [192, 0, 2, 2],
    [192, 0, 2, 3],
    [192, 0, 2, 4],
    [192, 0, 2, 9],
];

/// Our end of every tunnel.
pub(super) const ENDPOINT: [u8; 4] = [192, 0, 2, 1];

/// One frame that comes in.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |     wait      |     port      |     shape     |    length     |
/// |    length     |   as many bytes, or as are left               |
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Seconds before it comes; if not 0, those before it are decided first.
    pub wait: u8,
    /// The number of its port: 0 is the underlay.
    pub port: u8,
    /// What is done to its bytes.
    pub shape: Shape,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What is done to a frame's bytes before it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing.
    AsIs,
    /// The checksum of its IPv4 header, if it may be one, is made right.
    Mended,
    /// It is put into GRE, as a peer would.
    Enveloped {
        /// Which peer, 0 to 3.
        peer: u8,
        /// Which key, 0 to 3.
        key: u8,
    },
}

impl Shape {
    fn from_byte(byte: u8) -> Self {
        match byte & 3 {
            0 => Self::AsIs,
            1 => Self::Mended,
            _ => Self::Enveloped {
                peer: byte >> 2 & 3,
                key: byte >> 4 & 3,
            },
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::AsIs => 0,
            Self::Mended => 1,
            Self::Enveloped { peer, key } => 2 | (peer & 3) << 2 | (key & 3) << 4,
        }
    }
}

impl Told {
    /// Takes the next one off the front of `input`.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        let ([wait, port, shape, high, low], rest) = input.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        *input = rest;
        Some(Self {
            wait: *wait,
            port: *port,
            shape: Shape::from_byte(*shape),
            bytes: bytes.to_vec(),
        })
    }

    /// An input that says `all`, of frames of up to 65,535 bytes.
    pub fn encode(all: &[Self]) -> Vec<u8> {
        let mut input = Vec::new();
        for told in all {
            let len = u16::try_from(told.bytes.len()).unwrap_or(u16::MAX);
            input.extend([told.wait, told.port, told.shape.to_byte()]);
            input.extend(len.to_be_bytes());
            input.extend(&told.bytes[..len.into()]);
        }
        input
    }

    /// The frame as it comes in.
    pub(super) fn frame(&self) -> Vec<u8> {
        match self.shape {
            Shape::AsIs => self.bytes.clone(),
            Shape::Mended => {
                let mut bytes = self.bytes.clone();
                let header_len = bytes.get(14).map_or(0, |first| usize::from(first & 15) * 4);
                if let Some(header) = bytes.get_mut(14..14 + header_len.max(20)) {
                    header[10..12].fill(0);
                    let sum = checksum::of(&header[..header_len]);
                    header[10..12].copy_from_slice(&sum.to_be_bytes());
                }
                bytes
            }
            Shape::Enveloped { peer, key } => {
                let gre = keyed(KEYS[usize::from(key & 3)], &self.bytes);
                outer(PEERS[usize::from(peer & 3)], ENDPOINT, &gre)
            }
        }
    }
}
