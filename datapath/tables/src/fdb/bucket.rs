//! One cache line of stations.

use super::station::Station;
use crate::heard::{Heard, Ticks};

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
