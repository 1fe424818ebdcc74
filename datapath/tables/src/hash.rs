//! How keys are spread over buckets.

/// 64 bits of a 128-bit product, in which each bit of both factors has its part.
#[inline]
#[allow(clippy::cast_possible_truncation)] // both halves are used
pub(crate) fn multiply(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ (product >> 64) as u64
}

/// A seed whose bits depend on all bits of `seed` (the finaliser of `SplitMix64`), and odd.
pub(crate) fn spread(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (seed ^ (seed >> 31)) | 1
}
