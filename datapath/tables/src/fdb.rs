//! The stations one worker has heard, and where.
//!
//! [`Fdb::learn`] on every frame that comes in, [`Fdb::lookup`] on every frame that goes on. Both
//! read memory that is mostly in no cache, so both come in two halves: [`Fdb::place`] only
//! computes, [`Fdb::touch`] asks for the memory, and [`Fdb::learn_at`] and [`Fdb::lookup_at`] find
//! it there. Compute a whole batch's places, then touch them all, then look up: in three loops, of
//! which the middle one is short enough for the core to have all its loads under way at once.

mod bucket;
mod station;

pub(crate) use station::LOCATION_BITS;
pub use station::{Location, Station};

use crate::Instant;
use crate::hash::{multiply, spread};
use crate::heard::{Heard, Ticks};
use alloc::boxed::Box;
use alloc::vec;
use bucket::{Bucket, WAYS};
use core::hint::black_box;
use core::time::Duration;

/// What [`Fdb::learn`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// The station was not known; now it is.
    New {
        /// Who had been silent too long and was written over; maybe the station itself, where it
        /// was before. Who counts stations by location counts this one down.
        replaced: Option<(Station, Location)>,
    },
    /// It was known, and is where it was.
    Known,
    /// It was known, and is somewhere else now.
    Moved {
        /// Where it was.
        from: Location,
    },
    /// It was not known, and there is no room for it.
    Full,
    /// It would have been new or moved, and the caller said no: nothing has changed.
    Refused,
}

/// What [`Fdb::learn_if`] asks its caller about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A station that is not known becomes known.
    New,
    /// A known station is somewhere else from now on.
    Moved {
        /// Where it is until then.
        from: Location,
    },
}

/// One station, as a report shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The station.
    pub station: Station,
    /// Where it was heard.
    pub location: Location,
    /// How long until it is forgotten, if it stays silent.
    pub remaining: Duration,
}

/// Where in one [`Fdb`] a station is, if it is there at all. Good for that table for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    station: Station,
    first: u32,
    second: u32,
}

impl Place {
    /// What a batch starts with, and nobody reads: it fits every table.
    const NOWHERE: Self = Self {
        station: Station::NOBODY,
        first: 0,
        second: 0,
    };

    /// The station that is sought there.
    #[inline]
    pub fn station(&self) -> Station {
        self.station
    }
}

/// Of ways, how many tenths are used when as many stations are known as the table was made for.
/// Above that, more than one newcomer in a thousand finds no room.
const LOAD_TENTHS: usize = 7;

/// Places that [`Fdb::lookup_batch`] keeps in flight.
const BATCH: usize = 32;

/// The stations one worker has heard, and where.
///
/// - Shape: buckets of three stations, one cache line each, made at start. A station lies in one
///   of the two buckets its hash names, by choice in the first: about one lookup in seven that
///   hits reads a second line, and every one that misses.
/// - Bound: the buckets. When a newcomer finds both of its buckets full, one of the six stations
///   there is moved to its own other bucket if that has room; a station that is still being heard
///   is never evicted, so a guest that invents addresses costs flooding, not another guest's
///   entry. Made for `n` stations it holds at least 0.99 `n`.
/// - Time: the caller's `now`, in ticks of 2^20 ns, for the first 18 years. Each station has its
///   own expiry: what was heard is known for the `idle` it was learned with, less at most a 64th
///   (so that a busy station's line is not written by every frame), and more by at most a tick.
/// - Owner: one worker. Nothing is shared, locked or atomic.
#[derive(Debug)]
pub struct Fdb {
    buckets: Box<[Bucket]>,
    seeds: [u64; 3],
    used: usize,
}

impl Fdb {
    /// An empty table for `stations` stations. `seed` is what a guest must not know to choose
    /// addresses that fall into the same buckets.
    pub fn new(stations: usize, seed: u64) -> Self {
        Self {
            buckets: vec![Bucket::EMPTY; Self::buckets_for(stations)].into_boxed_slice(),
            seeds: [seed ^ 0x243f_6a88_85a3_08d3, seed, !seed].map(spread),
            used: 0,
        }
    }

    /// Bytes of memory that a table for `stations` stations takes: about 31 a station.
    pub fn bytes_for(stations: usize) -> usize {
        size_of::<Self>() + Self::buckets_for(stations) * size_of::<Bucket>()
    }

    /// Bytes of memory that this table takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.buckets)
    }

    /// Ways that hold a station; those of silent ones that nobody has overwritten yet count.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no way holds a station.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Where `station` is, if it is known. Reads nothing but the seed.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // each half of a hash, scaled to below 32 bits
    pub fn place(&self, station: Station) -> Place {
        let [a, b, c] = self.seeds;
        let (low, high) = station.words();
        let hash = multiply(multiply(low ^ a, u64::from(high) ^ b), c);
        let buckets = self.buckets.len() as u64;
        let first = ((hash >> 32) * buckets) >> 32;
        let second = ((hash & 0xffff_ffff) * (buckets - 1)) >> 32;
        let second = second + u64::from(second >= first); // never the first one again
        Place {
            station,
            first: first as u32,
            second: second as u32,
        }
    }

    /// Brings the line that `place` most likely needs into the cache, and waits for nothing.
    #[inline]
    pub fn touch(&self, place: &Place) {
        black_box(self.buckets[place.first as usize].first_word());
    }

    /// Where `station` was heard, if it was lately.
    #[inline]
    pub fn lookup(&self, now: Instant, station: Station) -> Option<Location> {
        self.lookup_at(now, &self.place(station))
    }

    /// [`lookup`](Self::lookup) of the station that `place` is for.
    #[inline]
    pub fn lookup_at(&self, now: Instant, place: &Place) -> Option<Location> {
        let now = Ticks::at(now);
        let (bucket, way) = self.find(place)?;
        let heard = self.buckets[bucket].heard(way);
        heard.is_alive(now).then(|| heard.location())
    }

    /// [`lookup`](Self::lookup) of many, whose memory is asked for together. Answers as many as
    /// the shorter of the two slices has.
    pub fn lookup_batch(&self, now: Instant, stations: &[Station], found: &mut [Option<Location>]) {
        for (stations, found) in stations.chunks(BATCH).zip(found.chunks_mut(BATCH)) {
            // Three loops, not one: the loads of the second are all under way before the third
            // waits for any.
            let mut places = [Place::NOWHERE; BATCH];
            for (place, station) in places.iter_mut().zip(stations) {
                *place = self.place(*station);
            }
            let places = &places[..stations.len()];
            for place in places {
                self.touch(place);
            }
            for (found, place) in found.iter_mut().zip(places) {
                *found = self.lookup_at(now, place);
            }
        }
    }

    /// Notes that `station` was heard at `location`, and is to be known for `idle` if it is
    /// silent from now on.
    #[inline]
    pub fn learn(
        &mut self,
        now: Instant,
        station: Station,
        location: Location,
        idle: Duration,
    ) -> Learned {
        let place = self.place(station);
        self.learn_at(now, &place, location, idle)
    }

    /// [`learn`](Self::learn) of the station that `place` is for.
    #[inline]
    pub fn learn_at(
        &mut self,
        now: Instant,
        place: &Place,
        location: Location,
        idle: Duration,
    ) -> Learned {
        self.learn_if(now, place, location, idle, |_| true)
    }

    /// [`learn_at`](Self::learn_at), if `admit` agrees with what would change. It is asked at most
    /// once, about a station that is new and has room, or that has moved; if it says no, the
    /// answer is [`Refused`](Learned::Refused).
    #[inline]
    pub fn learn_if(
        &mut self,
        now: Instant,
        place: &Place,
        location: Location,
        idle: Duration,
        admit: impl FnOnce(Change) -> bool,
    ) -> Learned {
        let (now, until) = (Ticks::at(now), Ticks::after(now + idle));
        let heard = Heard::new(until, location);
        let Some((bucket, way)) = self.find(place) else {
            return self.settle(now, place, heard, admit);
        };
        let before = self.buckets[bucket].heard(way);
        if !before.is_alive(now) || before.location() != location {
            return self.change(now, (bucket, way), heard, admit);
        }
        if before.is_outdated(until, now) {
            self.buckets[bucket].put(way, place.station, heard);
        }
        Learned::Known
    }

    /// Where the station that `place` is for was heard, if that is too long ago and nobody was put in
    /// its place yet.
    pub fn silent(&self, now: Instant, place: &Place) -> Option<Location> {
        let (bucket, way) = self.find(place)?;
        let heard = self.buckets[bucket].heard(way);
        let silent = heard.is_used() && !heard.is_alive(Ticks::at(now));
        silent.then(|| heard.location())
    }

    /// Forgets all that was heard at `location`; says how many that were. Reads the whole table:
    /// not for the path.
    pub fn forget(&mut self, location: Location) -> usize {
        let before = self.used;
        for bucket in &mut self.buckets {
            for way in 0..WAYS {
                let heard = bucket.heard(way);
                if heard.is_used() && heard.location() == location {
                    bucket.clear(way);
                    self.used -= 1;
                }
            }
        }
        before - self.used
    }

    /// Forgets `station`; says whether it was there, if only as one long silent.
    pub fn forget_station(&mut self, station: Station) -> bool {
        let found = self.find(&self.place(station));
        let found = found.filter(|(bucket, way)| self.buckets[*bucket].heard(*way).is_used());
        if let Some((bucket, way)) = found {
            self.buckets[bucket].clear(way);
            self.used -= 1;
        }
        found.is_some()
    }

    /// Forgets, of `count` buckets from bucket `from` on, who has been silent too long and whom
    /// `keep` does not keep, and tells `gone` of each. Over the whole table in slices, between
    /// turns, it frees what nobody would ask for again.
    ///
    /// `keep` is asked about every other station, so it can be where stations are looked at one by
    /// one: whether the owner of their slot is still who it was.
    pub fn sweep(
        &mut self,
        now: Instant,
        from: usize,
        count: usize,
        mut keep: impl FnMut(Station, Location) -> bool,
        mut gone: impl FnMut(Station, Location),
    ) {
        let now = Ticks::at(now);
        let end = from.saturating_add(count).min(self.buckets.len());
        let slice = self.buckets.get_mut(from..end).unwrap_or_default();
        for bucket in slice {
            for way in 0..WAYS {
                let heard = bucket.heard(way);
                if !heard.is_used() {
                    continue;
                }
                let (station, location) = (bucket.station(way), heard.location());
                if heard.is_alive(now) && keep(station, location) {
                    continue;
                }
                bucket.clear(way);
                self.used -= 1;
                gone(station, location);
            }
        }
    }

    /// How many buckets there are, for [`entries`](Self::entries) and [`sweep`](Self::sweep).
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The stations that are known now, of `count` buckets from bucket `from` on: a report may be
    /// made in slices, between turns. A station that is moved between two slices may be in both or
    /// in neither.
    pub fn entries(
        &self,
        now: Instant,
        from: usize,
        count: usize,
    ) -> impl Iterator<Item = Entry> + '_ {
        let now = Ticks::at(now);
        let end = from.saturating_add(count).min(self.buckets.len());
        let slice = self.buckets.get(from..end).unwrap_or_default();
        let ways = slice
            .iter()
            .flat_map(|bucket| (0..WAYS).map(move |way| (bucket, way)));
        ways.filter_map(move |(bucket, way)| {
            let heard = bucket.heard(way);
            heard.is_alive(now).then(|| Entry {
                station: bucket.station(way),
                location: heard.location(),
                remaining: heard.remaining(now),
            })
        })
    }

    fn buckets_for(stations: usize) -> usize {
        // A small table has few buckets to even out its luck: four more are cheap.
        let buckets = (stations.saturating_mul(10)).div_ceil(WAYS * LOAD_TENTHS) + 4;
        buckets.min(u32::MAX as usize)
    }

    /// The way that has the station `place` is for, alive or not.
    #[inline]
    fn find(&self, place: &Place) -> Option<(usize, usize)> {
        let (first, second) = (place.first as usize, place.second as usize);
        if let Some(way) = self.buckets[first].find(place.station) {
            return Some((first, way));
        }
        let way = self.buckets[second].find(place.station)?;
        Some((second, way))
    }

    /// Writes what is new of a station that has a way.
    #[inline(never)]
    fn change(
        &mut self,
        now: Ticks,
        (bucket, way): (usize, usize),
        heard: Heard,
        admit: impl FnOnce(Change) -> bool,
    ) -> Learned {
        let (station, before) = self.buckets[bucket].get(way);
        let from = before.location();
        let change = if before.is_alive(now) {
            Change::Moved { from }
        } else {
            Change::New
        };
        if !admit(change) {
            return Learned::Refused;
        }
        let replaced = self.put(bucket, way, station, heard);
        match change {
            Change::New => Learned::New { replaced },
            Change::Moved { from } => Learned::Moved { from },
        }
    }

    /// Gives a station that is in neither of its buckets a way in one of them.
    #[inline(never)]
    fn settle(
        &mut self,
        now: Ticks,
        place: &Place,
        heard: Heard,
        admit: impl FnOnce(Change) -> bool,
    ) -> Learned {
        let pair = [place.first as usize, place.second as usize];
        let free = |bucket: usize| Some((bucket, self.buckets[bucket].free(now)?));
        let found = free(pair[0]).or_else(|| free(pair[1]));
        let room = found.map(|way| (way, None)).or_else(|| {
            let (way, to) = self.find_room(now, pair)?;
            Some((way, Some(to)))
        });
        let Some(((bucket, way), moves)) = room else {
            return Learned::Full;
        };
        if !admit(Change::New) {
            return Learned::Refused;
        }
        let mut replaced = None;
        if let Some((other, free)) = moves {
            let (station, heard) = self.buckets[bucket].get(way);
            replaced = self.put(other, free, station, heard);
            self.buckets[bucket].clear(way);
            self.used -= 1;
        }
        let here = self.put(bucket, way, place.station, heard);
        let replaced = replaced.or(here); // whose way was cleared is not there to be replaced
        Learned::New { replaced }
    }

    /// A way of two full buckets whose station could be in its own other bucket, and the way it
    /// would have there. Reads six lines at most.
    fn find_room(&self, now: Ticks, pair: [usize; 2]) -> Option<((usize, usize), (usize, usize))> {
        for bucket in pair {
            for way in 0..WAYS {
                let place = self.place(self.buckets[bucket].station(way));
                let other = if place.first as usize == bucket {
                    place.second as usize
                } else {
                    place.first as usize
                };
                if let Some(free) = self.buckets[other].free(now) {
                    return Some(((bucket, way), (other, free)));
                }
            }
        }
        None
    }

    /// Writes a way; says who was there and is so no more.
    #[inline]
    fn put(
        &mut self,
        bucket: usize,
        way: usize,
        station: Station,
        heard: Heard,
    ) -> Option<(Station, Location)> {
        let bucket = &mut self.buckets[bucket];
        let (who, before) = bucket.get(way);
        bucket.put(way, station, heard);
        self.used += usize::from(!before.is_used());
        before.is_used().then(|| (who, before.location()))
    }
}

#[cfg(test)]
mod tests;
