//! Stations that moved lately.

use core::time::Duration;
use tables::{Instant, Location, Station};

/// Stations that are watched at a time.
const WATCHED: usize = 64;

/// Moves that a station may make in [`WINDOW`]: a guest that is migrated makes one, two hosts
/// that share an address a few. Two stations with one address make one with each frame.
const MOVES: u8 = 5;

/// See [`MOVES`].
const WINDOW: Duration = Duration::from_secs(10);

/// How long a station that moved too often stays where it is.
const HELD: Duration = Duration::from_secs(30);

/// What may be done with a station that is heard elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It moves.
    Moves,
    /// It stays from now on, for [`HELD`].
    StaysFromNow,
    /// It stays.
    Stays,
}

/// Stations that moved lately, and how often.
///
/// - Shape: one place a station, by its address; who shares a place with another begins anew.
/// - Bound: [`WATCHED`]. Whoever lets many addresses move loses sight of each, but finds the
///   limits of its port.
#[derive(Debug)]
pub(crate) struct Moves([Option<Watched>; WATCHED]);

#[derive(Clone, Copy, Debug)]
struct Watched {
    station: Station,
    /// Where it was before it began to move.
    home: Location,
    since: Instant,
    moves: u8,
    held: Option<Instant>,
}

impl Moves {
    pub(super) fn new() -> Self {
        Self([None; WATCHED])
    }

    /// `station`, which is known to be at `from`, was heard at `to`: says whether it moves, and
    /// remembers that it did. Back to where it was before it began to move it always may: of two who
    /// have one address, the one who had it first keeps it.
    pub(crate) fn heard_elsewhere(
        &mut self,
        now: Instant,
        station: Station,
        (from, to): (Location, Location),
    ) -> Move {
        let [.., a, b] = station.mac();
        let place = &mut self.0[usize::from(a ^ b) % WATCHED];
        let watched = match place {
            Some(watched) if watched.station == station => watched,
            _ => place.insert(Watched {
                station,
                home: from,
                since: now,
                moves: 0,
                held: None,
            }),
        };
        let over = match watched.held {
            Some(until) => now >= until,
            None => now.since(watched.since) >= WINDOW,
        };
        if over {
            (watched.home, watched.since) = (from, now);
            (watched.moves, watched.held) = (0, None);
        } else if to == watched.home {
            return Move::Moves;
        } else if watched.held.is_some() {
            return Move::Stays;
        }
        if watched.moves == MOVES {
            watched.held = Some(now + HELD);
            return Move::StaysFromNow;
        }
        watched.moves += 1;
        Move::Moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use program::Vnet;

    fn port(slot: u16) -> Location {
        let generation = 0;
        Location::Port { slot, generation }
    }

    #[test]
    fn who_had_the_address_first_keeps_it() {
        let (mut moves, station) = (Moves::new(), Station::new(Vnet(1), [2, 0, 0, 0, 0, 1]));
        let (victim, thief) = (port(1), port(2));
        let now = Instant::START + Duration::from_secs(1);
        let mut at = victim;
        for _ in 0..100 {
            for (from, to) in [(victim, thief), (thief, victim)] {
                if at == from && moves.heard_elsewhere(now, station, (from, to)) == Move::Moves {
                    at = to;
                }
            }
            assert_eq!(at, victim);
        }
        let stolen = moves.heard_elsewhere(now, station, (victim, thief));
        assert_eq!(stolen, Move::Stays);
    }

    #[test]
    fn a_station_moves_a_few_times_and_is_then_held_for_a_while() {
        let (mut moves, station) = (Moves::new(), Station::new(Vnet(1), [2, 0, 0, 0, 0, 1]));
        let mut at = |seconds| {
            let now = Instant::START + Duration::from_secs(seconds);
            moves.heard_elsewhere(now, station, (port(1), port(2)))
        };
        for _ in 0..MOVES {
            assert_eq!(at(1), Move::Moves);
        }
        assert_eq!(
            (at(2), at(2), at(31)),
            (Move::StaysFromNow, Move::Stays, Move::Stays)
        );
        assert_eq!(at(33), Move::Moves);
    }

    #[test]
    fn who_moves_now_and_then_is_never_held() {
        let (mut moves, station) = (Moves::new(), Station::new(Vnet(1), [2, 0, 0, 0, 0, 1]));
        for tens in 0..100 {
            let now = Instant::START + Duration::from_secs(tens * 3);
            let answer = moves.heard_elsewhere(now, station, (port(1), port(2)));
            assert_eq!(answer, Move::Moves);
        }
    }
}
