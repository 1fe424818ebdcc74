//! What one table does, step by step. `tests/fdb.rs` has it beside a map.

use super::*;
use program::Vnet;
use std::collections::BTreeSet;
use std::vec::Vec;

const HERE: Location = Location::Port {
    slot: 1,
    generation: 0,
};
const THERE: Location = Location::Peer {
    slot: 1,
    generation: 0,
};
const IDLE: Duration = Duration::from_mins(5);
const NEW: Learned = Learned::New { replaced: None };

fn station(vnet: u32, number: u32) -> Station {
    let [a, b, c, d] = number.to_be_bytes();
    Station::new(Vnet(vnet), [0x02, 0, a, b, c, d])
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

#[test]
fn a_station_is_new_then_known_then_moved() {
    let mut fdb = Fdb::new(10, 7);
    let (a, now) = (station(1, 1), Instant::START);
    assert_eq!(fdb.lookup(now, a), None);
    assert_eq!(fdb.learn(now, a, HERE, IDLE), NEW);
    assert_eq!(fdb.learn(now, a, HERE, IDLE), Learned::Known);
    assert_eq!(
        fdb.learn(now, a, THERE, IDLE),
        Learned::Moved { from: HERE }
    );
    assert_eq!(fdb.lookup(now, a), Some(THERE));
    assert_eq!(fdb.len(), 1);
}

#[test]
fn one_address_in_two_networks_is_two_stations() {
    let mut fdb = Fdb::new(10, 7);
    let now = Instant::START;
    for vnet in [0, 1, 0x1_0000, u32::MAX] {
        assert_eq!(fdb.learn(now, station(vnet, 1), HERE, IDLE), NEW);
    }
    assert_eq!(
        fdb.learn(now, station(1, 1), THERE, IDLE),
        Learned::Moved { from: HERE }
    );
    assert_eq!(fdb.lookup(now, station(0x1_0000, 1)), Some(HERE));
}

#[test]
fn a_silent_station_is_forgotten_and_its_way_is_free() {
    let mut fdb = Fdb::new(10, 7);
    let a = station(1, 1);
    fdb.learn(at(0), a, HERE, IDLE);
    assert_eq!(fdb.lookup(at(300), a), Some(HERE));
    assert_eq!(fdb.lookup(at(301), a), None);
    let replaced = Some((a, HERE));
    assert_eq!(
        fdb.learn(at(301), a, THERE, IDLE),
        Learned::New { replaced }
    );
    assert_eq!(fdb.len(), 1, "in the way it had");
}

#[test]
fn a_busy_station_is_rarely_written() {
    let mut fdb = Fdb::new(10, 7);
    let a = station(1, 1);
    fdb.learn(at(0), a, HERE, IDLE);
    let lines = |fdb: &Fdb| {
        let heard = fdb
            .buckets
            .iter()
            .map(|bucket| [0, 1, 2].map(|way| bucket.heard(way)));
        heard.collect::<Vec<_>>()
    };
    let before = lines(&fdb);
    assert_eq!(fdb.learn(at(4), a, HERE, IDLE), Learned::Known);
    assert_eq!(lines(&fdb), before, "4 s are less than a 64th of 300 s");
    assert_eq!(fdb.learn(at(5), a, HERE, IDLE), Learned::Known);
    assert_ne!(lines(&fdb), before);
    assert_eq!(fdb.lookup(at(305), a), Some(HERE));
}

#[test]
fn a_shorter_idle_counts_at_once() {
    let mut fdb = Fdb::new(10, 7);
    let a = station(1, 1);
    fdb.learn(at(0), a, HERE, IDLE);
    fdb.learn(at(0), a, HERE, Duration::from_secs(10));
    assert_eq!(fdb.lookup(at(10), a), Some(HERE));
    assert_eq!(fdb.lookup(at(11), a), None);
}

#[test]
fn invented_addresses_do_not_evict_a_station() {
    let mut fdb = Fdb::new(100, 7);
    let honest: Vec<_> = (0..50).map(|n| station(1, n)).collect();
    for victim in &honest {
        assert_eq!(fdb.learn(at(0), *victim, HERE, IDLE), NEW);
    }
    let mut refused = 0;
    for n in 0..100_000 {
        let invented = station(2, n);
        if fdb.learn(at(1), invented, THERE, IDLE) == Learned::Full {
            refused += 1;
            assert_eq!(fdb.lookup(at(1), invented), None);
        }
    }
    assert!(refused > 90_000, "the table is bounded: {refused} refused");
    for victim in &honest {
        assert_eq!(fdb.lookup(at(300), *victim), Some(HERE));
    }
    // Once the flood is over and forgotten, there is room again.
    for n in 100..150 {
        let learned = fdb.learn(at(400), station(1, n), HERE, IDLE);
        let Learned::New { replaced } = learned else {
            panic!("{learned:?}");
        };
        assert!(replaced.is_none_or(|(silent, _)| silent != station(1, n)));
    }
}

#[test]
fn what_is_not_admitted_changes_nothing() {
    let mut fdb = Fdb::new(10, 7);
    let (a, now) = (station(1, 1), Instant::START);
    let place = fdb.place(a);
    let refuse = |expected| {
        move |change| {
            assert_eq!(change, expected);
            false
        }
    };
    let refused = fdb.learn_if(now, &place, HERE, IDLE, refuse(Change::New));
    assert_eq!((refused, fdb.len()), (Learned::Refused, 0));
    fdb.learn(now, a, HERE, IDLE);
    let moved = Change::Moved { from: HERE };
    let refused = fdb.learn_if(now, &place, THERE, IDLE, refuse(moved));
    assert_eq!(
        (refused, fdb.lookup(now, a)),
        (Learned::Refused, Some(HERE))
    );
    let known = fdb.learn_if(now, &place, HERE, IDLE, |_| panic!("nothing changes"));
    assert_eq!(known, Learned::Known);
}

#[test]
fn nobody_is_asked_about_whom_there_is_no_room_for() {
    let mut fdb = Fdb::new(0, 7);
    let mut asked = 0;
    for n in 0..100 {
        let place = fdb.place(station(1, n));
        let learned = fdb.learn_if(at(0), &place, HERE, IDLE, |_| {
            asked += 1;
            true
        });
        assert!(matches!(learned, NEW | Learned::Full));
    }
    assert!((1..=12).contains(&asked), "four buckets of three: {asked}");
    assert_eq!(asked, fdb.len());
}

#[test]
fn a_sweep_forgets_the_silent_and_those_that_are_not_kept() {
    let mut fdb = Fdb::new(500, 7);
    for n in 0..300 {
        let location = if n % 3 == 0 { THERE } else { HERE };
        fdb.learn(at(u64::from(n)), station(1, n), location, IDLE);
    }
    let (mut silent, mut withdrawn) = (0, 0);
    for from in (0..fdb.buckets()).step_by(16) {
        let keep = |_, location| location == HERE;
        fdb.sweep(at(400), from, 16, keep, |station, location| {
            let early = station.mac()[5] < 100 && station.mac()[4] == 0;
            silent += u32::from(early);
            withdrawn += u32::from(!early && location == THERE);
        });
    }
    assert_eq!((silent, withdrawn), (100, 66));
    assert_eq!(fdb.len(), 300 - 166);
    fdb.sweep(
        at(400),
        usize::MAX,
        16,
        |_, _| false,
        |_, _| panic!("there is no such bucket"),
    );
}

#[test]
fn it_holds_what_it_was_made_for() {
    for (stations, seeds) in [(10, 200), (100, 50), (1_000, 20), (30_000, 2)] {
        for seed in 0..seeds {
            let mut fdb = Fdb::new(stations, seed);
            let vnet = |n: u32| if seed % 2 == 0 { 5001 } else { n % 97 };
            let refused = (0..u32::try_from(stations).unwrap())
                .filter(|n| fdb.learn(at(0), station(vnet(*n), *n), HERE, IDLE) == Learned::Full)
                .count();
            assert!(
                refused * 100 <= stations,
                "{refused} of {stations} refused with seed {seed}"
            );
            assert_eq!(fdb.len(), stations - refused);
            assert_eq!(fdb.bytes(), Fdb::bytes_for(stations));
        }
    }
}

#[test]
fn what_was_at_a_location_is_forgotten_with_it() {
    let mut fdb = Fdb::new(1_000, 7);
    for n in 0..600 {
        let location = if n % 3 == 0 { THERE } else { HERE };
        fdb.learn(at(0), station(1, n), location, IDLE);
    }
    assert_eq!(fdb.forget(THERE), 200);
    assert_eq!((fdb.len(), fdb.forget(THERE)), (400, 0));
    assert_eq!(fdb.lookup(at(0), station(1, 0)), None);
    assert_eq!(fdb.lookup(at(0), station(1, 1)), Some(HERE));
    assert!(fdb.forget_station(station(1, 1)));
    assert!(!fdb.forget_station(station(1, 1)));
    assert_eq!((fdb.len(), fdb.is_empty()), (399, false));
}

#[test]
fn nobody_is_not_a_station_that_an_empty_table_knows() {
    let mut fdb = Fdb::new(10, 7);
    let nobody = Station::new(Vnet(0), [0; 6]);
    assert_eq!(fdb.lookup(at(0), nobody), None);
    assert!(!fdb.forget_station(nobody));
    assert_eq!(fdb.learn(at(0), nobody, HERE, IDLE), NEW);
    assert_eq!((fdb.lookup(at(0), nobody), fdb.len()), (Some(HERE), 1));
}

#[test]
fn a_report_in_slices_shows_each_station_once() {
    let mut fdb = Fdb::new(500, 7);
    for n in 0..300 {
        fdb.learn(at(u64::from(n)), station(1, n), HERE, IDLE);
    }
    let now = at(400); // those heard before 100 s are forgotten
    let slices = (0..fdb.buckets()).step_by(16);
    let entries: Vec<_> = slices.flat_map(|from| fdb.entries(now, from, 16)).collect();
    let shown: BTreeSet<_> = entries.iter().map(|entry| entry.station).collect();
    assert_eq!((entries.len(), shown.len()), (200, 200));
    for entry in entries {
        assert_eq!(entry.location, HERE);
        assert!(entry.remaining <= IDLE && shown.contains(&entry.station));
    }
    assert_eq!(fdb.entries(now, usize::MAX, 16).count(), 0);
}

#[test]
fn a_batch_is_answered_as_one_by_one() {
    let mut fdb = Fdb::new(200, 7);
    let stations: Vec<_> = (0..100).map(|n| station(1, n)).collect();
    for known in stations.iter().step_by(2) {
        fdb.learn(at(0), *known, HERE, IDLE);
    }
    let mut found = [Some(THERE); 100];
    fdb.lookup_batch(at(1), &stations, &mut found);
    for (station, found) in stations.iter().zip(found) {
        assert_eq!(found, fdb.lookup(at(1), *station));
    }
}

#[test]
fn after_eighteen_years_stations_stay() {
    let mut fdb = Fdb::new(10, 7);
    let (late, a) = (Instant::from_nanos(u64::MAX), station(1, 1));
    assert_eq!(fdb.learn(late, a, HERE, IDLE), NEW);
    assert_eq!(fdb.learn(late, a, HERE, IDLE), Learned::Known);
    assert_eq!(fdb.lookup(late, a), Some(HERE));
}
