//! The stations' table beside a map with room for everything.

use program::Vnet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;
use tables::{Fdb, Instant, Learned, Location, Station};

/// How much later than promised a station may be forgotten.
const TICK: Duration = Duration::from_nanos(1 << 20);

#[derive(Clone, Debug)]
enum Step {
    Learn(Station, Location, Duration),
    Lookup(Station),
    ForgetStation(Station),
    Forget(Location),
    Wait(Duration),
}

/// What a map knows: where, when, and for how long.
type Map = HashMap<Station, (Location, Instant, Duration)>;

/// Whether a station that was heard then must be, may be, or may not be known now.
fn must(now: Instant, heard: Instant, idle: Duration) -> Option<bool> {
    let silent = now.since(heard);
    if silent + idle / 64 <= idle {
        Some(true)
    } else if silent > idle + TICK {
        Some(false)
    } else {
        None
    }
}

fn station() -> impl Strategy<Value = Station> {
    let vnet = prop::sample::select(vec![0, 1, 0x1_0000, u32::MAX]);
    (vnet, 0..12u8).prop_map(|(vnet, last)| Station::new(Vnet(vnet), [0x02, 0, 0, 0, 0, last]))
}

fn location() -> impl Strategy<Value = Location> {
    (any::<bool>(), 0..3u16, 0..2u8).prop_map(|(port, slot, generation)| {
        if port {
            Location::Port { slot, generation }
        } else {
            Location::Peer { slot, generation }
        }
    })
}

fn idle() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![1, 60, 300, 1_000_000]).prop_map(Duration::from_secs)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (station(), location(), idle()).prop_map(|(s, l, i)| Step::Learn(s, l, i)),
        4 => station().prop_map(Step::Lookup),
        1 => station().prop_map(Step::ForgetStation),
        1 => location().prop_map(Step::Forget),
        4 => prop::sample::select(vec![1, 900, 5_000, 70_000, 400_000])
            .prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
    ]
}

/// Learns in both, and compares what the table says it did with what the map knew.
fn learn_in_both(
    fdb: &mut Fdb,
    map: &mut Map,
    now: Instant,
    (station, location, idle): (Station, Location, Duration),
) -> Result<(), TestCaseError> {
    let before = map
        .get(&station)
        .map(|(at, heard, idle)| (*at, must(now, *heard, *idle)));
    let learned = fdb.learn(now, station, location, idle);
    match (learned, before) {
        (Learned::Full, Some((_, Some(true)))) => prop_assert!(false, "a known one was refused"),
        (Learned::New { .. }, Some((_, Some(true)))) => {
            prop_assert!(false, "a known one was evicted");
        }
        (Learned::Full | Learned::New { .. }, _) => {}
        (Learned::Known, Some((at, Some(true) | None))) => prop_assert_eq!(at, location),
        (Learned::Moved { from }, Some((at, Some(true) | None))) => {
            prop_assert_eq!(at, from);
            prop_assert_ne!(from, location);
        }
        (learned, before) => prop_assert!(false, "{learned:?}, but the map had {before:?}"),
    }
    if learned == Learned::Full {
        map.remove(&station);
    } else {
        map.insert(station, (location, now, idle));
        prop_assert_eq!(fdb.lookup(now, station), Some(location));
    }
    Ok(())
}

fn same(fdb: &Fdb, map: &Map, now: Instant, station: Station) -> Result<(), TestCaseError> {
    let known = map
        .get(&station)
        .map(|(at, heard, idle)| (*at, must(now, *heard, *idle)));
    let found = fdb.lookup(now, station);
    match known {
        Some((at, Some(true))) => prop_assert_eq!(found, Some(at)),
        Some((at, None)) => prop_assert!(found.is_none() || found == Some(at)),
        Some((_, Some(false))) | None => prop_assert_eq!(found, None),
    }
    Ok(())
}

proptest! {
    /// Beside a map with room for everything, it may know less; never otherwise.
    #[test]
    fn knows_what_a_map_knows_or_says_full(
        seed in any::<u64>(),
        room in 0..40usize,
        steps in vec(step(), 1..400),
    ) {
        let mut fdb = Fdb::new(room, seed);
        let (mut map, mut now) = (Map::new(), Instant::START);
        for step in steps {
            match step {
                Step::Learn(station, location, idle) => {
                    learn_in_both(&mut fdb, &mut map, now, (station, location, idle))?;
                }
                Step::Lookup(station) => same(&fdb, &map, now, station)?,
                Step::ForgetStation(station) => {
                    fdb.forget_station(station);
                    map.remove(&station);
                }
                Step::Forget(location) => {
                    fdb.forget(location);
                    map.retain(|_, (at, ..)| *at != location);
                }
                Step::Wait(time) => now = now + time,
            }
        }
        for station in map.keys() {
            same(&fdb, &map, now, *station)?;
        }
        let entries: Vec<_> = fdb.entries(now, 0, fdb.buckets()).collect();
        prop_assert!(entries.len() <= fdb.len());
        for entry in entries {
            prop_assert_eq!(fdb.lookup(now, entry.station), Some(entry.location));
            prop_assert!(map.contains_key(&entry.station));
            prop_assert!(fdb.lookup(now + entry.remaining + TICK, entry.station).is_none());
        }
    }

    /// The same calls give the same answers; another seed gives other buckets.
    #[test]
    fn a_seed_is_all_the_chance_there_is(seed in any::<u64>(), stations in vec(station(), 1..60)) {
        let here = Location::Port { slot: 0, generation: 0 };
        let told = |seed| {
            let mut fdb = Fdb::new(0, seed);
            let learn = |s: &Station| fdb.learn(Instant::START, *s, here, Duration::from_mins(1));
            let answers: Vec<_> = stations.iter().map(learn).collect();
            let places: Vec<_> = stations.iter().map(|s| fdb.place(*s)).collect();
            (answers, places)
        };
        prop_assert_eq!(told(seed), told(seed));
    }
}

#[test]
fn stations_of_one_seed_are_spread_otherwise_by_another() {
    let places = |seed| {
        let fdb = Fdb::new(1_000, seed);
        let station = |n: u8| Station::new(Vnet(1), [2, 0, 0, 0, 0, n]);
        (0..=255).map(|n| fdb.place(station(n))).collect::<Vec<_>>()
    };
    let (one, other) = (places(1), places(2));
    let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(same < 8, "{same} of 256 stations have the same buckets");
}
