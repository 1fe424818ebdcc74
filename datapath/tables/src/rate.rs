//! How much of something may pass in a time: a token bucket.
//!
//! A [`Rate`] is what was declared, a [`Bucket`] is what is remembered of one who is held to it.
//! The units are the caller's, packets or bytes: a bucket only counts them.

use crate::Instant;

/// What is allowed: so much at once, and so much more as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units that are given back each second. With none, what was taken is gone for good.
    pub per_second: u64,
    /// Units that may be taken at once by one who took nothing for long.
    pub burst: u64,
}

/// What one sender has taken and not yet been given back.
///
/// - Shape: an instant and a debt, 16 bytes. The debt is in units of 10⁻⁹ of the caller's, of which
///   a rate gives back a whole number each nanosecond: nothing is ever rounded, so nothing drifts,
///   however often or seldom it is asked.
/// - Bound: a burst or a cost of more than 2³⁴ units (17 GB) counts as 2³⁴.
/// - Time: the caller's `now`. If it goes back, nothing is given back until it is where it was.
/// - Owner: whoever asks. The rate is told with each call, so a new rate holds from the next call
///   on, also for the time that has passed since the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When the debt was worked out.
    at: Instant,
    /// What was taken and not given back, in 10⁻⁹ units; nothing if the bucket is full.
    debt: u64,
}

const _: () = assert!(size_of::<Bucket>() == 16);

/// Parts that a unit has.
const PARTS: u64 = 1_000_000_000;

/// Units that fit a debt.
const MOST: u64 = 1 << 34;

const _: () = assert!(MOST < u64::MAX / PARTS);

impl Bucket {
    /// A full bucket: nothing was taken yet.
    pub const FULL: Self = Self {
        at: Instant::START,
        debt: 0,
    };

    /// A full bucket.
    pub const fn new() -> Self {
        Self::FULL
    }

    /// Takes `cost` units if they are there; says whether they were. What is refused takes
    /// nothing.
    ///
    /// A cost above the burst would never be there. It passes when the bucket is full, and leaves
    /// it in debt: all that comes next waits until the debt is given back. So a frame larger than
    /// the burst is late and not stuck for ever, and the rate holds all the same: in a time `t`
    /// no more passes than `per_second * t` and the burst, or instead of the burst the greatest
    /// cost, if that is more.
    #[inline]
    #[must_use = "what was refused must not pass"]
    pub fn take(&mut self, now: Instant, rate: &Rate, cost: u64) -> bool {
        let elapsed = now.as_nanos().saturating_sub(self.at.as_nanos());
        // What does not fit is more than any debt.
        let given_back = elapsed.saturating_mul(rate.per_second);
        self.debt = self.debt.saturating_sub(given_back);
        self.at = self.at.max(now);
        let cost = cost.min(MOST) * PARTS;
        let room = (rate.burst.min(MOST) * PARTS).checked_sub(self.debt);
        let passes = self.debt == 0 || room.is_some_and(|room| cost <= room);
        if passes {
            self.debt += cost; // at most the burst, or a cost alone
        }
        passes
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::FULL
    }
}

#[cfg(test)]
mod tests;
