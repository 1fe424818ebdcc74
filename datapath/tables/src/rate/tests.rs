//! What a bucket lets pass, beside the arithmetic of wide integers.

use super::*;
use core::time::Duration;
use proptest::collection::vec;
use proptest::prelude::*;

/// 100 Gbit/s in bytes.
const FASTEST: u64 = 12_500_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// How many of `asked` takes of `cost` pass at `now`.
fn passed(bucket: &mut Bucket, now: Instant, rate: &Rate, cost: u64, asked: u64) -> u64 {
    (0..asked)
        .map(|_| u64::from(bucket.take(now, rate, cost)))
        .sum()
}

#[test]
fn it_starts_full_and_is_empty_after_a_burst() {
    let rate = Rate {
        per_second: 10,
        burst: 4,
    };
    let mut bucket = Bucket::new();
    assert_eq!(bucket, Bucket::default());
    assert_eq!(passed(&mut bucket, at(0), &rate, 1, 100), 4);
    assert!(!bucket.take(at(99_999_999), &rate, 1));
    assert!(
        bucket.take(at(100_000_000), &rate, 1),
        "a tenth of a second"
    );
    assert!(!bucket.take(at(100_000_000), &rate, 1));
    let later = at(u64::MAX);
    assert_eq!(
        passed(&mut bucket, later, &rate, 1, 100),
        4,
        "never more than a burst"
    );
}

#[test]
fn what_is_refused_takes_nothing() {
    let rate = Rate {
        per_second: 1,
        burst: 10,
    };
    let mut bucket = Bucket::new();
    assert!(bucket.take(at(0), &rate, 7));
    assert!(!bucket.take(at(0), &rate, 4));
    assert!(bucket.take(at(0), &rate, 3));
}

#[test]
fn what_is_larger_than_the_burst_passes_when_full_and_is_paid_for_afterwards() {
    let rate = Rate {
        per_second: 1_000,
        burst: 1_500,
    };
    let mut bucket = Bucket::new();
    assert!(bucket.take(at(0), &rate, 9_000));
    // 9,000 bytes are 9 s; a byte is there when 7,501 were given back.
    assert!(!bucket.take(at(7_500_999_999), &rate, 1));
    assert!(bucket.take(at(7_501_000_000), &rate, 1));
    assert!(
        !bucket.take(at(9_000_000_000), &rate, 9_000),
        "not quite full"
    );
    assert!(bucket.take(at(9_001_000_000), &rate, 9_000));
}

#[test]
fn with_no_burst_one_passes_at_a_time() {
    let rate = Rate {
        per_second: 1_000,
        burst: 0,
    };
    let mut bucket = Bucket::new();
    assert_eq!(passed(&mut bucket, at(0), &rate, 2, 5), 1);
    assert!(!bucket.take(at(1_999_999), &rate, 2));
    assert!(bucket.take(at(2_000_000), &rate, 2));
}

#[test]
fn with_no_rate_a_burst_is_all_there_ever_is() {
    let rate = Rate {
        per_second: 0,
        burst: 3,
    };
    let mut bucket = Bucket::new();
    assert_eq!(passed(&mut bucket, at(0), &rate, 1, 5), 3);
    assert!(!bucket.take(at(u64::MAX), &rate, 1));
}

#[test]
fn time_that_goes_back_gives_nothing_back() {
    let rate = Rate {
        per_second: 1_000_000_000,
        burst: 10,
    };
    let mut bucket = Bucket::new();
    assert!(bucket.take(at(100), &rate, 10));
    assert!(!bucket.take(at(50), &rate, 1));
    assert!(
        !bucket.take(at(100), &rate, 1),
        "the 50 ns do not count twice"
    );
    assert!(bucket.take(at(101), &rate, 1));
}

#[test]
fn a_new_rate_holds_from_the_next_call_on() {
    let (fast, slow) = (
        Rate {
            per_second: 1_000,
            burst: 100,
        },
        Rate {
            per_second: 1,
            burst: 10,
        },
    );
    let mut bucket = Bucket::new();
    assert!(bucket.take(at(0), &fast, 100));
    assert!(
        !bucket.take(at(90_000_000_000), &slow, 1),
        "still 10 in debt"
    );
    assert!(bucket.take(at(91_000_000_000), &slow, 1));
}

#[test]
fn the_greatest_numbers_do_not_wrap() {
    let rate = Rate {
        per_second: u64::MAX,
        burst: u64::MAX,
    };
    let mut bucket = Bucket::new();
    assert!(bucket.take(at(0), &rate, u64::MAX));
    assert!(
        !bucket.take(at(0), &rate, 1),
        "2^34 units are the most there is"
    );
    assert!(bucket.take(at(1), &rate, u64::MAX));
    let slow = Rate {
        per_second: 1,
        burst: 0,
    };
    assert!(
        !bucket.take(at(u64::MAX / 2), &slow, 1),
        "2^34 s later is in 544 years"
    );
    assert!(bucket.take(at(u64::MAX), &slow, 1));
}

#[test]
fn a_million_odd_nanoseconds_do_not_drift() {
    let rate = Rate {
        per_second: 3,
        burst: 2,
    };
    let (mut bucket, mut now, mut taken) = (Bucket::new(), 0, 0);
    for _ in 0..1_000_000 {
        taken += u64::from(bucket.take(at(now), &rate, 1));
        now += 31_536_001;
    }
    now -= 31_536_001;
    // It is asked ten times as often as it has to give, and so never full: what it gave is to the
    // unit what it was given back, and the burst.
    assert_eq!(
        taken,
        now / 1_000_000_000 * 3 + now % 1_000_000_000 * 3 / 1_000_000_000 + 2
    );
}

fn rate() -> impl Strategy<Value = Rate> {
    let per_second = prop_oneof![1..100u64, 1..2_000_000u64, 1..=FASTEST];
    let burst = prop_oneof![0..10u64, 0..100_000u64, 0..=FASTEST];
    (per_second, burst).prop_map(|(per_second, burst)| Rate { per_second, burst })
}

/// A gap in nanoseconds; below nothing, time goes back.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), -2_000..2_000i64, 0..3_000_000_000i64]
}

fn cost() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), 1..10u64, 40..9_000u64, 0..200_000u64]
}

proptest! {
    /// Never more than the burst (or one cost above it) and the rate, from any take to any other.
    #[test]
    fn no_more_passes_than_is_allowed(rate in rate(), asks in vec((gap(), cost()), 1..300)) {
        let (mut bucket, mut now, mut seen) = (Bucket::new(), 0u64, 0);
        let mut granted = std::vec::Vec::new();
        for (gap, cost) in asks {
            now = now.saturating_add_signed(gap);
            seen = seen.max(now);
            if bucket.take(at(now), &rate, cost) {
                granted.push((seen, cost));
            }
        }
        for first in 0..granted.len() {
            let (start, mut most, mut sum) = (granted[first].0, rate.burst, 0);
            for (at, cost) in &granted[first..] {
                sum += u128::from(*cost);
                most = most.max(*cost);
                let elapsed = u128::from(at - start);
                let allowed = u128::from(most) * u128::from(PARTS) + elapsed * u128::from(rate.per_second);
                prop_assert!(sum * u128::from(PARTS) <= allowed, "{sum} from {start} to {at}");
            }
        }
    }

    /// Who always asks, and leaves no time in which the bucket is full, gets all there is.
    #[test]
    fn no_less_passes_than_is_allowed(
        per_second in prop_oneof![1..100u64, 1..2_000_000u64, 1..=FASTEST],
        cost in 1..5u64,
        gaps in vec(0..1_000_000u64, 1..100),
    ) {
        // A burst that a gap does not fill, and some 20 units a gap: units of that size.
        let gap = Duration::from_millis(1);
        let most = u64::try_from(u128::from(per_second) * gap.as_nanos() / u128::from(PARTS)).unwrap();
        let cost = cost.max(most / 20);
        let rate = Rate { per_second, burst: cost + most + 1 };
        let (mut bucket, mut now, mut granted) = (Bucket::new(), 0, 0u128);
        for gap in gaps {
            while bucket.take(at(now), &rate, cost) {
                granted += u128::from(cost);
            }
            now += gap;
        }
        while bucket.take(at(now), &rate, cost) {
            granted += u128::from(cost);
        }
        let due = u128::from(now) * u128::from(per_second) / u128::from(PARTS);
        // One cost short of the burst is what may be left.
        prop_assert!(granted + u128::from(cost) > due + u128::from(rate.burst));
        prop_assert!(granted + 1 >= due, "{granted} of {due}");
    }

    /// Asked often or seldom, it has given back the same.
    #[test]
    fn asking_in_between_changes_nothing(rate in rate(), gaps in vec(0..5_000_000_000u64, 1..50)) {
        let (mut asked, mut alone) = (Bucket::new(), Bucket::new());
        let first = rate.burst.max(1);
        prop_assert!(asked.take(at(0), &rate, first) && alone.take(at(0), &rate, first));
        let mut now = 0;
        for gap in gaps {
            now += gap;
            let _ = asked.take(at(now), &rate, 0);
        }
        let _ = alone.take(at(now), &rate, 0);
        prop_assert_eq!(asked, alone);
    }
}
