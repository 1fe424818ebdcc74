//! The Internet checksum: of bytes, of what changed in them, and with a pseudo-header.
//!
//! Sources: RFC 1071 (the sum), RFC 1624 (changing it), RFC 768, RFC 9293 §3.1 and RFC 8200 §8.1
//! (pseudo-headers).
//!
//! A *sum* is a one's complement sum, 16 bits, as it is; a *checksum* is its complement, as it
//! stands in a header. Both are numbers here, written to the wire in network order.

use core::net::{Ipv4Addr, Ipv6Addr};

/// Bytes summed in one step: as many lanes as two vector registers hold.
const STEP: usize = 32;

/// The sum of `bytes`; an odd last byte counts as if a zero followed.
#[inline]
pub fn sum(bytes: &[u8]) -> u16 {
    // One's complement sums do not mind the order of bytes (RFC 1071 §2 B): add lanes as they
    // lie in memory, and turn the 16 bits at the end.
    let mut lanes = [0u64; STEP / 4];
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for step in steps {
        let (words, _) = step.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let mut total: u64 = lanes.iter().sum();
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    total += match *rest {
        [a, b, c] => u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, 0])),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a] => u64::from(u16::from_ne_bytes([a, 0])),
        _ => 0,
    };
    u16::from_be(fold(total))
}

/// The sum of two sums.
#[inline]
pub fn add(one: u16, other: u16) -> u16 {
    fold(u64::from(one) + u64::from(other))
}

/// The checksum of `bytes`, in which the checksum's own place must be zero.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

/// Whether `bytes`, the checksum among them, sum up as they should.
#[inline]
pub fn holds(bytes: &[u8]) -> bool {
    sum(bytes) == 0xffff
}

/// [`holds`], kept out of its caller: for sums that few packets need, whose loops would cost all
/// of them registers.
#[inline(never)]
pub(crate) fn holds_apart(bytes: &[u8]) -> bool {
    holds(bytes)
}

/// What `checksum` becomes when 16 bits under it change (RFC 1624 §3, equation 3).
///
/// ```text
/// HC' = ~(~HC + ~m + m')
/// ```
///
/// Where the bytes are not all zero, this is what summing them again gives.
#[inline]
pub fn updated(checksum: u16, from: u16, to: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!from) + u64::from(to))
}

/// What `checksum` becomes when 32 bits under it, at an even place, change.
#[inline]
pub fn updated_u32(checksum: u16, from: u32, to: u32) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!from) + u64::from(to))
}

/// What stands in a UDP header for `checksum`: 0 there means that there is none, so a sum that
/// comes to 0 is sent as its other form (RFC 768).
#[inline]
pub fn for_udp(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The sum of the IPv4 pseudo-header of `len` bytes of `protocol`.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |                            source                             |
/// |                          destination                          |
/// |       0       |   protocol    |    length of the segment      |
/// ```
#[inline]
pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> u16 {
    let addresses = u64::from(source.to_bits()) + u64::from(destination.to_bits());
    fold(addresses + u64::from(protocol) + u64::from(len))
}

/// The sum of the IPv6 pseudo-header of `len` bytes of the upper layer `protocol`.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |                      source, 16 bytes                         |
/// |                    destination, 16 bytes                      |
/// |                    length of the segment                      |
/// |                       0                       |   protocol    |
/// ```
#[inline]
pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u32) -> u16 {
    let addresses = add(sum(&source.octets()), sum(&destination.octets()));
    fold(u64::from(addresses) + u64::from(protocol) + u64::from(len))
}

/// 64 bits to 16, each carry added at the low end; 0 only of 0.
#[inline]
#[allow(clippy::cast_possible_truncation)] // what is cut off has been added
fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum as RFC 1071 §1 says it, two bytes at a time.
    fn plainly(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            total = (total >> 16) + (total & 0xffff);
        }
        u16::try_from(total).unwrap()
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes), 0xddf2);
        assert_eq!(of(&bytes), 0x220d);
    }

    #[test]
    fn the_example_of_rfc_1624_comes_out() {
        // §4: HC = 0xdd2f, m = 0x5555, m' = 0x3285; equation 3 gives 0 and not 0xffff.
        assert_eq!(updated(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn every_length_sums_as_two_bytes_at_a_time_do() {
        let bytes: [u8; 300] = core::array::from_fn(|n| (n * 151 + 7).to_le_bytes()[0]);
        for start in 0..8 {
            for end in start..bytes.len() {
                let bytes = &bytes[start..end];
                assert_eq!(sum(bytes), plainly(bytes), "{start}..{end}");
            }
        }
        assert_eq!(sum(&[0xff; 2048]), 0xffff);
        assert_eq!(sum(&[0; 2048]), 0);
    }

    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
        assert_eq!(
            (for_udp(0), for_udp(1), for_udp(0xffff)),
            (0xffff, 1, 0xffff)
        );
    }
}
