//! Which bytes of each packet are there.
//!
//! Fragments begin at multiples of 8, and all but the last end there: a bit says enough of 8 bytes.

use alloc::boxed::Box;
use alloc::vec;

/// Bytes that a bit stands for.
const UNIT: usize = 8;

/// Two rows of bits for each slot: which units are there, and in which of them a fragment began.
#[derive(Debug)]
pub(super) struct Units {
    there: Box<[u64]>,
    begins: Box<[u64]>,
    /// Words of a row.
    row: usize,
}

impl Units {
    pub(super) fn new(slots: usize, room: usize) -> Self {
        let row = Self::row_for(room);
        let bits = vec![0; slots * row].into_boxed_slice();
        Self {
            there: bits.clone(),
            begins: bits,
            row,
        }
    }

    /// Bytes of memory for one slot.
    pub(super) fn bytes_for(room: usize) -> usize {
        2 * Self::row_for(room) * size_of::<u64>()
    }

    pub(super) fn clear(&mut self, slot: usize) {
        let row = slot * self.row..(slot + 1) * self.row;
        self.there[row.clone()].fill(0);
        self.begins[row].fill(0);
    }

    /// Whether any of the bytes from `start` to `end` is there.
    pub(super) fn any(&self, slot: usize, start: usize, end: usize) -> bool {
        let row = &self.there[slot * self.row..];
        masks(start / UNIT, end.div_ceil(UNIT)).any(|(word, mask)| row[word] & mask != 0)
    }

    /// Whether the bytes from `start` to `end` came in one fragment, which had no others. The end
    /// of a last fragment is not looked at: there is nothing behind it.
    pub(super) fn is_one(&self, slot: usize, start: usize, end: usize) -> bool {
        let (first, behind) = (start / UNIT, end.div_ceil(UNIT));
        let there = &self.there[slot * self.row..(slot + 1) * self.row];
        let begins = &self.begins[slot * self.row..(slot + 1) * self.row];
        let all = masks(first, behind).all(|(word, mask)| there[word] & mask == mask);
        let split = masks(first + 1, behind).any(|(word, mask)| begins[word] & mask != 0);
        let goes_on = is_set(there, behind) && !is_set(begins, behind);
        all && is_set(begins, first) && !split && !goes_on
    }

    /// Notes that the bytes from `start` to `end` came in one fragment.
    pub(super) fn set(&mut self, slot: usize, start: usize, end: usize) {
        let (first, row) = (start / UNIT, slot * self.row);
        self.begins[row + first / 64] |= 1 << (first % 64);
        for (word, mask) in masks(first, end.div_ceil(UNIT)) {
            self.there[row + word] |= mask;
        }
    }

    fn row_for(room: usize) -> usize {
        room.div_ceil(UNIT).div_ceil(64)
    }
}

fn is_set(row: &[u64], bit: usize) -> bool {
    row.get(bit / 64)
        .is_some_and(|word| word >> (bit % 64) & 1 != 0)
}

/// The words that have the bits from `first` up to, not including, `behind`, and which of their
/// bits those are.
fn masks(first: usize, behind: usize) -> impl Iterator<Item = (usize, u64)> {
    (first / 64..behind.div_ceil(64)).map(move |word| {
        let low = first.saturating_sub(word * 64); // below 64, in all words there are
        let high = (behind - word * 64).min(64);
        let up_to = u64::MAX >> (64 - high);
        (word, up_to & u64::MAX << low)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_of_the_bits_from_first_to_last() {
        for first in 0..200 {
            for behind in first..200 {
                let mut bits = [0u64; 4];
                for (word, mask) in masks(first, behind) {
                    bits[word] |= mask;
                }
                for bit in 0..256 {
                    let set = bits[bit / 64] >> (bit % 64) & 1 != 0;
                    assert_eq!(set, (first..behind).contains(&bit), "{first}..{behind}");
                }
            }
        }
    }
}
