//! What one guest or one peer does to all others by sending as much as it can: nothing.
//!
//! Two guests, one of the attacker's own network and one of another, talk to guests of another host
//! all the while, both ways, a frame each step. Every worker does everything: there is one a host.
//! Not one of their frames may be lost, late or flooded, and what becomes of the attacker's frames
//! has a name.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod packets;

use packets::*;
use program::report::Ledger;
use program::{Mac, PortProgram, Speaks};
use sim::{Chance, Guest, Lab, Setup, ethernet, gre};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

const VNET: u32 = 7;
const OTHER: u32 = 8;
/// Where bridges speak of their tree (IEEE 802.1Q §8.6.3).
const BPDU: [u8; 6] = [1, 0x80, 0xc2, 0, 0, 0];
/// How long each attack lasts: 2 ms.
const STEPS: u64 = 200;
/// What the attacker tries to send in each step: twice what a worker takes.
const EACH: usize = 512;
/// What an attacking peer sends in each step: the wire and the burst have room for the flows.
const EACH_OF_PEER: usize = 200;

/// Hosts 0 and 1, the attacker on host 0, and who talks to whom.
struct Field {
    lab: Lab,
    attacker: Guest,
    /// From whom to whom, and after how many steps each frame came.
    flows: Vec<(Guest, Guest, Vec<u64>)>,
    chance: Chance,
}

/// What became of a field.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    delays: Vec<Vec<u64>>,
    moved: Vec<String>,
    attacker: Ledger,
    underlay: Ledger,
}

impl Field {
    fn new(seed: u64, speaks: Speaks, limit: impl FnOnce(&mut PortProgram)) -> Self {
        let mut lab = Lab::with(Setup {
            seed,
            ..Setup::default()
        });
        lab.network(VNET);
        lab.network(OTHER);
        let attacker = lab.guest_as(0, VNET, speaks, [2, 0, 0, 0, 0, 0xee]);
        lab.port_with(&attacker, limit);
        let mut flows = Vec::new();
        for vnet in [VNET, OTHER] {
            let [here, far] = [0, 1].map(|host| lab.guest(host, vnet));
            for (from, to) in [(&here, &far), (&far, &here)] {
                lab.send(from, &ethernet(ALL, from.mac));
                flows.push((from.clone(), to.clone(), Vec::new()));
            }
        }
        let mut field = Self {
            lab,
            attacker,
            flows,
            chance: Chance::new(seed),
        };
        field.listen(0);
        field.lab.wire();
        field.lab.moved();
        field
    }

    /// Everybody takes what has come to them by `step`.
    fn listen(&mut self, step: u64) {
        for (from, to, delays) in &mut self.flows {
            for frame in self.lab.received(to) {
                if let Some(sent) = number(&frame, from) {
                    delays.push(step - sent);
                }
            }
        }
        for frame in self.lab.received(&self.attacker) {
            let foreign = self.flows.iter().find_map(|flow| number(&frame, &flow.0));
            assert_eq!(foreign, None, "a frame of a flow was flooded");
        }
    }

    /// Each flow goes on while `attack` is made, step by step.
    fn endure(mut self, mut attack: impl FnMut(&mut Self)) -> Outcome {
        for step in 1..=STEPS {
            attack(&mut self);
            self.talk(step);
            self.lab.step();
            self.listen(step);
        }
        // What lies in front of the attacker's port is still to come.
        for step in STEPS + 1..=STEPS + 16 {
            self.lab.step();
            self.listen(step);
        }
        // Fragments whose others never came are given up within a second.
        self.lab.wait(Duration::from_secs(2));
        self.listen(STEPS + 17);
        let moved = self.lab.moved();
        let (host, now) = self.lab.host(0);
        let counters = host.counters(now);
        let [attacker, underlay] =
            ["g0-1", "underlay under"].map(|name| counters.ports[name].clone());
        self.is_still_known();
        Outcome {
            delays: self.flows.into_iter().map(|(.., delays)| delays).collect(),
            moved,
            attacker,
            underlay,
        }
    }

    /// Each flow sends the frame of this step.
    fn talk(&mut self, step: u64) {
        for (from, to, _) in &self.flows {
            let mut frame = ethernet(to.mac, from.mac);
            frame[14..22].copy_from_slice(&step.to_be_bytes());
            assert!(self.lab.offer(from, &frame), "a guest's own port has room");
        }
    }

    /// Whoever talks is still known where it is: its frames go one way, and only one.
    fn is_still_known(&mut self) {
        self.lab.wire();
        for (from, to, _) in &self.flows {
            self.lab.send(from, &ethernet(to.mac, from.mac));
            assert_eq!(self.lab.wire().len(), 1);
            assert_eq!(self.lab.received(to).len(), 1);
        }
        assert!(self.lab.received(&self.attacker).is_empty());
    }

    /// The attacker sends as many such frames as its port takes.
    fn send(&mut self, make: fn(&mut Chance, &Guest) -> Vec<u8>) {
        for _ in 0..EACH {
            let frame = make(&mut self.chance, &self.attacker);
            if !self.lab.offer(&self.attacker, &frame) {
                return;
            }
        }
    }

    /// Such packets come from host 1.
    fn come(&mut self, make: fn(&mut Chance, (Ipv4Addr, Ipv4Addr)) -> Vec<u8>) {
        let way = (self.lab.address(1), self.lab.address(0));
        for _ in 0..EACH_OF_PEER {
            let packet = make(&mut self.chance, way);
            self.lab.arrive_quietly(0, &packet);
        }
    }
}

/// In which step `from` has sent `frame`, if it has.
fn number(frame: &[u8], from: &Guest) -> Option<u64> {
    let is_flow = frame[6..12] == from.mac && frame[12..14] == [0x88, 0xb5];
    let number = u64::from_be_bytes(*frame[14..].first_chunk().unwrap());
    (is_flow && number <= STEPS).then_some(number)
}

/// A station that nobody is.
fn anybody(chance: &mut Chance) -> [u8; 6] {
    let mut mac = [0x0a; 6];
    mac[1..].copy_from_slice(&chance.number().to_be_bytes()[..5]);
    mac
}

fn any_address(chance: &mut Chance) -> Ipv4Addr {
    let low = u32::try_from(chance.below(1 << 24)).unwrap();
    Ipv4Addr::from(0x0a00_0000 | low)
}

/// How late frames are when nobody attacks.
fn in_peace() -> RangeInclusive<u64> {
    let peace = Field::new(1, Speaks::Any, |_| ()).endure(|_| ());
    let delays: Vec<u64> = peace.delays.into_iter().flatten().collect();
    assert_eq!(delays.len(), usize::try_from(4 * STEPS).unwrap());
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(least == most && *most <= 4, "{least} to {most} steps");
    *least - 1..=*most + 1
}

/// No flow has lost a frame or waited for one, whatever the seed; and it happens again exactly as
/// it did. What became of it.
fn endured(make: impl Fn(u64) -> Outcome) -> Outcome {
    let peace = in_peace();
    let [outcome, another] = [1, 2].map(&make);
    for delays in outcome.delays.iter().chain(&another.delays) {
        assert_eq!(delays.len() as u64, STEPS, "frames of a flow that came");
        let late = delays.iter().find(|delay| !peace.contains(delay));
        assert_eq!(late, None, "steps, where {peace:?} are usual");
    }
    assert_eq!(outcome, make(1), "the same seed, the same story");
    outcome
}

/// A guest that may speak as `speaks`, with `limit`, sends such frames. Its ledger, balanced.
fn attacked(
    speaks: Speaks,
    limit: fn(&mut PortProgram),
    make: fn(&mut Chance, &Guest) -> Vec<u8>,
) -> Ledger {
    let outcome = endured(|seed| Field::new(seed, speaks, limit).endure(|field| field.send(make)));
    let ledger = outcome.attacker;
    let least = STEPS * 256;
    assert!(ledger.received >= least, "an attack: {}", ledger.received);
    ledger
}

/// All that was dropped was dropped for this reason, and that is nearly all that came.
fn nearly_all(ledger: &Ledger, reason: &str) {
    let dropped: BTreeMap<_, _> = ledger.dropped.iter().filter(|(_, n)| **n > 0).collect();
    let names: Vec<_> = dropped.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, [reason]);
    let dropped = *dropped.values().next().copied().unwrap();
    assert!(
        dropped * 100 >= ledger.received * 97,
        "{dropped} of {}",
        ledger.received
    );
    let left = ledger.received + ledger.copied - ledger.sent - ledger.answered;
    assert_eq!(left, dropped, "each of the others has left");
}

fn noted(ledger: &Ledger, what: &str) -> u64 {
    ledger.noted.get(what).copied().unwrap_or(0)
}

#[test]
fn a_flood_of_invented_stations() {
    let ledger = attacked(
        Speaks::Any,
        |_| (),
        |chance, _| {
            let source = anybody(chance);
            ethernet(anybody(chance), source)
        },
    );
    nearly_all(&ledger, "storm_unknown");
    assert_eq!(
        noted(&ledger, "learned"),
        256,
        "as many as the port may have"
    );
    assert_eq!(noted(&ledger, "port_full"), ledger.received - 256);
}

#[test]
fn a_storm_of_arp() {
    let ledger = attacked(
        Speaks::Any,
        |port| port.stations = 1,
        |chance, attacker| {
            let own = any_address(chance);
            who_has((attacker.mac, own), any_address(chance))
        },
    );
    nearly_all(&ledger, "storm_broadcast");
    assert_eq!(
        noted(&ledger, "neighbours"),
        4,
        "as many as the port may have"
    );
    assert!(noted(&ledger, "neighbours_full") > ledger.received / 2);
}

#[test]
fn a_flood_of_what_bridges_say() {
    let ledger = attacked(
        Speaks::Any,
        |_| (),
        |chance, _| ethernet(BPDU, anybody(chance)),
    );
    nearly_all(&ledger, "link_local");
    assert_eq!(ledger.sent, 0);
    assert_eq!(noted(&ledger, "learned"), 0);
}

#[test]
fn a_flood_of_fragments_from_a_guest() {
    let ledger = attacked(
        Speaks::Any,
        |port| port.rate.from_guest_mbit = Some(10),
        |chance, attacker| {
            // To a guest that all know: only its rate limits what it sends there.
            let to = [2, 0, 0, 0, 0, 2];
            let ips = (any_address(chance), any_address(chance));
            let mut frame = ipv4_part((to, attacker.mac), ips, UDP, 0x2000, &[7; 1024]);
            frame[18..20].copy_from_slice(&chance.number().to_be_bytes()[..2]);
            frame
        },
    );
    nearly_all(&ledger, "rate_from_guest");
}

#[test]
fn a_storm_of_broadcasts() {
    let ledger = attacked(
        Speaks::Any,
        |_| (),
        |_, attacker| ethernet(ALL, attacker.mac),
    );
    nearly_all(&ledger, "storm_broadcast");
}

#[test]
fn a_storm_to_a_group() {
    let group = |_: &mut Chance, attacker: &Guest| ethernet([1, 0, 0x5e, 1, 2, 3], attacker.mac);
    nearly_all(&attacked(Speaks::Any, |_| (), group), "storm_multicast");
}

#[test]
fn a_flood_to_stations_that_nobody_has() {
    let ledger = attacked(
        Speaks::Any,
        |_| (),
        |chance, attacker| ethernet(anybody(chance), attacker.mac),
    );
    nearly_all(&ledger, "storm_unknown");
    assert_eq!(noted(&ledger, "learned"), 1);
}

#[test]
fn a_flood_in_the_name_of_those_who_talk() {
    let own = Speaks::As(Mac([2, 0, 0, 0, 0, 0xee]));
    let ledger = attacked(
        own,
        |_| (),
        |chance, _| {
            let last = u8::try_from(1 + chance.below(4)).unwrap();
            ethernet(ALL, [2, 0, 0, 0, 0, last])
        },
    );
    nearly_all(&ledger, "spoofed");
    assert_eq!((ledger.sent, noted(&ledger, "learned")), (0, 0));
}

#[test]
fn a_flood_from_addresses_of_others() {
    let ledger = attacked(
        Speaks::Any,
        |port| port.addresses = Some(Vec::new()),
        |chance, attacker| {
            let (own, target) = (any_address(chance), any_address(chance));
            who_has((attacker.mac, own), target)
        },
    );
    nearly_all(&ledger, "spoofed_address");
    assert_eq!((ledger.sent, noted(&ledger, "neighbours")), (0, 0));
}

/// Such packets come from a peer. What became of them, beside those of the flows.
fn attacked_by_peer(make: fn(&mut Chance, (Ipv4Addr, Ipv4Addr)) -> Vec<u8>) -> Outcome {
    let outcome =
        endured(|seed| Field::new(seed, Speaks::Any, |_| ()).endure(|field| field.come(make)));
    let attack = STEPS * EACH_OF_PEER as u64;
    assert!(outcome.underlay.received >= attack);
    outcome
}

/// The part of an outer packet that begins at `offset` bytes, and whether more follow.
fn part(packet: &[u8], number: u16, offset: usize, len: usize) -> Vec<u8> {
    let from = 34 + offset;
    let to = packet.len().min(from + len);
    let mut part = [&packet[..34], &packet[from..to]].concat();
    let more = if to < packet.len() { 0x2000 } else { 0 };
    let field = more | u16::try_from(offset / 8).unwrap();
    let total = u16::try_from(part.len() - 14).unwrap();
    for (at, word) in [(16, total), (18, number), (20, field), (24, 0)] {
        part[at..at + 2].copy_from_slice(&word.to_be_bytes());
    }
    let sum = wire::checksum::of(&part[14..34]);
    part[24..26].copy_from_slice(&sum.to_be_bytes());
    part
}

/// The first part of a packet whose others never come.
fn first_part(chance: &mut Chance, (peer, us): (Ipv4Addr, Ipv4Addr)) -> Vec<u8> {
    let whole = gre(peer, us, VNET, &ethernet(ALL, anybody(chance)));
    let number = u16::try_from(chance.below(1 << 16)).unwrap();
    part(&whole, number, 0, 48)
}

#[test]
fn a_flood_of_fragments_from_a_peer() {
    let outcome = attacked_by_peer(first_part);
    let dropped = outcome.underlay.dropped;
    let attack = STEPS * EACH_OF_PEER as u64;
    let of = |name: &str| dropped.get(name).copied().unwrap_or(0);
    // A few have the number of one that is kept; and the last to come wait in vain.
    assert!(of("fragment_limit") * 100 >= attack * 99, "{dropped:?}");
    assert!(of("fragment_late") > 0, "{dropped:?}");
    assert_eq!(dropped.values().sum::<u64>(), attack, "{dropped:?}");
    let named = dropped.keys().all(|name| name.starts_with("fragment_"));
    assert!(named, "{dropped:?}");
}

#[test]
fn a_flood_from_a_peer_of_what_is_not_for_us() {
    let outcome = attacked_by_peer(|chance, (peer, us)| {
        let key = 1000 + u32::try_from(chance.below(1000)).unwrap();
        gre(peer, us, key, &ethernet(ALL, anybody(chance)))
    });
    let attack = STEPS * EACH_OF_PEER as u64;
    assert_eq!(outcome.underlay.dropped.get("unknown_key"), Some(&attack));
}

#[test]
fn a_flood_from_a_peer_of_what_bridges_say() {
    let outcome = attacked_by_peer(|chance, (peer, us)| {
        gre(peer, us, VNET, &ethernet(BPDU, anybody(chance)))
    });
    let attack = STEPS * EACH_OF_PEER as u64;
    assert_eq!(outcome.underlay.dropped.get("link_local"), Some(&attack));
}

#[test]
fn a_flood_of_invented_stations_from_a_peer() {
    let outcome = attacked_by_peer(|chance, (peer, us)| {
        let inner = ethernet(anybody(chance), anybody(chance));
        gre(peer, us, VNET, &inner)
    });
    // More than the table holds; those who talk stay in it, and the rest is flooded.
    let ledger = outcome.underlay;
    let attack = STEPS * EACH_OF_PEER as u64;
    assert!(noted(&ledger, "not_learned") > attack / 2, "{ledger:?}");
    let dropped: u64 = ledger.dropped.values().sum();
    assert_eq!(dropped, 0, "{ledger:?}");
    // To two guests each; what the far one said first went to both as well.
    assert_eq!(ledger.copied, attack + 1);
}

#[test]
fn those_who_come_while_a_guest_invents_stations_are_learned() {
    let mut field = Field::new(1, Speaks::Any, |_| ());
    for _ in 0..20 {
        field.send(|chance, _| ethernet(anybody(chance), anybody(chance)));
        field.lab.step();
    }
    for vnet in [VNET, OTHER] {
        let late = field.lab.guest(0, vnet);
        field.lab.send(&late, &ethernet(ALL, late.mac));
        let talker = field
            .flows
            .iter()
            .find(|flow| flow.0.host == 0 && flow.0.vnet == vnet);
        let talker = talker.unwrap().0.clone();
        field.lab.wire();
        field.lab.send(&talker, &ethernet(late.mac, talker.mac));
        assert!(field.lab.wire().is_empty(), "not flooded");
        assert!(!field.lab.received(&late).is_empty());
    }
    field.lab.wait(Duration::from_millis(1));
}

#[test]
fn a_peer_that_sends_fragments_takes_no_room_from_another() {
    let mut lab = Lab::new(3, VNET);
    let a = lab.guest(0, VNET);
    let mut chance = Chance::new(1);
    let [us, attacker, peer] = [0, 1, 2].map(|host| lab.address(host));
    let inner = ethernet(a.mac, [2, 0, 0, 0, 0, 0x66]);
    let whole = gre(peer, us, VNET, &inner);
    for number in 0..20 {
        lab.arrive_quietly(0, &part(&whole, number, 0, 40));
        for _ in 0..20 {
            for _ in 0..EACH_OF_PEER {
                lab.arrive_quietly(0, &first_part(&mut chance, (attacker, us)));
            }
            lab.step();
        }
        lab.arrive_quietly(0, &part(&whole, number, 40, 40));
        lab.step();
        assert_eq!(lab.received(&a), [&inner[..]], "packet {number}");
    }
    lab.wait(Duration::from_secs(2));
}
