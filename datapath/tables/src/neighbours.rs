//! Which station has an IP address, and where that was heard.
//!
//! What ARP and neighbour discovery tell is noted with [`Neighbours::learn`], so that the next who
//! asks can be answered here (RFC 826, RFC 4861) and the question need not go to every host.
//! [`Neighbours::lookup`] answers; whoever gave the answer may have gone since, so ask where the
//! station is before relying on it.

mod bucket;

use crate::hash::{multiply, spread};
use crate::heard::{Heard, Ticks};
use crate::{Instant, Location};
use alloc::boxed::Box;
use alloc::vec;
use bucket::{Bucket, Key, WAYS, Way};
use core::net::IpAddr;
use core::time::Duration;
use program::Vnet;
use wire::MacAddr;

/// An address, whose it is, and where that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The network that the address is in.
    pub vnet: Vnet,
    /// The address.
    pub address: IpAddr,
    /// The station that has it.
    pub mac: MacAddr,
    /// Behind which port or peer the station said so.
    pub location: Location,
}

/// What [`Neighbours::learn`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Nobody was known to have the address; now someone is.
    New {
        /// What had not been heard for too long and was written over; maybe the address itself, as
        /// it was before. Who counts addresses by location counts this one down.
        replaced: Option<Neighbour>,
    },
    /// It was known, and nothing has changed.
    Known,
    /// Another station has it now, or the same one somewhere else.
    Changed {
        /// The station that had it.
        from: MacAddr,
        /// Where that was.
        at: Location,
    },
    /// It was not known, and there is no room for it.
    Full,
    /// It would have been new or changed, and the caller said no: nothing has changed.
    Refused,
}

/// What [`Neighbours::learn_if`] asks its caller about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An address that nobody was known to have becomes known.
    New,
    /// Another station has it from now on, or the same one somewhere else.
    Changed {
        /// The station that has it until then.
        from: MacAddr,
        /// Where that is.
        at: Location,
    },
}

/// One address, as a report shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address and its station.
    pub neighbour: Neighbour,
    /// How long until it is forgotten, if nobody says it again.
    pub remaining: Duration,
}

/// Of ways, how many tenths are used when as many addresses are known as the table was made for.
const LOAD_TENTHS: usize = 7;

/// Which station has an IP address, and where that was heard.
///
/// - Shape: buckets of four addresses, 160 bytes each, made at start. An address lies in one of the
///   two buckets its hash names: a newcomer in that of the two that has more room.
/// - Bound: the buckets. A newcomer that finds both full is told so; what is still being heard is
///   never evicted. Made for `n` addresses it holds at least 0.99 `n`.
/// - Time: the caller's `now`, in ticks of 2^20 ns, for the first 18 years. What was heard is known
///   for the `idle` it was learned with, less at most a 64th, and more by at most a tick.
/// - Owner: one worker. Nothing is shared, locked or atomic.
#[derive(Debug)]
pub struct Neighbours {
    buckets: Box<[Bucket]>,
    seeds: [u64; 4],
    used: usize,
}

impl Neighbours {
    /// An empty table for `room` addresses. `seed` is what a guest must not know to choose
    /// addresses that fall into the same buckets.
    pub fn new(room: usize, seed: u64) -> Self {
        let seeds = [
            seed ^ 0x243f_6a88_85a3_08d3,
            seed,
            !seed,
            seed.rotate_left(32),
        ];
        Self {
            buckets: vec![Bucket::EMPTY; Self::buckets_for(room)].into_boxed_slice(),
            seeds: seeds.map(spread),
            used: 0,
        }
    }

    /// Bytes of memory that a table for `room` addresses takes: about 58 an address.
    pub fn bytes_for(room: usize) -> usize {
        size_of::<Self>() + Self::buckets_for(room) * size_of::<Bucket>()
    }

    /// Bytes of memory that this table takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.buckets)
    }

    /// Ways that hold an address; those not heard for too long that nobody has overwritten yet
    /// count.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no way holds an address.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The station that has `address` in `vnet`, and where it said so, if it did lately.
    pub fn lookup(&self, now: Instant, vnet: Vnet, address: IpAddr) -> Option<(MacAddr, Location)> {
        let key = Key::new(vnet, address);
        let (bucket, way) = self.find(&key, self.pair(&key))?;
        let Way { heard, mac, .. } = self.buckets[bucket].0[way];
        heard
            .is_alive(Ticks::at(now))
            .then(|| (mac, heard.location()))
    }

    /// Notes that `mac` has `address` in `vnet` and said so at `location`; that is to be known for
    /// `idle` if it is not said again.
    pub fn learn(
        &mut self,
        now: Instant,
        vnet: Vnet,
        address: IpAddr,
        mac: MacAddr,
        location: Location,
        idle: Duration,
    ) -> Noted {
        let neighbour = Neighbour {
            vnet,
            address,
            mac,
            location,
        };
        self.learn_if(now, &neighbour, idle, |_| true)
    }

    /// [`learn`](Self::learn), if `admit` agrees with what would change. It is asked at most once,
    /// about an address that is new and has room, or that has changed; if it says no, the answer
    /// is [`Refused`](Noted::Refused).
    pub fn learn_if(
        &mut self,
        now: Instant,
        neighbour: &Neighbour,
        idle: Duration,
        admit: impl FnOnce(Change) -> bool,
    ) -> Noted {
        let (now, until) = (Ticks::at(now), Ticks::after(now + idle));
        let key = Key::new(neighbour.vnet, neighbour.address);
        let heard = Heard::new(until, neighbour.location);
        let (pair, new) = (self.pair(&key), Way::new(key, neighbour.mac, heard));
        let found = self.find(&key, pair);
        let before = found.map(|(bucket, way)| self.buckets[bucket].0[way]);
        let alive = before.filter(|way| way.heard.is_alive(now));
        // Its own old way first: it must not be in two.
        let Some((bucket, way)) = found.or_else(|| self.free(now, pair)) else {
            return Noted::Full;
        };
        let Some(before) = alive else {
            if !admit(Change::New) {
                return Noted::Refused;
            }
            let replaced = self.put(bucket, way, new);
            return Noted::New { replaced };
        };
        let (from, at) = (before.mac, before.heard.location());
        if (from, at) != (neighbour.mac, neighbour.location) {
            if !admit(Change::Changed { from, at }) {
                return Noted::Refused;
            }
            self.put(bucket, way, new);
            return Noted::Changed { from, at };
        }
        if before.heard.is_outdated(until, now) {
            self.put(bucket, way, new);
        }
        Noted::Known
    }

    /// Forgets `address` in `vnet`; says what was there, if only long not heard.
    pub fn forget(&mut self, vnet: Vnet, address: IpAddr) -> Option<Neighbour> {
        let key = Key::new(vnet, address);
        let (bucket, way) = self.find(&key, self.pair(&key))?;
        self.put(bucket, way, Way::FREE)
    }

    /// Forgets, of `count` buckets from bucket `from` on, what was not heard for too long and what
    /// `keep` does not keep, and tells `gone` of each. Over the whole table in slices, between
    /// turns, it frees what nobody would ask for again.
    pub fn sweep(
        &mut self,
        now: Instant,
        from: usize,
        count: usize,
        mut keep: impl FnMut(&Neighbour) -> bool,
        mut gone: impl FnMut(&Neighbour),
    ) {
        let now = Ticks::at(now);
        let end = from.saturating_add(count).min(self.buckets.len());
        let slice = self.buckets.get_mut(from..end).unwrap_or_default();
        for way in slice.iter_mut().flat_map(|bucket| &mut bucket.0) {
            let Some(neighbour) = way.neighbour() else {
                continue;
            };
            if way.heard.is_alive(now) && keep(&neighbour) {
                continue;
            }
            *way = Way::FREE;
            self.used -= 1;
            gone(&neighbour);
        }
    }

    /// How many buckets there are, for [`entries`](Self::entries) and [`sweep`](Self::sweep).
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The addresses that are known now, of `count` buckets from bucket `from` on: a report may be
    /// made in slices, between turns.
    pub fn entries(
        &self,
        now: Instant,
        from: usize,
        count: usize,
    ) -> impl Iterator<Item = Entry> + '_ {
        let now = Ticks::at(now);
        let end = from.saturating_add(count).min(self.buckets.len());
        let slice = self.buckets.get(from..end).unwrap_or_default();
        let alive = move |way: &&Way| way.heard.is_alive(now);
        let ways = slice.iter().flat_map(|bucket| &bucket.0).filter(alive);
        ways.filter_map(move |way| {
            Some(Entry {
                neighbour: way.neighbour()?,
                remaining: way.heard.remaining(now),
            })
        })
    }

    fn buckets_for(room: usize) -> usize {
        // A small table has few buckets to even out its luck: four more are cheap.
        let buckets = (room.saturating_mul(10)).div_ceil(WAYS * LOAD_TENTHS) + 4;
        buckets.min(u32::MAX as usize)
    }

    /// The two buckets an address may be in.
    #[allow(clippy::cast_possible_truncation)] // each half of a hash, scaled to below 32 bits
    fn pair(&self, key: &Key) -> [usize; 2] {
        let [a, b, c, d] = self.seeds;
        let address = multiply(key.low ^ a, key.high ^ b);
        let hash = multiply(address ^ c, key.vnet ^ d);
        let buckets = self.buckets.len() as u64;
        let first = ((hash >> 32) * buckets) >> 32;
        let second = ((hash & 0xffff_ffff) * (buckets - 1)) >> 32;
        let second = second + u64::from(second >= first); // never the first one again
        [first as usize, second as usize]
    }

    /// The way that has an address, heard lately or not.
    fn find(&self, key: &Key, pair: [usize; 2]) -> Option<(usize, usize)> {
        let mut ways = pair
            .into_iter()
            .map(|bucket| Some((bucket, self.buckets[bucket].find(key)?)));
        ways.find_map(|way| way)
    }

    /// A way for a newcomer, in the bucket that has more of them.
    fn free(&self, now: Ticks, [first, second]: [usize; 2]) -> Option<(usize, usize)> {
        let room = |bucket: usize| self.buckets[bucket].free(now);
        match (room(first), room(second)) {
            (Some((_, here)), Some((way, there))) if there > here => Some((second, way)),
            (Some((way, _)), _) => Some((first, way)),
            (None, there) => there.map(|(way, _)| (second, way)),
        }
    }

    /// Writes a way; says who was there and is so no more.
    fn put(&mut self, bucket: usize, way: usize, new: Way) -> Option<Neighbour> {
        let way = &mut self.buckets[bucket].0[way];
        let before = way.neighbour();
        self.used += usize::from(new.heard.is_used());
        self.used -= usize::from(before.is_some());
        *way = new;
        before
    }
}

#[cfg(test)]
mod tests;
