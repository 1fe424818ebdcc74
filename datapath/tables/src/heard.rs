//! Where something was heard, and until when that counts, in one word.

use crate::Instant;
use crate::fdb::{LOCATION_BITS, Location};
use core::time::Duration;

/// A time, in units of 2^20 ns (about 1 ms): 39 bits of them are 18 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(u64);

impl Ticks {
    const SHIFT: u32 = 20;
    const MAX: u64 = (1 << (64 - LOCATION_BITS)) - 1;

    /// The tick in which `instant` is. Its last tick never ends.
    #[inline]
    pub(crate) fn at(instant: Instant) -> Self {
        Self((instant.as_nanos() >> Self::SHIFT).min(Self::MAX - 1))
    }

    /// The first tick that is all after `instant`.
    #[inline]
    pub(crate) fn after(instant: Instant) -> Self {
        Self(Self::at(instant).0 + 1)
    }
}

/// Where something was heard, and until when that counts.
///
/// ```text
/// | until, 39 bits of ticks, 0 if never heard | location, 25 bits |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard(u64);

impl Heard {
    pub(crate) const NEVER: Self = Self(0);

    #[inline]
    pub(crate) fn new(until: Ticks, location: Location) -> Self {
        Self(until.0 << LOCATION_BITS | location.pack())
    }

    #[inline]
    pub(crate) fn location(self) -> Location {
        Location::unpack(self.0)
    }

    #[inline]
    pub(crate) fn is_used(self) -> bool {
        self != Self::NEVER
    }

    #[inline]
    pub(crate) fn is_alive(self, now: Ticks) -> bool {
        now < self.until()
    }

    /// Whether it is worth a write to make it last until `until`: if that is sooner, or later by
    /// more than a 64th of the time from `now` until then.
    #[inline]
    pub(crate) fn is_outdated(self, until: Ticks, now: Ticks) -> bool {
        let idle = until.0.saturating_sub(now.0);
        until < self.until() || until.0 - self.until().0 > idle / 64
    }

    pub(crate) fn remaining(self, now: Ticks) -> Duration {
        Duration::from_nanos(self.until().0.saturating_sub(now.0) << Ticks::SHIFT)
    }

    #[inline]
    fn until(self) -> Ticks {
        Ticks(self.0 >> LOCATION_BITS)
    }
}
