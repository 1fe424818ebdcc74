//! Who counts the table's stations by what it answers, counts what is in it.

#![allow(clippy::unwrap_used)]

use program::Vnet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tables::{Change, Fdb, Instant, Learned, Location, Station};

/// How much later than promised a station may be forgotten.
const TICK: Duration = Duration::from_nanos(1 << 20);

#[derive(Clone, Debug)]
enum Step {
    Learn(Station, Location, Duration, bool),
    Sweep {
        from: usize,
        count: usize,
        unless: Option<Location>,
    },
    Wait(Duration),
}

fn station() -> impl Strategy<Value = Station> {
    let vnet = prop::sample::select(vec![0, 7, u32::MAX]);
    // With the station that is all zeros: no other looks like a way that was never used.
    (vnet, 0..16u8).prop_map(|(vnet, last)| Station::new(Vnet(vnet), [0, 0, 0, 0, 0, last]))
}

fn location() -> impl Strategy<Value = Location> {
    (any::<bool>(), 0..3u16).prop_map(|(port, slot)| {
        let generation = 1;
        if port {
            Location::Port { slot, generation }
        } else {
            Location::Peer { slot, generation }
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let idle = prop::sample::select(vec![1, 60, 300]).prop_map(Duration::from_secs);
    let wait = prop::sample::select(vec![1, 900, 5_000, 70_000]).prop_map(Duration::from_millis);
    prop_oneof![
        12 => (station(), location(), idle, prop::bool::weighted(0.8))
            .prop_map(|(station, location, idle, yes)| Step::Learn(station, location, idle, yes)),
        2 => (0..12usize, 0..6usize, prop::option::of(location()))
            .prop_map(|(from, count, unless)| Step::Sweep { from, count, unless }),
        3 => wait.prop_map(Step::Wait),
    ]
}

/// A table, and what is known of it from its answers alone.
struct Counted {
    fdb: Fdb,
    now: Instant,
    /// Who is in the table, silent or not, where, and until when for certain and at most.
    there: HashMap<Station, (Location, Instant, Instant)>,
}

impl Counted {
    fn learn(
        &mut self,
        (station, location, idle): (Station, Location, Duration),
        yes: bool,
    ) -> Result<(), TestCaseError> {
        let before = self.fdb.lookup(self.now, station);
        let alive = self.alive();
        let (mut asked, place) = (None, self.fdb.place(station));
        let learned = self
            .fdb
            .learn_if(self.now, &place, location, idle, |change| {
                asked = Some(change);
                yes
            });
        match before {
            None if learned == Learned::Full => prop_assert_eq!(asked, None),
            None => prop_assert_eq!(asked, Some(Change::New)),
            Some(at) if at == location => prop_assert_eq!(asked, None),
            Some(from) => prop_assert_eq!(asked, Some(Change::Moved { from })),
        }
        match (learned, asked) {
            (Learned::New { replaced }, Some(Change::New)) => {
                prop_assert!(yes && before.is_none());
                if let Some((who, at)) = replaced {
                    let gone = self.there.remove(&who);
                    let (was, sure, _) = gone.unwrap();
                    prop_assert_eq!(was, at, "it was there, and not told of before");
                    prop_assert!(self.now >= sure, "it was still being heard");
                }
            }
            (Learned::Known, None) => prop_assert_eq!(before, Some(location)),
            (Learned::Moved { from }, Some(Change::Moved { .. })) => {
                prop_assert!(yes && before == Some(from));
            }
            (Learned::Full, None) => prop_assert_eq!(self.alive(), alive),
            (Learned::Refused, Some(_)) => {
                prop_assert!(!yes);
                prop_assert_eq!(self.alive(), alive);
                return Ok(());
            }
            wrong => prop_assert!(false, "{wrong:?}, and it was at {before:?}"),
        }
        if learned != Learned::Full {
            let sure = self.now + idle / 64 * 63;
            let at_most = self.now + idle + TICK;
            self.there.insert(station, (location, sure, at_most));
        }
        Ok(())
    }

    fn sweep(
        &mut self,
        from: usize,
        count: usize,
        unless: Option<Location>,
    ) -> Result<(), TestCaseError> {
        let mut gone = Vec::new();
        let keep = |_, location| Some(location) != unless;
        self.fdb
            .sweep(self.now, from, count, keep, |station, location| {
                gone.push((station, location));
            });
        for (station, location) in gone {
            let (was, sure, _) = self.there.remove(&station).unwrap();
            prop_assert_eq!(was, location);
            prop_assert!(Some(location) == unless || self.now >= sure);
        }
        let end = (from + count).min(self.fdb.buckets());
        if (from, end) == (0, self.fdb.buckets()) {
            for (location, _, at_most) in self.there.values() {
                prop_assert!(Some(*location) != unless && self.now < *at_most);
            }
        }
        Ok(())
    }

    /// All that is alive, as a report would show it: where, and for how long.
    fn alive(&self) -> Vec<tables::fdb::Entry> {
        self.fdb.entries(self.now, 0, usize::MAX).collect()
    }
}

proptest! {
    #[test]
    fn what_is_counted_is_what_is_there(
        seed in any::<u64>(),
        room in 0..40usize,
        steps in vec(step(), 1..400),
    ) {
        let (fdb, now) = (Fdb::new(room, seed), Instant::START);
        let mut counted = Counted { fdb, now, there: HashMap::new() };
        for step in steps {
            match step {
                Step::Learn(station, location, idle, yes) => {
                    counted.learn((station, location, idle), yes)?;
                }
                Step::Sweep { from, count, unless } => counted.sweep(from, count, unless)?,
                Step::Wait(time) => counted.now = counted.now + time,
            }
            prop_assert_eq!(counted.there.len(), counted.fdb.len());
            for entry in counted.alive() {
                prop_assert_eq!(counted.there[&entry.station].0, entry.location);
            }
        }
        counted.sweep(0, usize::MAX, None)?;
        let silent: HashSet<_> = counted.there.keys().copied().collect();
        let alive: HashSet<_> = counted.alive().iter().map(|entry| entry.station).collect();
        prop_assert_eq!(silent, alive, "after a sweep only those are there who are heard");
        let (mut left, fdb) = (counted.there, &mut counted.fdb);
        fdb.sweep(counted.now, 0, usize::MAX, |_, _| false, |station, location| {
            assert_eq!(left.remove(&station).unwrap().0, location);
        });
        prop_assert!(left.is_empty() && fdb.is_empty());
    }
}
