//! Fragments put together, beside a model that keeps them in a list.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tables::Instant;
use tables::reassembly::{Evicted, Fragment, Held, Reassembly, Why};

const LIMIT: Duration = Duration::from_secs(1);
const ROOM: usize = 400;

/// Source and identification; the rest of the key is the same for all.
type Key = (u8, u32);

/// A fragment that owns its bytes.
#[derive(Clone, Debug)]
struct Piece {
    key: Key,
    offset: usize,
    more: bool,
    tos: u8,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Add(Piece),
    Wait(Duration),
    Expire,
}

impl Piece {
    fn fragment(&self) -> Fragment<'_> {
        let (last, identification) = self.key;
        let source = match last % 2 {
            0 => IpAddr::from([10, 0, 0, last]),
            _ => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
        };
        Fragment {
            source,
            destination: IpAddr::from([10, 0, 0, 1]),
            protocol: 47,
            identification,
            offset: self.offset,
            more: self.more,
            tos: self.tos,
            payload: &self.payload,
        }
    }

    fn end(&self) -> usize {
        self.offset + self.payload.len()
    }

    fn is_same(&self, other: &Self) -> bool {
        let place = (self.offset, self.more) == (other.offset, other.more);
        place && self.payload == other.payload
    }

    fn clashes(&self, other: &Self) -> bool {
        let both = self.offset < other.end() && other.offset < self.end();
        let ends = match (self.more, other.more) {
            (false, false) => self.end() != other.end(),
            (false, true) => other.end() >= self.end(),
            (true, false) => self.end() >= other.end(),
            (true, true) => false,
        };
        both || ends
    }
}

/// The byte at `offset` of the packet `key`.
fn byte((source, identification): Key, offset: usize) -> u8 {
    let at = u32::try_from(offset).unwrap();
    let mixed = (at ^ identification << 9 ^ u32::from(source) << 17).wrapping_mul(0x9e37_79b1);
    mixed.to_be_bytes()[0]
}

fn bytes(key: Key, from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|offset| byte(key, offset)).collect()
}

fn key() -> impl Strategy<Value = Key> {
    (0..3u8, 0..3u32)
}

/// A packet, cut at some multiples of 8.
fn pieces(key: Key) -> impl Strategy<Value = Vec<Piece>> {
    let tos = prop_oneof![6 => Just(2u8), 1 => Just(3u8), 1 => Just(0u8)];
    (9..ROOM, vec(1..20usize, 1..6), vec(tos, 7)).prop_map(move |(len, sizes, tos)| {
        let (mut cut, mut from) = (Vec::new(), 0);
        for size in sizes {
            let to = (from + size * 8).min((len - 1) / 8 * 8);
            if to > from {
                cut.push((from, to));
            }
            from = to;
        }
        cut.push((from, len));
        let piece = |((from, to), tos): ((usize, usize), u8)| Piece {
            key,
            offset: from,
            more: to < len,
            tos,
            payload: bytes(key, from, to),
        };
        cut.into_iter().zip(tos).map(piece).collect()
    })
}

/// A fragment that fits nowhere, but by chance.
fn wild() -> impl Strategy<Value = Piece> {
    let offset = prop_oneof![12 => (0..50usize).prop_map(|unit| unit * 8), 1 => 0..500usize];
    let len = prop_oneof![8 => (1..12usize).prop_map(|unit| unit * 8), 2 => 0..120usize];
    (
        key(),
        offset,
        len,
        any::<bool>(),
        0..4u8,
        prop::bool::weighted(0.8),
    )
        .prop_map(|(key, offset, len, more, tos, honest)| {
            let mut payload = bytes(key, offset, offset + len);
            if let (false, Some(first)) = (honest, payload.first_mut()) {
                *first ^= 1;
            }
            Piece {
                key,
                offset,
                more,
                tos,
                payload,
            }
        })
}

/// Packets in pieces, some of which are lost, repeated, late and out of order.
fn steps(wild_ones: usize) -> impl Strategy<Value = Vec<Step>> {
    let packets = vec(key().prop_flat_map(pieces), 1..12);
    let lost = vec(prop::bool::weighted(0.05), 80);
    let repeated = vec(prop::bool::weighted(0.1), 80);
    let honest = (packets, lost, repeated).prop_map(|(packets, lost, repeated)| {
        let mut steps = Vec::new();
        let fates = lost.into_iter().zip(repeated);
        for (piece, (lost, repeated)) in packets.into_iter().flatten().zip(fates) {
            for _ in 0..usize::from(!lost) + usize::from(repeated) {
                steps.push(Step::Add(piece.clone()));
            }
        }
        steps
    });
    let time = prop_oneof![
        (1..700u64).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        Just(Step::Expire),
    ];
    let rest = (
        vec(wild().prop_map(Step::Add), 0..=wild_ones),
        vec(time, 0..6),
    );
    (honest, rest, 0..3usize)
        .prop_map(|(mut steps, (wild, time), _)| {
            steps.extend(wild);
            steps.extend(time);
            steps
        })
        .prop_flat_map(|steps| Just(steps).prop_shuffle())
}

/// What the model keeps of one packet.
struct Packet {
    started: Instant,
    refused: bool,
    pieces: Vec<Piece>,
}

/// What becomes of a fragment, with the bytes owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Held(u32),
    Whole(Vec<u8>, u32, u8),
    Lost(&'static str, u32),
}

fn fate(held: Held<'_>) -> Fate {
    match held {
        Held::Waiting => Fate::Held(1),
        Held::Whole {
            payload,
            fragments,
            tos,
        } => Fate::Whole(payload.to_vec(), fragments, tos),
        Held::Duplicate => Fate::Lost("duplicate", 0),
        Held::Malformed => Fate::Lost("malformed", 0),
        Held::Refused => Fate::Lost("refused", 0),
        Held::Overlap { fragments } => Fate::Lost("overlap", fragments),
        Held::TooBig { fragments } => Fate::Lost("too big", fragments),
        Held::EcnMixed { fragments } => Fate::Lost("ecn", fragments),
    }
}

#[derive(Default)]
struct Model {
    packets: HashMap<Key, Packet>,
    /// Fragments of packets that were given up, by source's last byte.
    late: HashMap<u8, u32>,
}

impl Model {
    fn expire(&mut self, now: Instant) {
        self.packets.retain(|key, packet| {
            let kept = now.since(packet.started) < LIMIT;
            if !kept {
                *self.late.entry(key.0).or_default() += u32::try_from(packet.pieces.len()).unwrap();
            }
            kept
        });
    }

    fn add(&mut self, now: Instant, piece: &Piece) -> Fate {
        let (len, end) = (piece.payload.len(), piece.end());
        let alone = piece.offset == 0 && !piece.more;
        if !piece.offset.is_multiple_of(8)
            || (piece.more && !len.is_multiple_of(8))
            || (len == 0 && !alone)
        {
            return Fate::Lost("malformed", 0);
        }
        if alone {
            return Fate::Whole(piece.payload.clone(), 1, piece.tos);
        }
        let packet = self.packets.entry(piece.key).or_insert(Packet {
            started: now,
            refused: false,
            pieces: Vec::new(),
        });
        if packet.refused {
            return Fate::Lost("refused", 0);
        }
        let held = &packet.pieces;
        let mixed = || {
            let seen: Vec<_> = held
                .iter()
                .chain([piece])
                .map(|piece| piece.tos & 3)
                .collect();
            seen.contains(&0) && seen.contains(&3)
        };
        let lost = if end > ROOM {
            Some("too big")
        } else if held.iter().any(|other| other.is_same(piece)) {
            return Fate::Lost("duplicate", 0);
        } else if held.iter().any(|other| other.clashes(piece)) {
            Some("overlap")
        } else {
            mixed().then_some("ecn")
        };
        if let Some(lost) = lost {
            packet.refused = true;
            return Fate::Lost(
                lost,
                u32::try_from(packet.pieces.drain(..).count()).unwrap(),
            );
        }
        packet.pieces.push(piece.clone());
        packet.pieces.sort_by_key(|piece| piece.offset);
        let (mut whole, mut marked) = (Vec::new(), 0);
        for piece in &packet.pieces {
            if piece.offset != whole.len() {
                return Fate::Held(1);
            }
            whole.extend(&piece.payload);
            marked |= u8::from(piece.tos & 3 == 3) * 3;
        }
        if packet.pieces.last().is_none_or(|last| last.more) {
            return Fate::Held(1);
        }
        let (count, tos) = (packet.pieces.len(), packet.pieces[0].tos | marked);
        self.packets.remove(&piece.key);
        Fate::Whole(whole, u32::try_from(count).unwrap(), tos)
    }
}

fn last_byte(source: IpAddr) -> u8 {
    match source {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// With a slot for every packet, it answers as the model does, and all fragments are somewhere.
    #[test]
    fn fragments_become_what_a_list_of_them_becomes(steps in steps(4)) {
        let mut table = Reassembly::new(64, ROOM, LIMIT);
        let (mut model, mut now) = (Model::default(), Instant::START);
        let (mut added, mut out) = (0u32, 0);
        let mut late: HashMap<u8, u32> = HashMap::new();
        for step in steps {
            let mut gone = |evicted: Evicted| {
                assert_eq!(evicted.why, Why::Late);
                *late.entry(last_byte(evicted.source)).or_default() += evicted.fragments;
            };
            match step {
                Step::Wait(time) => now = now + time,
                Step::Expire => table.expire(now, &mut gone),
                Step::Add(piece) => {
                    model.expire(now);
                    added += 1;
                    let fate = fate(table.add(now, &piece.fragment(), &mut gone));
                    out += match &fate {
                        Fate::Held(_) => 0,
                        Fate::Whole(_, fragments, _) => *fragments,
                        Fate::Lost(_, fragments) => 1 + fragments,
                    };
                    prop_assert_eq!(fate, model.add(now, &piece), "{:?}", piece);
                }
            }
            let late: u32 = late.values().sum();
            prop_assert_eq!(added, out + late + table.held());
        }
        now = now + LIMIT;
        model.expire(now);
        table.expire(now, &mut |evicted| {
            *late.entry(last_byte(evicted.source)).or_default() += evicted.fragments;
        });
        model.late.retain(|_, fragments| *fragments > 0);
        prop_assert_eq!(late, model.late);
        prop_assert_eq!(table.held(), 0);
    }

    /// With few slots packets are lost, and told of; what is whole is what was sent.
    #[test]
    fn with_few_slots_nothing_is_mixed_up_or_lost_count_of(
        slots in 1..8usize,
        steps in steps(0),
    ) {
        let mut table = Reassembly::new(slots, ROOM, LIMIT);
        let (mut now, mut added, mut out) = (Instant::START, 0u32, 0);
        for step in steps {
            match step {
                Step::Wait(time) => now = now + time,
                Step::Expire => table.expire(now, &mut |gone| out += gone.fragments),
                Step::Add(piece) => {
                    added += 1;
                    let held = table.add(now, &piece.fragment(), &mut |gone| out += gone.fragments);
                    match fate(held) {
                        Fate::Held(_) => {}
                        Fate::Lost(_, fragments) => out += 1 + fragments,
                        Fate::Whole(payload, fragments, _) => {
                            out += fragments;
                            prop_assert_eq!(&payload, &bytes(piece.key, 0, payload.len()));
                        }
                    }
                }
            }
            prop_assert_eq!(added, out + table.held());
        }
    }
}
