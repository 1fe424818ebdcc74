//! What is known of one packet.

use super::Fragment;
use crate::Instant;
use core::net::{IpAddr, Ipv4Addr};

/// Codepoints of RFC 3168 §5, of the low two bits of a type of service.
const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;
const ECN: u8 = 0b11;

impl Fragment<'_> {
    /// Where in the packet's payload it ends.
    pub(super) fn end(&self) -> usize {
        self.offset.saturating_add(self.payload.len())
    }

    pub(super) fn is_malformed(&self) -> bool {
        let len = self.payload.len();
        let alone = self.offset == 0 && !self.more;
        !self.offset.is_multiple_of(8)
            || (self.more && !len.is_multiple_of(8))
            || (len == 0 && !alone)
    }

    /// A word of its packet's key, never 0. It need not be hard to guess: who makes many alike
    /// makes a scan compare more keys, of which there are as many as slots.
    pub(super) fn key(&self) -> u32 {
        // What differs most is in the low bits of both, so that one of the two is turned.
        (self.identification.wrapping_mul(0x9e37_79b1) ^ low(&self.source).rotate_left(16)) | 1
    }
}

/// The last four bytes of an address.
fn low(address: &IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            u32::from_be_bytes([a, b, c, d])
        }
    }
}

/// Of one slot, what a scan over all of them looks at before it looks at the slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// A word of the packet's key; 0 if the slot is free.
    pub(super) key: u32,
    /// A word of its source.
    pub(super) source: u32,
    /// When its first fragment came.
    pub(super) started: Instant,
}

impl Mark {
    pub(super) const FREE: Self = Self {
        key: 0,
        source: 0,
        started: Instant::START,
    };

    pub(super) fn of(fragment: &Fragment<'_>, now: Instant) -> Self {
        Self {
            key: fragment.key(),
            source: low(&fragment.source),
            started: now,
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.key == 0
    }
}

/// What is known of one packet, but its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: u8,
    /// Fragments that are held of it.
    pub(super) fragments: u32,
    /// Whether no fragment of it is taken any more.
    pub(super) refused: bool,
    /// Bytes that are there.
    bytes: usize,
    /// Where the payload ends, once its last fragment has come.
    end: Option<usize>,
    /// Where the furthest of the fragments ends that others come after.
    reach: usize,
    /// Type of service of the fragment at offset 0.
    tos: u8,
    /// Which ECN codepoints were seen: a bit for each.
    ecn: u8,
}

impl Slot {
    pub(super) const EMPTY: Self = Self {
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        identification: 0,
        protocol: 0,
        fragments: 0,
        refused: false,
        bytes: 0,
        end: None,
        reach: 0,
        tos: 0,
        ecn: 0,
    };

    /// The packet of `fragment`, of which nothing is held yet.
    pub(super) fn of(fragment: &Fragment<'_>) -> Self {
        Self {
            source: fragment.source,
            destination: fragment.destination,
            identification: fragment.identification,
            protocol: fragment.protocol,
            ..Self::EMPTY
        }
    }

    pub(super) fn is_of(&self, fragment: &Fragment<'_>) -> bool {
        self.identification == fragment.identification
            && self.source == fragment.source
            && self.destination == fragment.destination
            && self.protocol == fragment.protocol
    }

    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    /// Whether a fragment says of the packet's end what the others say.
    pub(super) fn agrees(&self, fragment: &Fragment<'_>) -> bool {
        let end = fragment.end();
        if fragment.more {
            self.end.is_none_or(|last| end < last)
        } else {
            self.end.is_none_or(|last| end == last) && end > self.reach
        }
    }

    /// Whether, with this fragment, one is CE and one is not ECN-capable.
    pub(super) fn mixes_ecn(&self, fragment: &Fragment<'_>) -> bool {
        let seen = self.ecn | codepoint(fragment.tos);
        seen & codepoint(CE) != 0 && seen & codepoint(NOT_ECT) != 0
    }

    /// Notes a fragment that fits.
    pub(super) fn hold(&mut self, fragment: &Fragment<'_>) {
        self.fragments += 1;
        self.bytes += fragment.payload.len();
        self.ecn |= codepoint(fragment.tos);
        if fragment.offset == 0 {
            self.tos = fragment.tos;
        }
        if fragment.more {
            self.reach = self.reach.max(fragment.end());
        } else {
            self.end = Some(fragment.end());
        }
    }

    /// Length in bytes and type of service of the packet, if it is whole. No byte is there twice,
    /// so as many as there should be are all.
    pub(super) fn whole(&self) -> Option<(usize, u8)> {
        let len = self.end.filter(|end| *end == self.bytes)?;
        let marked = self.ecn & codepoint(CE) != 0;
        Some((len, if marked { self.tos | CE } else { self.tos }))
    }

    /// Takes no fragment any more; says how many were held.
    pub(super) fn refuse(&mut self) -> u32 {
        self.refused = true;
        core::mem::take(&mut self.fragments)
    }
}

fn codepoint(tos: u8) -> u8 {
    1 << (tos & ECN)
}
