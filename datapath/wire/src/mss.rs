//! The largest segment that a TCP end says it takes, lowered to what fits the way.
//!
//! Sources: RFC 9293 §3.1 (header), §3.2 (options), §3.7.1 (maximum segment size), RFC 1624
//! (changing the checksum).

use crate::{checksum, l4::Tcp};

/// The flag SYN.
const SYN: u8 = 0x02;
/// An option without length: the list ends here.
const END: u8 = 0;
/// An option without length: the next one is a byte further.
const PADDING: u8 = 1;
/// The option that we look for.
const MSS: u8 = 2;
/// Its length, kind and length included, in bytes.
const MSS_LEN: usize = 4;
/// How often it may stand in 40 bytes of options.
const MOST: usize = 10;

/// Lowers to `max` what a SYN says of the largest segment that its sender takes, in bytes of TCP
/// payload, and returns what it said before; none if nothing changed.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |    kind 2     |   length 4    |        largest segment        |
/// ```
///
/// `segment` starts with the TCP header; what is behind the header is not looked at. Nothing
/// changes unless SYN is set, the options can be read to their end, and one says more than
/// `max`. Where the option is missing none is added: without it an end sends segments of 536
/// bytes, or 1,220 on IPv6 (RFC 9293 §3.7.1), which fit any way.
///
/// The checksum is changed by as much as the segment is: one that held does, and a wrong one
/// stays wrong. One that was left to hardware has to be finished before (see
/// [`complete`](crate::l4::complete)): it counts the payload only later, and would then have the
/// change twice.
#[inline]
pub fn clamp(segment: &mut [u8], max: u16) -> Option<u16> {
    // Nearly every segment ends here.
    if segment.get(13)? & SYN == 0 {
        return None;
    }
    clamp_syn(segment, max)
}

/// [`clamp`], where SYN is set.
#[inline(never)]
fn clamp_syn(segment: &mut [u8], max: u16) -> Option<u16> {
    let header_len = usize::from(segment.get(12)? >> 4) * 4;
    let header = segment.get_mut(..header_len)?;
    let (places, found) = places(header)?;
    let mut said = None;
    // Said more than once, the last counts for some receivers and the first for others: lower
    // each, and tell the highest.
    for at in places.into_iter().take(found) {
        let value = u16::from_be_bytes([header[at], header[at + 1]]);
        if value > max {
            replace(header, at, value, max);
            said = said.max(Some(value));
        }
    }
    said
}

/// Where in `header`, a whole TCP header, the values of all MSS options stand, and how many there
/// are; none if header or options contradict themselves.
fn places(header: &[u8]) -> Option<([usize; MOST], usize)> {
    let mut places = [0; MOST];
    let mut found = 0;
    let mut options = header.get(Tcp::MIN_LEN..)?;
    loop {
        options = match *options {
            [] | [END, ..] => return Some((places, found)),
            [PADDING, ref rest @ ..] => rest,
            [_] => return None,
            [kind, len, ..] => {
                let len = usize::from(len);
                let rest = options.get(len..)?;
                if len < 2 || (kind == MSS && len != MSS_LEN) {
                    return None;
                }
                if kind == MSS {
                    *places.get_mut(found)? = header.len() - options.len() + 2;
                    found += 1;
                }
                rest
            }
        };
    }
}

/// Writes `to` over `from`, at byte `at` of a TCP header, and what that does to the checksum.
fn replace(header: &mut [u8], at: usize, from: u16, to: u16) {
    header[at..at + 2].copy_from_slice(&to.to_be_bytes());
    // Behind an odd number of paddings the value's first byte is the second of one summed pair,
    // and its second the first of the next: its bytes count turned round (RFC 1071 §2 B).
    let (from, to) = match at % 2 {
        0 => (from, to),
        _ => (from.swap_bytes(), to.swap_bytes()),
    };
    let checksum = u16::from_be_bytes([header[16], header[17]]);
    let checksum = checksum::updated(checksum, from, to);
    header[16..18].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;
    use crate::l4::{Finding, complete, finding};
    use std::vec::Vec;

    const PSEUDO: u16 = 0x1234;

    /// A SYN with `options`, padded to whole words with ends of the list, and `payload`.
    fn syn(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let words = 5 + options.len().div_ceil(4);
        let mut segment = std::vec![0; 4 * words];
        segment[..4].copy_from_slice(&[0x82, 0x35, 0x00, 0x50]);
        segment[12..14].copy_from_slice(&[u8::try_from(words << 4).unwrap(), SYN]);
        segment[20..20 + options.len()].copy_from_slice(options);
        segment.extend(payload);
        segment[16..18].copy_from_slice(&PSEUDO.to_be_bytes());
        segment
    }

    /// The same, its checksum finished.
    fn summed(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut segment = syn(options, payload);
        complete(Protocol::TCP, &mut segment);
        segment
    }

    fn found(segment: &[u8]) -> Finding {
        finding(Protocol::TCP, PSEUDO, segment).unwrap()
    }

    #[test]
    fn a_syn_that_asks_for_too_much_is_lowered_and_still_sums_up() {
        let mut segment = summed(&[2, 4, 0x05, 0xb4], b"fast open");
        assert_eq!(clamp(&mut segment, 1418), Some(1460));
        assert_eq!(segment[20..24], [2, 4, 0x05, 0x8a]);
        assert_eq!(found(&segment), Finding::Holds);
        assert_eq!(clamp(&mut segment, 1418), None, "it asks for 1,418 now");
    }

    #[test]
    fn at_every_place_the_checksum_comes_out_as_if_summed_again() {
        for paddings in 0..=36 {
            let mut options = std::vec![PADDING; paddings];
            options.extend([2, 4, 0xff, 0xfe]);
            for max in [0, 1, 0x00ff, 0x0100, 536, 1418, 0xfffd] {
                let mut segment = summed(&options, b"odd");
                assert_eq!(clamp(&mut segment, max), Some(0xfffe));
                let value = [segment[22 + paddings], segment[23 + paddings]];
                assert_eq!(value, max.to_be_bytes());
                assert_eq!(found(&segment), Finding::Holds, "{paddings}, to {max}");
            }
        }
    }

    #[test]
    fn behind_other_options_it_is_found_and_said_twice_it_is_lowered_twice() {
        let options = [
            3, 3, 7, 1, 4, 2, 2, 4, 5, 0xb4, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 2, 4, 0x22, 0xc4,
        ];
        let mut segment = summed(&options, &[]);
        assert_eq!(clamp(&mut segment, 1400), Some(0x22c4), "the higher one");
        assert_eq!(segment[28..30], [0x05, 0x78]);
        assert_eq!(segment[42..44], [0x05, 0x78]);
        assert_eq!(found(&segment), Finding::Holds);
    }

    #[test]
    fn what_is_not_a_syn_with_the_option_is_left_alone() {
        let with = summed(&[2, 4, 0x05, 0xb4], &[]);
        let mut no_syn = with.clone();
        no_syn[13] = 0x10;
        let without = summed(&[4, 2, 1, 1], &[]);
        let behind_the_end = summed(&[0, 2, 4, 5, 0xb4], &[]);
        let in_the_payload = summed(&[], &[2, 4, 5, 0xb4]);
        for segment in [no_syn, without, behind_the_end, in_the_payload] {
            let mut clamped = segment.clone();
            assert_eq!(clamp(&mut clamped, 100), None);
            assert_eq!(clamped, segment);
        }
        let mut low = with.clone();
        assert_eq!(clamp(&mut low, 1460), None, "it fits");
        assert_eq!(low, with);
    }

    #[test]
    fn malformed_options_change_nothing() {
        let malformed: [&[u8]; 7] = [
            &[2, 3, 5, 0],
            &[2, 5, 5, 0xb4, 0],
            &[2, 4, 5, 0xb4, 8, 0, 0, 0],
            &[2, 4, 5, 0xb4, 8, 1, 0, 0],
            &[2, 4, 5, 0xb4, 8, 5, 0, 0],
            &[2, 4, 5, 0xb4, 1, 1, 1, 8],
            &[1, 1, 2, 4],
        ];
        for options in malformed {
            let segment = summed(options, b"payload");
            let mut clamped = segment.clone();
            assert_eq!(clamp(&mut clamped, 100), None, "{options:?}");
            assert_eq!(clamped, segment, "{options:?}");
        }
    }

    #[test]
    fn a_header_cut_short_or_too_short_changes_nothing() {
        let segment = summed(&[2, 4, 0x05, 0xb4], &[]);
        for len in 0..segment.len() {
            let mut cut = segment[..len].to_vec();
            assert_eq!(clamp(&mut cut, 100), None, "{len} bytes");
            assert_eq!(cut, segment[..len]);
        }
        let mut short = segment.clone();
        short[12] = 0x40;
        assert_eq!(clamp(&mut short, 100), None);
    }

    #[test]
    fn a_checksum_that_did_not_hold_is_not_made_to() {
        let mut wrong = summed(&[2, 4, 0x05, 0xb4], &[]);
        wrong[16] ^= 0x55;
        assert_eq!(clamp(&mut wrong, 1400), Some(1460));
        assert_eq!(found(&wrong), Finding::Wrong);

        let mut unfinished = syn(&[2, 4, 0x05, 0xb4], &[]);
        assert_eq!(found(&unfinished), Finding::Unfinished);
        assert_eq!(clamp(&mut unfinished, 1400), Some(1460));
        assert_ne!(found(&unfinished), Finding::Holds);
    }
}
