//! The axes of the matrix.

use core::fmt;
use judge::Keyed;
use std::net::{IpAddr, Ipv4Addr};
use wire::checksum;
use wire::l4::Protocol;

/// One kind of tunnel packet.
#[allow(clippy::struct_excessive_bools)] // each is an axis
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) key: Key,
    pub(crate) checksum: bool,
    pub(crate) sequence: bool,
    pub(crate) v6: bool,
    /// GRE in UDP (RFC 8086).
    pub(crate) udp: bool,
    pub(crate) variant: Variant,
}

/// The key of a tunnel, which is the number of its network; or none, in a network of any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    No,
    Is(u32),
}

/// Everything else that an outer header says, and what the inner packet says for it to follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// As the program has it: `set`, `clear`, `copy`.
    pub(crate) df: &'static str,
    /// Of the inner packet.
    pub(crate) inner_df: bool,
    /// The program's DSCP; none is `uniform`.
    pub(crate) dscp: Option<u8>,
    /// Of the inner packet.
    pub(crate) inner_dscp: u8,
    pub(crate) ttl: u8,
    /// Of the inner packet, and so of the outer (RFC 6040 §4.1).
    pub(crate) ecn: u8,
}

const PLAIN: Variant = Variant {
    name: "plain",
    df: "set",
    inner_df: true,
    dscp: Some(0),
    inner_dscp: 10,
    ttl: 64,
    ecn: 0,
};

#[rustfmt::skip]
const VARIANTS: [Variant; 12] = [
    PLAIN,
    Variant { name: "DF clear", df: "clear", ..PLAIN },
    Variant { name: "DF copied, set", df: "copy", ..PLAIN },
    Variant { name: "DF copied, clear", df: "copy", inner_df: false, ..PLAIN },
    Variant { name: "DSCP 46", dscp: Some(46), ..PLAIN },
    Variant { name: "DSCP uniform", dscp: None, ..PLAIN },
    Variant { name: "TTL 1", ttl: 1, ..PLAIN },
    Variant { name: "TTL 255", ttl: 255, ..PLAIN },
    Variant { name: "ECT(1)", ecn: 1, ..PLAIN },
    Variant { name: "ECT(0)", ecn: 2, ..PLAIN },
    Variant { name: "CE", ecn: 3, ..PLAIN },
    Variant { name: "all of it", df: "clear", inner_df: false, dscp: None, inner_dscp: 34, ttl: 255, ecn: 2 },
];

impl Variant {
    /// Whether the outer IPv4 header has DF.
    pub(crate) fn sets_df(&self) -> bool {
        match self.df {
            "copy" => self.inner_df,
            df => df == "set",
        }
    }

    /// The outer TOS or traffic class.
    pub(crate) fn tos(&self) -> u8 {
        self.dscp.unwrap_or(self.inner_dscp) << 2 | self.ecn
    }
}

impl Key {
    pub(crate) const ALL: [Self; 5] = [
        Self::No,
        Self::Is(0),
        Self::Is(1),
        Self::Is(1 << 31),
        Self::Is(u32::MAX),
    ];

    /// The number of its network.
    pub(crate) fn vnet(self) -> u32 {
        self.value().unwrap_or(77)
    }

    pub(crate) fn value(self) -> Option<u32> {
        match self {
            Self::No => None,
            Self::Is(key) => Some(key),
        }
    }

    pub(crate) fn keyed(self) -> Keyed {
        self.value().map_or(Keyed::No, Keyed::By)
    }

    /// The port of the guest in its network.
    pub(crate) fn port(self) -> String {
        format!("g{}", self.vnet())
    }
}

impl Cell {
    /// Our end, and the peer's.
    pub(crate) fn ends(&self) -> (IpAddr, IpAddr) {
        let ends = if self.v6 {
            ["fd00::1", "fd00::2"]
        } else {
            ["10.0.0.1", "10.0.0.2"]
        };
        let [ours, theirs] = ends.map(|end| end.parse().unwrap());
        (ours, theirs)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            checksum,
            sequence,
            v6,
            udp,
            variant,
        } = self;
        let version = if *v6 { 6 } else { 4 };
        let over = if *udp { "UDP over " } else { "" };
        write!(
            f,
            "{over}IPv{version}, {}, key {:?}, checksum {checksum}, sequence {sequence}",
            variant.name,
            key.value()
        )
    }
}

/// Every cell.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    // The slowest axis is the one whose change Open vSwitch has to be told most about.
    for variant in VARIANTS {
        for key in Key::ALL {
            for bits in 0..16u8 {
                let is = |bit: u8| bits & 1 << bit != 0;
                let (v6, sequence, checksum, udp) = (is(3), is(2), is(1), is(0));
                cells.push(Cell {
                    key,
                    checksum,
                    sequence,
                    v6,
                    udp,
                    variant,
                });
            }
        }
    }
    cells
}

/// What the guest of a cell sends or is sent: a UDP datagram in IPv4 to a station nobody knows.
pub(crate) fn frame(variant: &Variant) -> Vec<u8> {
    let ends = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let datagram = sim::udp(ends, b"whatever was to be said");
    let macs = ([2, 0, 0, 0, 0xff, 0xff], [2, 0, 0, 0, 0, 0xa]);
    let mut frame = sim::ipv4(macs, ends, Protocol::UDP, &datagram);
    frame[15] = variant.inner_dscp << 2 | variant.ecn;
    frame[20] = if variant.inner_df { 0x40 } else { 0 };
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}
