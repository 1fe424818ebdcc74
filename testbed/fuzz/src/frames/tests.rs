use super::*;
use crate::made;
use std::collections::BTreeSet;

/// The numbers of a `xorshift64*`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound
    }

    fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Random bytes, or what a guest sends; between a few stations, some of its bytes changed.
    fn guest(&mut self, known: &[made::Named]) -> Vec<u8> {
        if self.below(16) == 0 {
            let len = self.below(100);
            return (0..len).map(|_| self.byte()).collect();
        }
        let mut frame = self.one_of(known).1.clone();
        if self.below(4) > 0 {
            frame[11] = self.byte() % 4;
            if frame[0] & 1 == 0 {
                frame[5] = self.byte() % 4;
            }
        }
        if self.below(16) == 0 {
            frame[0] = 0xff;
        }
        self.spoil(&mut frame);
        frame
    }

    /// Changes a few of the first bytes, or cuts; most often neither.
    fn spoil(&mut self, frame: &mut Vec<u8>) {
        if self.below(3) == 0 {
            for _ in 0..=self.below(3) {
                let at = self.below(frame.len().min(90));
                frame[at] = self.byte();
            }
        }
        if self.below(24) == 0 {
            frame.truncate(self.below(80));
        }
    }

    fn told(&mut self, known: &Known) -> Told {
        let mut told = Told {
            wait: 0,
            port: self.byte() % 11,
            shape: *self.one_of(&[Shape::AsIs, Shape::Mended]),
            detail: Detail(self.byte()),
            bytes: Vec::new(),
        };
        if self.below(2) == 0 {
            told.port = UNDERLAY;
            told.shape = *self.one_of(&[
                Shape::AsIs,
                Shape::Mended,
                Shape::Mended,
                Shape::Wrapped,
                Shape::Wrapped,
                Shape::Numbered,
                Shape::InUdp,
                Shape::Piece,
                Shape::TooBig,
            ]);
        }
        told.bytes = match (told.port, told.shape) {
            (_, Shape::TooBig) => [self.byte() % 6, self.byte(), self.byte() % 6, 0].to_vec(),
            (UNDERLAY, Shape::AsIs | Shape::Mended) => {
                let mut frame = self.one_of(&known.underlay).1.clone();
                self.spoil(&mut frame);
                frame
            }
            _ => self.guest(&known.guests),
        };
        if told.shape == Shape::Numbered
            && let [.., high, low] = &mut *told.bytes
        {
            (*high, *low) = (self.byte() % 2, self.byte() % 4);
        }
        if self.below(20) == 0 {
            told.wait = self.byte() % 32;
        }
        told
    }

    /// A burst of anything; or, now and then, one frame again and again, or the same but for who
    /// sends it: what is too much of one thing is met only so.
    fn burst(&mut self, known: &Known) -> Vec<Told> {
        if self.below(16) > 0 {
            return (0..64).map(|_| self.told(known)).collect();
        }
        let mut told = self.told(known);
        told.wait = 0;
        if told.port != UNDERLAY || told.shape == Shape::Wrapped {
            told.bytes.clone_from(&self.one_of(&known.guests).1);
            if told.port != UNDERLAY {
                told.port = *self.one_of(&[1, 2, 3, 6]);
                told.shape = Shape::AsIs;
            }
        }
        if self.below(2) == 0 {
            // Whom it is for is heard first, behind the smallest of the ways.
            let mut heard = told.clone();
            heard.port = UNDERLAY;
            heard.shape = Shape::Wrapped;
            heard.detail = Detail::of(1, 0, 0);
            heard.bytes = made::guest_frame(18);
            if let Some(whom) = told.bytes.first_chunk::<6>() {
                heard.bytes[6..12].copy_from_slice(whom);
            }
            let mut all = vec![told; 250];
            all[0] = heard;
            return all;
        }
        let other = |chance: &mut Self| {
            let mut told = told.clone();
            for at in [9, 10, 11, 28, 29, 30, 31] {
                if let Some(byte) = told.bytes.get_mut(at) {
                    *byte = chance.byte();
                }
            }
            told
        };
        (0..250).map(|_| other(self)).collect()
    }
}

/// What chance starts from.
struct Known {
    guests: Vec<made::Named>,
    underlay: Vec<made::Named>,
}

impl Known {
    fn new() -> Self {
        Self {
            guests: made::guests(),
            underlay: made::underlay(),
        }
    }
}

#[test]
fn a_million_random_frames_lose_no_buffer_and_balance() {
    let (mut chance, known) = (Chance(0x9e37_79b9_7f4a_7c15), Known::new());
    let mut all = Tally::default();
    while all.received < 1_000_000 {
        let burst = chance.burst(&known);
        all += play(&Told::encode(chance.byte(), &burst));
    }
    println!("{all:?}");
    let stories = crate::seeds::all();
    for story in stories.iter().filter(|seed| seed.target == "path") {
        all += play(&story.bytes);
    }
    assert!(all.sent > 100_000, "most were refused: {all:?}");
    // Without devices no exit is full, and with one worker no hand-off; a device leaves headroom.
    let out_of_reach = BTreeSet::from(["exit_full", "hand_off_full", "no_headroom"]);
    let unmet = switch::DropReason::ALL
        .iter()
        .map(|reason| reason.name())
        .filter(|name| !all.dropped.contains_key(name));
    assert_eq!(unmet.collect::<BTreeSet<_>>(), out_of_reach);
    let noted = switch::Cell::NOTED.iter().map(|(_, name)| *name);
    // Of what nobody was told no port knows, only the network.
    let noted = noted.filter(|name| *name != "events_lost");
    let unmet: Vec<_> = noted.filter(|name| !all.noted.contains_key(name)).collect();
    assert!(unmet.is_empty(), "{unmet:?} of {all:?}");
}

#[test]
fn what_was_told_is_read_as_it_was_encoded() {
    let (mut chance, known) = (Chance(7), Known::new());
    let told: Vec<_> = (0..100).map(|_| chance.told(&known)).collect();
    let encoded = Told::encode(1, &told);
    let mut rest = &encoded[1..];
    let read: Vec<_> = core::iter::from_fn(|| Told::read(&mut rest)).collect();
    assert_eq!(read, told);
}

#[test]
fn seeds_end_as_they_are_called() {
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
    let pieces = named("pieces");
    assert_eq!(
        (pieces.noted["merged"], pieces.dropped.len()),
        (2, 2),
        "{pieces:?}"
    );
    assert_eq!(
        (
            pieces.dropped["fragment_late"],
            pieces.dropped["no_sequence"]
        ),
        (1, 1)
    );
    let too_big = named("too-big-and-again");
    assert_eq!(too_big.noted["mtu_lowered"], 2, "{too_big:?}");
    let questions = named("questions");
    assert!(questions.noted["answered"] > 0, "{questions:?}");
}

/// A frame of station `from` to station `to`, of `known`.
fn of(known: &str, to: u8, from: u8) -> Vec<u8> {
    let all = made::guests();
    let mut frame = all
        .iter()
        .find(|(name, _)| *name == known)
        .unwrap()
        .1
        .clone();
    (frame[5], frame[11]) = (to, from);
    frame
}

fn at(port: u8, bytes: Vec<u8>) -> Told {
    Told {
        wait: 0,
        port,
        shape: Shape::AsIs,
        detail: Detail::default(),
        bytes,
    }
}

fn wrapped(peer: u8, key: u8, bytes: Vec<u8>) -> Told {
    Told {
        shape: Shape::Wrapped,
        detail: Detail::of(peer, key, 0),
        ..at(UNDERLAY, bytes)
    }
}

/// An answer of 1,280 bytes, in a network whose MTU is 576.
#[test]
fn an_answer_is_no_longer_than_its_network() {
    let heard = wrapped(0, 3, of("guest", 9, 2));
    let asked = Told {
        wait: 1,
        ..at(6, of("udp-v6-long", 2, 3))
    };
    play(&Told::encode(0, &[heard, asked]));
}

/// An answer of 576 bytes to a peer, where 300 fit: `fit::answer` gives it a new exit, and nobody
/// asks whether it fits that.
#[test]
fn an_answer_to_a_peer_fits_its_way() {
    let heard = at(2, of("guest", 9, 3));
    let long = Told {
        wait: 1,
        ..wrapped(1, 0, of("udp-longer", 3, 2))
    };
    play(&Told::encode(0, &[heard, long]));
}

/// An answer to a port that is down.
#[test]
fn an_answer_to_a_port_that_is_down_does_not_leave() {
    let heard = wrapped(1, 0, of("guest", 9, 3));
    let long = Told {
        wait: 1,
        ..at(5, of("udp-longer", 3, 2))
    };
    play(&Told::encode(0, &[heard, long]));
}

/// Asked for an address in a group's name (RFC 4861 §7.1.1 only speaks of the unspecified one), we
/// answer the group with the solicited flag, which §7.1.2 says to discard.
#[test]
fn who_asks_in_a_groups_name_is_not_answered() {
    let mut asks = of("neighbour-solicit", 2, 1);
    asks[22] = 0xff; // the source is multicast
    asks[0..6].copy_from_slice(&[0x33, 0x33, 0xff, 0, 0, 2]);
    let asks = Told {
        shape: Shape::Mended,
        ..at(6, asks)
    };
    play(&Told::encode(0, &[asks]));
}
