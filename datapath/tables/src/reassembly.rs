//! Packets that came in pieces, until they are whole.
//!
//! [`Reassembly::add`] with every fragment, [`Reassembly::expire`] once a turn. What a tunnel sends
//! in fragments is put together here before anyone looks behind its outer header.
//!
//! Each fragment handed to `add` has one fate, so that whoever counts packets can count it once:
//!
//! - it ends at once, and its caller counts it: [`Malformed`](Held::Malformed),
//!   [`Duplicate`](Held::Duplicate), [`Refused`](Held::Refused), and the one fragment that is
//!   answered with [`Overlap`](Held::Overlap), [`TooBig`](Held::TooBig) or
//!   [`EcnMixed`](Held::EcnMixed);
//! - or it is held: [`Waiting`](Held::Waiting), and the one that is answered with
//!   [`Whole`](Held::Whole). What is held comes out once, in the `fragments` of that `Whole` (itself
//!   included), of the `Overlap`, `TooBig` or `EcnMixed` that ended its packet (those held before,
//!   *not* the one just added), or of an [`Evicted`].
//!
//! Sources: RFC 791 §3.2 and RFC 8200 §4.5 (fragments), RFC 5722 (an overlap ends the packet; we
//! hold IPv4 to it too), RFC 3168 §5.3 (ECN), RFC 4963 (why not to wait for long), RFC 6946
//! (a packet in one fragment).

mod slot;
mod units;

use crate::Instant;
use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;
use core::time::Duration;
use slot::{Mark, Slot};
use units::Units;

/// A fragment, as its headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What is in the packet. Fragments that disagree are of different packets, in IPv6 as well:
    /// RFC 8200 would let them disagree, and nobody does.
    pub protocol: u8,
    /// Which of the sender's packets it is of: 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
    /// Where in the packet's payload it begins, in bytes: a multiple of 8.
    pub offset: usize,
    /// Whether another comes after it.
    pub more: bool,
    /// Its type of service or traffic class, ECN in the low two bits.
    pub tos: u8,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// What became of a fragment, and of its packet. The module says who counts which fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'a> {
    /// It is held until the others come.
    Waiting,
    /// It is held already, the same bytes in the same place. The packet goes on.
    Duplicate,
    /// It was the last one missing. Nothing of the packet is held any more.
    Whole {
        /// The packet's payload, until the next call.
        payload: &'a [u8],
        /// Fragments it came in, this one included.
        fragments: u32,
        /// Type of service of the first fragment, with CE if any fragment had it.
        tos: u8,
    },
    /// It covers bytes that another has brought, or says of the packet's end what another denies.
    /// The packet is refused.
    Overlap {
        /// Fragments that were held and are not any more; this one is not among them.
        fragments: u32,
    },
    /// It ends beyond the room that there is for a packet. The packet is refused.
    TooBig {
        /// Fragments that were held and are not any more; this one is not among them.
        fragments: u32,
    },
    /// Of its packet, one fragment is marked CE and one is not of an ECN-capable transport
    /// (RFC 3168 §5.3). The packet is refused.
    EcnMixed {
        /// Fragments that were held and are not any more; this one is not among them.
        fragments: u32,
    },
    /// It begins at no multiple of 8, or is not the last one and has no multiple of 8 bytes, or has
    /// none at all. The packet, if there is one, goes on without it.
    Malformed,
    /// Its packet was refused before.
    Refused,
}

/// A packet that was given up. A packet that was refused is not told of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Fragments that were held of it.
    pub fragments: u32,
    /// Who had sent it.
    pub source: IpAddr,
    /// Why it was given up.
    pub why: Why,
}

/// Why a packet was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was the oldest when there was no place for another; or its sender's oldest, when that
    /// had as many as one sender may.
    Full,
    /// A fragment did not come in time.
    Late,
}

/// What a payload may be at most, in bytes: an IP packet is no longer.
const LONGEST: usize = 65_535;

/// Packets that came in pieces, until they are whole.
///
/// - Shape: a fixed number of slots, each with room for one packet's payload and two bits for every
///   8 bytes of it: whether they are there, and whether a fragment began there. A slot is found by
///   a scan over 16 bytes for each.
/// - Bound: the slots and their room. Without a free slot, the oldest packet makes way for the
///   newest: of fragments, unlike of stations, the old ones are the lost ones. One source has at
///   most a quarter of the slots; then its own oldest makes way, so no peer takes another's.
/// - Time: the caller's `now`. A packet, whole or refused, has `limit` from its first fragment on.
/// - Owner: one worker. Nothing is shared, locked or atomic.
#[derive(Debug)]
pub struct Reassembly {
    slots: Box<[Slot]>,
    /// Of each slot, what a scan over all of them looks at.
    marks: Box<[Mark]>,
    units: Units,
    /// The slots' payloads, and one more for a packet that is whole at once.
    bytes: Box<[u8]>,
    room: usize,
    limit: Duration,
    /// Before this, no packet is late.
    due: Instant,
}

impl Reassembly {
    /// Room for `slots` packets (at least one) of `room` bytes of payload each, which are waited
    /// for for `limit`.
    ///
    /// A sender at 10 Gbit/s uses the 16 bits of its identifications up in 80 ms; what waits longer
    /// may be completed with another packet's fragment. The checksum behind it has to tell.
    pub fn new(slots: usize, room: usize, limit: Duration) -> Self {
        let (slots, room) = (slots.max(1), room.min(LONGEST));
        Self {
            slots: vec![Slot::EMPTY; slots].into_boxed_slice(),
            marks: vec![Mark::FREE; slots].into_boxed_slice(),
            units: Units::new(slots, room),
            bytes: vec![0; (slots + 1) * room].into_boxed_slice(),
            room,
            limit,
            due: Instant::START,
        }
    }

    /// Bytes of memory that this takes for `slots` packets of `room` bytes.
    pub fn bytes_for(slots: usize, room: usize) -> usize {
        let (slots, room) = (slots.max(1), room.min(LONGEST));
        let each = size_of::<Slot>() + size_of::<Mark>() + Units::bytes_for(room) + room;
        size_of::<Self>() + slots * each + room
    }

    /// Bytes of memory that this takes.
    pub fn bytes(&self) -> usize {
        let bits = self.slots.len() * Units::bytes_for(self.room);
        let slots = size_of_val(&*self.slots) + size_of_val(&*self.marks);
        size_of::<Self>() + slots + bits + self.bytes.len()
    }

    /// Fragments that are held now.
    pub fn held(&self) -> u32 {
        let used = self.slots.iter().zip(&self.marks);
        used.filter(|(_, mark)| !mark.is_free())
            .map(|(slot, _)| slot.fragments)
            .sum()
    }

    /// Takes a fragment; says what became of it. `evicted` is told of packets that are given up
    /// for it, or found to be late.
    pub fn add(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
        evicted: &mut impl FnMut(Evicted),
    ) -> Held<'_> {
        if fragment.is_malformed() {
            return Held::Malformed;
        }
        if fragment.offset == 0 && !fragment.more {
            return self.alone(fragment);
        }
        let slot = match self.find(fragment) {
            Some(slot) if !self.is_late(slot, now) => slot,
            Some(slot) => {
                self.give_up(slot, Why::Late, evicted);
                self.open(now, fragment, evicted)
            }
            None => self.open(now, fragment, evicted),
        };
        if self.slots[slot].refused {
            return Held::Refused;
        }
        let fit = self.fit(slot, fragment);
        if fit == Fit::Duplicate {
            return Held::Duplicate;
        }
        if fit == Fit::Fits {
            return self.hold(slot, fragment);
        }
        let fragments = self.slots[slot].refuse();
        match fit {
            Fit::TooBig => Held::TooBig { fragments },
            Fit::EcnMixed => Held::EcnMixed { fragments },
            _ => Held::Overlap { fragments },
        }
    }

    /// Gives up the packets that are late, and tells `gone` of each. Reads one word if none is.
    pub fn expire(&mut self, now: Instant, gone: &mut impl FnMut(Evicted)) {
        if now < self.due {
            return;
        }
        let mut due = Instant::from_nanos(u64::MAX);
        for slot in 0..self.slots.len() {
            if self.marks[slot].is_free() {
                continue;
            }
            if self.is_late(slot, now) {
                self.give_up(slot, Why::Late, gone);
            } else {
                due = due.min(self.marks[slot].started + self.limit);
            }
        }
        self.due = due;
    }

    /// A packet in one fragment has nothing to do with any other (RFC 6946 §4).
    fn alone(&mut self, fragment: &Fragment<'_>) -> Held<'_> {
        let (len, start) = (fragment.payload.len(), self.slots.len() * self.room);
        if len > self.room {
            return Held::TooBig { fragments: 0 };
        }
        let payload = &mut self.bytes[start..start + len];
        payload.copy_from_slice(fragment.payload);
        Held::Whole {
            payload,
            fragments: 1,
            tos: fragment.tos,
        }
    }

    /// The slot of a fragment's packet.
    fn find(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let key = fragment.key();
        let same = |(slot, mark): (usize, &Mark)| {
            (mark.key == key && self.slots[slot].is_of(fragment)).then_some(slot)
        };
        self.marks.iter().enumerate().find_map(same)
    }

    fn is_late(&self, slot: usize, now: Instant) -> bool {
        now >= self.marks[slot].started + self.limit
    }

    /// A slot for the packet of a fragment that is the first to come, if need be another's.
    fn open(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
        evicted: &mut impl FnMut(Evicted),
    ) -> usize {
        let mark = Mark::of(fragment, now);
        let (mut free, mut oldest, mut own_oldest, mut own) = (None, None, None, 0);
        for (slot, other) in self.marks.iter().enumerate() {
            if other.is_free() {
                free = Some(slot);
                continue;
            }
            let age = Some((other.started, slot));
            if oldest.is_none() || age < oldest {
                oldest = age;
            }
            if other.source == mark.source && self.slots[slot].source() == fragment.source {
                own += 1;
                if own_oldest.is_none() || age < own_oldest {
                    own_oldest = age;
                }
            }
        }
        let most = (self.slots.len() / 4).max(1);
        // Its own oldest, if it has enough; a free one; anybody's oldest. There is one of the three.
        let own_oldest = own_oldest.filter(|_| own >= most).map(|(_, slot)| slot);
        let oldest = oldest.map(|(_, slot)| slot);
        let slot = own_oldest.or(free).or(oldest).unwrap_or(0);
        if !self.marks[slot].is_free() {
            let late = self.is_late(slot, now);
            self.give_up(slot, if late { Why::Late } else { Why::Full }, evicted);
        }
        self.marks[slot] = mark;
        self.slots[slot] = Slot::of(fragment);
        self.units.clear(slot);
        self.due = self.due.min(now + self.limit);
        slot
    }

    /// How a fragment fits to what is held of its packet.
    fn fit(&self, slot: usize, fragment: &Fragment<'_>) -> Fit {
        let (start, end) = (fragment.offset, fragment.end());
        if end > self.room {
            return Fit::TooBig;
        }
        if !self.slots[slot].agrees(fragment) {
            return Fit::Overlap;
        }
        if self.units.any(slot, start, end) {
            let base = slot * self.room;
            let same = self.bytes[base + start..base + end] == *fragment.payload;
            return if same && self.units.is_one(slot, start, end) {
                Fit::Duplicate
            } else {
                Fit::Overlap
            };
        }
        if self.slots[slot].mixes_ecn(fragment) {
            return Fit::EcnMixed;
        }
        Fit::Fits
    }

    /// Copies a fragment that fits to its place.
    fn hold(&mut self, slot: usize, fragment: &Fragment<'_>) -> Held<'_> {
        let base = slot * self.room;
        let (start, end) = (fragment.offset, fragment.end());
        self.bytes[base + start..base + end].copy_from_slice(fragment.payload);
        self.units.set(slot, start, end);
        let packet = &mut self.slots[slot];
        packet.hold(fragment);
        let Some((len, tos)) = packet.whole() else {
            return Held::Waiting;
        };
        self.marks[slot] = Mark::FREE;
        Held::Whole {
            payload: &self.bytes[base..base + len],
            fragments: self.slots[slot].fragments,
            tos,
        }
    }

    /// Makes a slot free. Of a refused packet nothing is held, and nothing is told.
    fn give_up(&mut self, slot: usize, why: Why, gone: &mut impl FnMut(Evicted)) {
        let packet = &self.slots[slot];
        self.marks[slot] = Mark::FREE;
        if packet.fragments > 0 {
            gone(Evicted {
                fragments: packet.fragments,
                source: packet.source(),
                why,
            });
        }
    }
}

/// How a fragment fits to what is held of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Fits,
    Duplicate,
    Overlap,
    TooBig,
    EcnMixed,
}

#[cfg(test)]
mod tests;
