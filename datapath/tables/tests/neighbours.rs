//! The neighbours' table beside a map with room for everything.

#![allow(clippy::unwrap_used)]

use program::Vnet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tables::neighbours::Change;
use tables::{Instant, Location, Neighbour, Neighbours, Noted};

/// How much later than promised an address may be forgotten.
const TICK: Duration = Duration::from_nanos(1 << 20);

#[derive(Clone, Debug)]
enum Step {
    Learn(Neighbour, Duration, bool),
    Forget(Vnet, IpAddr),
    Sweep {
        from: usize,
        count: usize,
        unless: Option<Location>,
    },
    Wait(Duration),
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

fn address() -> impl Strategy<Value = (Vnet, IpAddr)> {
    let vnet = prop::sample::select(vec![0, 7, u32::MAX]).prop_map(Vnet);
    let address = prop_oneof![
        (0..8u32).prop_map(|n| IpAddr::V4(n.into())),
        (0..8u128).prop_map(|n| IpAddr::V6(n.into())),
        (0..2u128).prop_map(|n| IpAddr::V6((n << 64).into())),
    ];
    (vnet, address)
}

fn step() -> impl Strategy<Value = Step> {
    let idle = prop::sample::select(vec![1, 60, 300]).prop_map(Duration::from_secs);
    let wait = prop::sample::select(vec![1, 900, 5_000, 70_000]).prop_map(Duration::from_millis);
    let learn = (
        address(),
        0..2u8,
        location(),
        idle,
        prop::bool::weighted(0.8),
    );
    prop_oneof![
        12 => learn.prop_map(|((vnet, address), last, location, idle, yes)| {
            let mac = [2, 0, 0, 0, 0, last];
            Step::Learn(Neighbour { vnet, address, mac, location }, idle, yes)
        }),
        1 => address().prop_map(|(vnet, address)| Step::Forget(vnet, address)),
        2 => (0..12usize, 0..6usize, prop::option::of(location()))
            .prop_map(|(from, count, unless)| Step::Sweep { from, count, unless }),
        3 => wait.prop_map(Step::Wait),
    ]
}

/// What a map knows: the neighbour, and until when for certain and at most.
type Map = HashMap<(Vnet, IpAddr), (Neighbour, Instant, Instant)>;

/// A table, and what is known of it from its answers alone.
struct Both {
    table: Neighbours,
    map: Map,
    now: Instant,
}

impl Both {
    fn lookup(&self, vnet: Vnet, address: IpAddr) -> Result<Option<Neighbour>, TestCaseError> {
        let found = self.table.lookup(self.now, vnet, address);
        let found = found.map(|(mac, location)| Neighbour {
            vnet,
            address,
            mac,
            location,
        });
        match self.map.get(&(vnet, address)) {
            Some((known, sure, _)) if self.now < *sure => prop_assert_eq!(found, Some(*known)),
            Some((known, _, last)) if self.now < *last => {
                prop_assert!(found.is_none() || found == Some(*known));
            }
            _ => prop_assert_eq!(found, None),
        }
        Ok(found)
    }

    fn learn(&mut self, new: Neighbour, idle: Duration, yes: bool) -> Result<(), TestCaseError> {
        let before = self.lookup(new.vnet, new.address)?;
        let (mut asked, len) = (None, self.table.len());
        let noted = self.table.learn_if(self.now, &new, idle, |change| {
            asked = Some(change);
            yes
        });
        let changed = before.map(|before| (before.mac, before.location));
        let change = match changed {
            None => Some(Change::New),
            Some(same) if same == (new.mac, new.location) => None,
            Some((from, at)) => Some(Change::Changed { from, at }),
        };
        match (noted, changed) {
            (Noted::New { replaced }, None) => {
                prop_assert!(yes && asked == change);
                if let Some(gone) = replaced {
                    let (was, sure, _) = self.map.remove(&(gone.vnet, gone.address)).unwrap();
                    prop_assert_eq!(was, gone, "it was there, and not told of before");
                    prop_assert!(self.now >= sure, "it was still being heard");
                }
            }
            (Noted::Known, Some(_)) => prop_assert!(asked.is_none() && change.is_none()),
            (Noted::Changed { from, at }, Some(was)) => {
                prop_assert!(yes && asked == change && was == (from, at));
            }
            (Noted::Full, None) => prop_assert_eq!((asked, self.table.len()), (None, len)),
            (Noted::Refused, _) => {
                prop_assert!(!yes && asked.is_some() && asked == change);
                prop_assert_eq!(self.lookup(new.vnet, new.address)?, before);
            }
            wrong => prop_assert!(false, "{wrong:?}"),
        }
        if !matches!(noted, Noted::Full | Noted::Refused) {
            let sure = self.now + idle / 64 * 63;
            let last = self.now + idle + TICK;
            self.map.insert((new.vnet, new.address), (new, sure, last));
            prop_assert_eq!(self.lookup(new.vnet, new.address)?, Some(new));
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
        let keep = |neighbour: &Neighbour| Some(neighbour.location) != unless;
        let tell = |neighbour: &Neighbour| gone.push(*neighbour);
        self.table.sweep(self.now, from, count, keep, tell);
        for gone in gone {
            let (was, sure, _) = self.map.remove(&(gone.vnet, gone.address)).unwrap();
            prop_assert_eq!(was, gone);
            prop_assert!(Some(gone.location) == unless || self.now >= sure);
        }
        Ok(())
    }
}

proptest! {
    /// What is counted by its answers is what is there, and what is heard is never lost.
    #[test]
    fn knows_what_a_map_knows_or_says_full(
        seed in any::<u64>(),
        room in 0..40usize,
        steps in vec(step(), 1..400),
    ) {
        let (table, now) = (Neighbours::new(room, seed), Instant::START);
        let mut both = Both { table, now, map: Map::new() };
        for step in steps {
            match step {
                Step::Learn(neighbour, idle, yes) => both.learn(neighbour, idle, yes)?,
                Step::Forget(vnet, address) => {
                    let gone = both.table.forget(vnet, address);
                    let known = both.map.remove(&(vnet, address));
                    prop_assert_eq!(gone, known.map(|(neighbour, ..)| neighbour));
                }
                Step::Sweep { from, count, unless } => both.sweep(from, count, unless)?,
                Step::Wait(time) => both.now = both.now + time,
            }
            prop_assert_eq!(both.map.len(), both.table.len());
        }
        for (vnet, address) in both.map.keys() {
            both.lookup(*vnet, *address)?;
        }
        both.sweep(0, usize::MAX, None)?;
        let entries: Vec<_> = both.table.entries(both.now, 0, usize::MAX).collect();
        prop_assert_eq!(entries.len(), both.map.len());
        for entry in entries {
            let Neighbour { vnet, address, .. } = entry.neighbour;
            prop_assert_eq!(both.map[&(vnet, address)].0, entry.neighbour);
            let over = both.now + entry.remaining + TICK;
            prop_assert_eq!(both.table.lookup(over, vnet, address), None);
        }
    }
}
