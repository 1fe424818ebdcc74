//! One cache line of stations.

use super::station::{LOCATION_BITS, Location, Station};
use crate::Instant;
use core::time::Duration;

/// Stations in a bucket: 18 bytes each, as many as a line has room for.
pub(super) const WAYS: usize = 3;

/// One cache line of stations.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    low: [u64; WAYS],
    heard: [Heard; WAYS],
    high: [u16; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    pub(super) const EMPTY: Self = Self {
        low: [0; WAYS],
        heard: [Heard::NEVER; WAYS],
        high: [0; WAYS],
    };

    /// The way that has `station`, alive or not. A way that was never used may seem to have the
    /// station whose bits are all zero; it is not alive.
    #[inline]
    pub(super) fn find(&self, station: Station) -> Option<usize> {
        // All ways are compared and one branch taken: which way it is cannot be predicted.
        let (low, high) = station.words();
        let mut hits = 0u32;
        for way in 0..WAYS {
            let differs = (self.low[way] ^ low) | u64::from(self.high[way] ^ high);
            hits |= u32::from(differs == 0) << way;
        }
        (hits != 0).then_some(hits.trailing_zeros() as usize)
    }

    /// A way that a newcomer may have.
    #[inline]
    pub(super) fn free(&self, now: Ticks) -> Option<usize> {
        (0..WAYS).find(|way| !self.heard[*way].is_alive(now))
    }

    #[inline]
    pub(super) fn station(&self, way: usize) -> Station {
        Station::from_words(self.low[way], self.high[way])
    }

    #[inline]
    pub(super) fn heard(&self, way: usize) -> Heard {
        self.heard[way]
    }

    #[inline]
    pub(super) fn get(&self, way: usize) -> (Station, Heard) {
        (self.station(way), self.heard(way))
    }

    #[inline]
    pub(super) fn put(&mut self, way: usize, station: Station, heard: Heard) {
        (self.low[way], self.high[way]) = station.words();
        self.heard[way] = heard;
    }

    pub(super) fn clear(&mut self, way: usize) {
        self.heard[way] = Heard::NEVER;
    }

    #[inline]
    pub(super) fn first_word(&self) -> u64 {
        self.low[0]
    }
}

/// A time, in units of 2^20 ns (about 1 ms): 39 bits of them are 18 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(u64);

impl Ticks {
    const SHIFT: u32 = 20;
    const MAX: u64 = (1 << (64 - LOCATION_BITS)) - 1;

    /// The tick in which `instant` is. Its last tick never ends.
    #[inline]
    pub(super) fn at(instant: Instant) -> Self {
        Self((instant.as_nanos() >> Self::SHIFT).min(Self::MAX - 1))
    }

    /// The first tick that is all after `instant`.
    #[inline]
    pub(super) fn after(instant: Instant) -> Self {
        Self(Self::at(instant).0 + 1)
    }
}

/// Where a station was heard, and until when that counts.
///
/// ```text
/// | until, 39 bits of ticks, 0 if never heard | location, 25 bits |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard(u64);

impl Heard {
    pub(super) const NEVER: Self = Self(0);

    #[inline]
    pub(super) fn new(until: Ticks, location: Location) -> Self {
        Self(until.0 << LOCATION_BITS | location.pack())
    }

    #[inline]
    pub(super) fn location(self) -> Location {
        Location::unpack(self.0)
    }

    #[inline]
    pub(super) fn is_used(self) -> bool {
        self != Self::NEVER
    }

    #[inline]
    pub(super) fn is_alive(self, now: Ticks) -> bool {
        now < self.until()
    }

    /// Whether it is worth a write to make it last until `until`: if that is sooner, or later by
    /// more than a 64th of the time from `now` until then.
    #[inline]
    pub(super) fn is_outdated(self, until: Ticks, now: Ticks) -> bool {
        let idle = until.0.saturating_sub(now.0);
        until < self.until() || until.0 - self.until().0 > idle / 64
    }

    pub(super) fn remaining(self, now: Ticks) -> Duration {
        Duration::from_nanos(self.until().0.saturating_sub(now.0) << Ticks::SHIFT)
    }

    #[inline]
    fn until(self) -> Ticks {
        Ticks(self.0 >> LOCATION_BITS)
    }
}
