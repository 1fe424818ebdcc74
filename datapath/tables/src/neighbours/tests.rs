//! What the table does, step by step. `tests/neighbours.rs` has it beside a map.

use super::*;
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
const IDLE: Duration = Duration::from_mins(1);
const NEW: Noted = Noted::New { replaced: None };
const A: MacAddr = [2, 0, 0, 0, 0, 0xa];
const B: MacAddr = [2, 0, 0, 0, 0, 0xb];
const NET: Vnet = Vnet(5001);

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

fn v4(number: u32) -> IpAddr {
    IpAddr::V4((0x0a00_0000 | number).into())
}

fn v6(number: u32) -> IpAddr {
    IpAddr::V6((0xfd00 << 112 | u128::from(number)).into())
}

#[test]
fn an_address_is_new_then_known_then_another_stations() {
    let mut table = Neighbours::new(10, 7);
    let mac = |table: &Neighbours| table.lookup(at(0), NET, v4(1));
    assert_eq!(mac(&table), None);
    assert_eq!(table.learn(at(0), NET, v4(1), A, HERE, IDLE), NEW);
    assert_eq!(table.learn(at(0), NET, v4(1), A, HERE, IDLE), Noted::Known);
    assert_eq!(mac(&table), Some((A, HERE)));
    let changed = |from, at| Noted::Changed { from, at };
    let noted = table.learn(at(0), NET, v4(1), B, HERE, IDLE);
    assert_eq!(noted, changed(A, HERE));
    let noted = table.learn(at(0), NET, v4(1), B, THERE, IDLE);
    assert_eq!(noted, changed(B, HERE), "the same station elsewhere");
    assert_eq!((mac(&table), table.len()), (Some((B, THERE)), 1));
}

#[test]
fn an_address_of_another_network_or_family_is_another_one() {
    let mut table = Neighbours::new(20, 7);
    let mapped = IpAddr::V6(core::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
    let zeros = IpAddr::V6(0x0a00_0001.into());
    let nobody = [IpAddr::V4(0.into()), IpAddr::V6(0.into())];
    for vnet in [Vnet(0), Vnet(1), Vnet(u32::MAX)] {
        for address in [v4(1), mapped, zeros, nobody[0], nobody[1]] {
            assert_eq!(table.lookup(at(0), vnet, address), None);
            assert_eq!(table.learn(at(0), vnet, address, A, HERE, IDLE), NEW);
        }
    }
    assert_eq!(table.len(), 15);
    let shown: BTreeSet<_> = table
        .entries(at(0), 0, usize::MAX)
        .map(|entry| (entry.neighbour.vnet, entry.neighbour.address))
        .collect();
    assert!(shown.len() == 15 && shown.contains(&(Vnet(u32::MAX), mapped)));
}

#[test]
fn what_is_not_said_again_is_forgotten() {
    let mut table = Neighbours::new(10, 7);
    table.learn(at(0), NET, v6(1), A, HERE, IDLE);
    assert_eq!(table.lookup(at(60), NET, v6(1)), Some((A, HERE)));
    assert_eq!(table.lookup(at(61), NET, v6(1)), None);
    let replaced = Some(Neighbour {
        vnet: NET,
        address: v6(1),
        mac: A,
        location: HERE,
    });
    let noted = table.learn(at(61), NET, v6(1), B, THERE, IDLE);
    assert_eq!((noted, table.len()), (Noted::New { replaced }, 1));
    table.learn(at(100), NET, v6(1), B, THERE, IDLE);
    assert_eq!(table.lookup(at(160), NET, v6(1)), Some((B, THERE)));
    assert!(table.forget(NET, v6(1)).is_some());
    assert_eq!((table.forget(NET, v6(1)), table.is_empty()), (None, true));
}

#[test]
fn what_is_not_admitted_changes_nothing() {
    let mut table = Neighbours::new(10, 7);
    let neighbour = |mac| Neighbour {
        vnet: NET,
        address: v4(1),
        mac,
        location: HERE,
    };
    let refuse = |expected| {
        move |change| {
            assert_eq!(change, expected);
            false
        }
    };
    let refused = table.learn_if(at(0), &neighbour(A), IDLE, refuse(Change::New));
    assert_eq!((refused, table.len()), (Noted::Refused, 0));
    table.learn(at(0), NET, v4(1), A, HERE, IDLE);
    let changed = Change::Changed { from: A, at: HERE };
    let refused = table.learn_if(at(0), &neighbour(B), IDLE, refuse(changed));
    assert_eq!(refused, Noted::Refused);
    assert_eq!(table.lookup(at(0), NET, v4(1)), Some((A, HERE)));
    let known = table.learn_if(at(0), &neighbour(A), IDLE, |_| panic!("nothing changes"));
    assert_eq!(known, Noted::Known);
}

#[test]
fn invented_addresses_do_not_evict_one_that_is_heard() {
    let mut table = Neighbours::new(100, 7);
    for n in 0..50 {
        assert_eq!(table.learn(at(0), NET, v4(n), A, HERE, IDLE), NEW);
    }
    let invent = |n| table.learn(at(1), NET, v6(n), B, THERE, IDLE);
    let refused = (0..100_000)
        .map(invent)
        .filter(|noted| *noted == Noted::Full);
    assert!(refused.count() > 90_000);
    for n in 0..50 {
        assert_eq!(table.lookup(at(59), NET, v4(n)), Some((A, HERE)));
    }
}

#[test]
fn it_holds_what_it_was_made_for() {
    for (room, seeds) in [(10, 200), (100, 50), (1_000, 20), (30_000, 2)] {
        for seed in 0..seeds {
            let mut table = Neighbours::new(room, seed);
            let address = if seed % 2 == 0 { v4 } else { v6 };
            let refused = (0..u32::try_from(room).unwrap())
                .map(|n| table.learn(at(0), NET, address(n), A, HERE, IDLE))
                .filter(|noted| *noted == Noted::Full)
                .count();
            assert!(refused * 100 <= room, "{refused} of {room}, seed {seed}");
            assert_eq!(table.len(), room - refused);
            assert_eq!(table.bytes(), Neighbours::bytes_for(room));
        }
    }
}

#[test]
fn a_sweep_forgets_the_silent_and_those_that_are_not_kept() {
    let mut table = Neighbours::new(500, 7);
    for n in 0..300 {
        let location = if n % 3 == 0 { THERE } else { HERE };
        let now = at(if n < 100 { 0 } else { 50 });
        table.learn(now, NET, v4(n), A, location, IDLE);
    }
    let mut gone = Vec::new();
    for from in (0..table.buckets()).step_by(16) {
        let keep = |neighbour: &Neighbour| neighbour.location == HERE;
        table.sweep(at(100), from, 16, keep, |neighbour| gone.push(*neighbour));
    }
    let silent = gone.iter().filter(|gone| gone.address < v4(100));
    assert_eq!((silent.count(), gone.len()), (100, 166));
    assert_eq!(table.len(), 300 - 166);
    assert_eq!(table.entries(at(100), 0, usize::MAX).count(), table.len());
    table.sweep(
        at(100),
        usize::MAX,
        16,
        |_| false,
        |_| panic!("there is no such bucket"),
    );
}
