//! Any frames at any port, in bursts, through both ways of `path`.
//!
//! An input is a list of frames, each with the port it comes in by and the time that passes
//! before it. So that coverage is not spent on guessing checksums, a frame may ask for an
//! envelope, or to have its outer checksum mended.
//!
//! What holds: every frame buffer is home after each burst; every ledger balances; nothing leaves
//! but by a port of its own network that is up, or in an envelope of its own vnet; nothing goes
//! from peer to peer; nobody is learned who cannot be a station.

mod told;
mod world;

pub use told::{Shape, Told, UNDERLAY};
pub use world::Tally;

use world::World;

/// Plays `bytes`; panics if anything that must hold does not.
pub fn check(bytes: &[u8]) {
    play(bytes);
}

/// Plays `bytes`; says what became of the frames.
pub fn play(bytes: &[u8]) -> Tally {
    let (mut world, mut rest) = (World::new(), bytes);
    while let Some(told) = Told::read(&mut rest) {
        if told.wait > 0 {
            world.turn();
            world.wait(told.wait);
        }
        world.receive(&told);
    }
    world.turn();
    world.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::guest_frame;

    /// The numbers of a `xorshift64*`.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
        }

        fn byte(&mut self) -> u8 {
            self.below(256).to_le_bytes()[0]
        }

        fn bytes(&mut self, len: u64) -> Vec<u8> {
            (0..len).map(|_| self.byte()).collect()
        }

        /// Random bytes; or a guest's frame between a few stations, some of its bytes changed.
        fn frame(&mut self) -> Vec<u8> {
            if self.below(4) == 0 {
                let len = self.below(100);
                return self.bytes(len);
            }
            let len = [0, 18, 200, 1400, 1700][usize::try_from(self.below(5)).unwrap()];
            let mut frame = guest_frame(len);
            frame[5] = self.byte() % 4;
            frame[11] = self.byte() % 4;
            match self.below(16) {
                0 | 1 => frame[0] = 0xff,
                2 => frame[..5].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0]),
                _ => {}
            }
            for _ in 0..self.below(4) {
                let at = usize::try_from(self.below(42)).unwrap();
                frame[at] = self.byte();
            }
            let cut = self.below(20) == 0;
            let keep = if cut { self.below(60) } else { 2000 };
            frame.truncate(usize::try_from(keep).unwrap());
            frame
        }

        fn told(&mut self) -> Told {
            let underlay = self.below(2) == 0;
            let (peer, key) = (self.byte() % 4, self.byte() % 4);
            let shape = match self.below(6) {
                0 => Shape::AsIs,
                1 => Shape::Mended,
                _ if underlay => Shape::Enveloped { peer, key },
                _ => Shape::AsIs,
            };
            let mut told = Told {
                wait: 0,
                port: if underlay { UNDERLAY } else { self.byte() % 8 },
                shape,
                bytes: self.frame(),
            };
            if self.below(10) == 0 {
                told.wait = self.byte();
            }
            if shape == Shape::Mended {
                // An envelope of which any byte may be wrong, but not for its checksum alone.
                told.bytes = crate::seeds::outer(
                    [192, 0, 2, 2],
                    [192, 0, 2, 1],
                    &crate::seeds::keyed(5001, &told.bytes),
                );
                let at = usize::try_from(self.below(42)).unwrap();
                told.bytes[at] = self.byte();
            }
            told
        }
    }

    #[test]
    fn a_million_random_frames_lose_no_buffer_and_balance() {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        let mut all = Tally::default();
        while all.received < 1_000_000 {
            let told: Vec<_> = (0..64).map(|_| chance.told()).collect();
            all += play(&Told::encode(&told));
        }
        println!("{all:?}");
        assert!(all.sent > 100_000, "most were refused: {all:?}");
        // Without devices no exit is full, and with one worker no hand-off; a device leaves
        // headroom. All other reasons are met.
        let unmet = ["exit_full", "hand_off_full", "no_headroom"];
        for reason in switch::DropReason::ALL {
            let met = all.dropped.contains_key(reason.name());
            assert_ne!(met, unmet.contains(&reason.name()), "{reason:?}: {all:?}");
        }
    }

    #[test]
    fn what_was_told_is_read_as_it_was_encoded() {
        let mut chance = Chance(7);
        let told: Vec<_> = (0..100).map(|_| chance.told()).collect();
        let encoded = Told::encode(&told);
        let mut rest = &encoded[..];
        let read: Vec<_> = core::iter::from_fn(|| Told::read(&mut rest)).collect();
        assert_eq!(read, told);
    }

    #[test]
    fn a_conversation_is_flooded_and_then_not() {
        let seeds = crate::seeds::all();
        let named = |name| play(&seeds.iter().find(|seed| seed.name == name).unwrap().bytes);
        let conversation = named("conversation");
        assert_eq!(conversation.received, 4);
        assert!(
            conversation.sent > 4,
            "a broadcast has several exits: {conversation:?}"
        );
        let strangers = named("strangers");
        assert_eq!(
            (strangers.received, strangers.sent),
            (6, 0),
            "{strangers:?}"
        );
        assert_eq!(strangers.dropped.len(), 6, "{strangers:?}");
    }
}
