//! Instants, as they are handed down: whoever runs a worker reads the clock once a turn.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time, in nanoseconds since a start that the caller chose. It does not go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// When time began.
    pub const START: Self = Self(0);

    /// `nanos` nanoseconds after the start; 64 bits of them are 584 years.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is not.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The instant `after` later; the last there is, if that is beyond it.
    #[inline]
    fn add(self, after: Duration) -> Self {
        let seconds = after.as_secs().saturating_mul(1_000_000_000);
        let nanos = seconds.saturating_add(u64::from(after.subsec_nanos()));
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for Instant {
    /// Seconds since the start, to the microsecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        write!(f, "{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_was_added_has_since_passed() {
        let later = Instant::START + Duration::new(300, 5);
        assert_eq!(later.as_nanos(), 300_000_000_005);
        assert_eq!(later.since(Instant::START), Duration::new(300, 5));
        assert_eq!(Instant::START.since(later), Duration::ZERO);
        assert!(later > Instant::START);
        assert_eq!(later.to_string(), "300.000000 s");
    }

    #[test]
    fn time_ends_and_does_not_wrap() {
        let last = Instant::from_nanos(u64::MAX);
        assert_eq!(Instant::START + Duration::MAX, last);
        assert_eq!(last + Duration::from_nanos(1), last);
    }
}
