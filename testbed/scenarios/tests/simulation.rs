//! Random networks, guests, traffic, programs and weather, by seed.
//!
//! `SIM_SEED=n` runs one seed again, `SIM_SECONDS=n` runs new seeds for so long. Whatever happens:
//! everything comes to rest, every ledger balances, no buffer is lost, and no frame is seen in a
//! network it was not sent in.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use program::{Id, Kind, Mac, Name, NetworkProgram, Program, Speaks, Vnet};
use sim::{Chance, Guest, Lab, Setup, Weather, ethernet};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Seeds that run every time.
const SEEDS: u64 = 60;

#[test]
fn whatever_happens_the_books_balance_and_networks_stay_apart() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        return simulate(seed.parse().expect("SIM_SEED is a number"));
    }
    (1..=SEEDS).for_each(run);
    let seconds =
        std::env::var("SIM_SECONDS").map_or(0, |s| s.parse().expect("SIM_SECONDS is a number"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = u64::from(std::process::id()) << 20;
    let first = seed;
    while Instant::now() < end {
        seed += 1;
        run(seed);
    }
    println!("{} seeds", SEEDS + seed - first);
}

/// Runs one seed; if it fails, says how to run it again.
fn run(seed: u64) {
    let outcome = std::panic::catch_unwind(|| simulate(seed));
    if let Err(panic) = outcome {
        eprintln!("again: SIM_SEED={seed} cargo test -p scenarios --test simulation");
        std::panic::resume_unwind(panic);
    }
}

fn simulate(seed: u64) {
    let mut chance = Chance::new(seed);
    let bad = |chance: &mut Chance, most| u16::try_from(chance.below(most)).unwrap();
    let weather = Weather {
        lost: bad(&mut chance, 100),
        late: bad(&mut chance, 200),
        twice: bad(&mut chance, 50),
        stalled: bad(&mut chance, 300),
    };
    let mut lab = Lab::with(Setup {
        hosts: 2 + u8::try_from(chance.below(3)).unwrap(),
        workers: 1 + bad(&mut chance, 3),
        queues: 1 + u32::from(bad(&mut chance, 3)),
        mtu: 1400 + u32::from(bad(&mut chance, 300)),
        seed: chance.number(),
        weather,
        ..Setup::default()
    });
    let vnets: Vec<u32> = (0..=chance.below(3))
        .map(|n| [0, 5001, u32::MAX][n])
        .collect();
    for vnet in &vnets {
        lab.network(*vnet);
    }
    let mut guests = Vec::new();
    for _ in 0..3 + chance.below(8) {
        guests.push(newcomer(&mut lab, &mut chance, &vnets));
    }
    for _ in 0..60 {
        act(&mut lab, &mut chance, &mut guests, &vnets);
    }
    lab.settle();
    nobody_heard_a_stranger(&mut lab, &guests);
}

/// A guest with an address that another network's guest may have too.
fn newcomer(lab: &mut Lab, chance: &mut Chance, vnets: &[u32]) -> Guest {
    let vnet = vnets[chance.below(vnets.len())];
    let mac = [
        2,
        0,
        0,
        0,
        0,
        0x80 + u8::try_from(chance.below(12)).unwrap(),
    ];
    let host = chance.below(lab.hosts());
    let speaks = if chance.of_thousand(300) {
        Speaks::Any
    } else {
        Speaks::As(Mac(mac))
    };
    lab.guest_as(host, vnet, speaks, mac)
}

/// One thing happens: most often a guest speaks.
fn act(lab: &mut Lab, chance: &mut Chance, guests: &mut [Guest], vnets: &[u32]) {
    let guest = guests[chance.below(guests.len())].clone();
    let other = guests[chance.below(guests.len())].mac;
    match chance.below(40) {
        0 => lab.wait(Duration::from_secs(chance.number() % 400)),
        1 => lab.unplug(guest.host, &guest.name),
        2 | 3 => lab.plug(guest.host, &guest.name, 1500),
        4 => {
            let n = chance.below(lab.hosts());
            let mtu = 1400 + u32::try_from(chance.below(300)).unwrap();
            lab.tell_ways(n, mtu);
        }
        5 => network_again(lab, chance, vnets),
        6 => forget(lab, chance, &guest),
        7 => {
            let bytes: Vec<u8> = (0..chance.below(200))
                .map(|_| chance.number().to_le_bytes()[0])
                .collect();
            let n = chance.below(lab.hosts());
            lab.arrive_quietly(n, &bytes);
        }
        _ => {
            let to = if chance.of_thousand(200) {
                [0xff; 6]
            } else {
                other
            };
            for _ in 0..=chance.below(40) {
                let mut frame = marked(&guest, to);
                frame.resize(60 + chance.below(1600), 0);
                lab.offer(&guest, &frame);
            }
        }
    }
    for _ in 0..chance.below(4) {
        lab.step();
    }
}

/// A frame that says which network it was sent in.
fn marked(guest: &Guest, to: [u8; 6]) -> Vec<u8> {
    let mut frame = ethernet(to, guest.mac);
    frame[14..18].copy_from_slice(&guest.vnet.to_be_bytes());
    frame[18..22].copy_from_slice(b"mark");
    frame
}

/// The network's program comes again, and is another one.
fn network_again(lab: &mut Lab, chance: &mut Chance, vnets: &[u32]) {
    let vnet = vnets[chance.below(vnets.len())];
    let name = Name::try_from(format!("net{vnet}")).unwrap();
    let program = NetworkProgram {
        aging_s: 1 + u32::try_from(chance.below(600)).unwrap(),
        mtu: chance.of_thousand(500).then_some(1450),
        ..NetworkProgram::new(name, Vnet(vnet))
    };
    let n = chance.below(lab.hosts());
    lab.put(n, Program::Network(program));
}

/// The guest's port is withdrawn; some other day it may be there again.
fn forget(lab: &mut Lab, chance: &mut Chance, guest: &Guest) {
    let id = Id {
        kind: Kind::Port,
        name: Name::try_from(guest.name.clone()).unwrap(),
    };
    let (host, now) = lab.host(guest.host);
    let _ = host.withdraw(id, now); // gone already, perhaps
    if chance.of_thousand(700) {
        lab.port_again(guest);
    }
}

fn nobody_heard_a_stranger(lab: &mut Lab, guests: &[Guest]) {
    let mut heard: BTreeMap<u32, usize> = BTreeMap::new();
    for guest in guests {
        for frame in lab.received(guest) {
            let marks = frame.get(18..22) == Some(b"mark");
            assert!(marks, "{} got what no guest sent: {frame:02x?}", guest.name);
            assert_eq!(frame[14..18], guest.vnet.to_be_bytes(), "{}", guest.name);
            *heard.entry(guest.vnet).or_default() += 1;
        }
    }
}
