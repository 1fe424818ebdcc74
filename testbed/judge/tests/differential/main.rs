//! One capture through Greyhound and through Open vSwitch: what leaves is the same, or differs for
//! a reason that is written down.
//!
//! Both have the same underlay, the same two peers of one network, and the same three guests. The
//! capture is made from a seed, so it is the same each time. [`choices`] has the reasons.

#![allow(clippy::unwrap_used)] // what cannot be asked is not judged

mod bytes;
mod capture;
mod choices;
#[path = "../greyhound/mod.rs"]
mod greyhound;

use capture::{Case, GUESTS, MAC, NEIGHBOURS, OWN, VNET};
use choices::CHOICES;
use greyhound::{Greyhound, mac_text};
use judge::{Dummy, Keyed, Output, Setup, Tunnel, hex};
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn every_difference_from_open_vswitch_is_a_named_choice() {
    let setup = setup();
    let (mut ours, mut theirs) = (greyhound(&setup), open_vswitch(&setup));
    let cases = capture::all();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut same, mut strange) = (0, Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let seen = Seen {
            ours: sorted(ours.feed(case.enters, &case.frame)),
            theirs: sorted(match case.enters {
                greyhound::UNDERLAY => theirs.underlay(&case.frame).unwrap(),
                guest => theirs.guest(guest, &case.frame).unwrap(),
            }),
        };
        let moved = ours.moved();
        if seen.ours == seen.theirs {
            same += 1;
            continue;
        }
        let named = CHOICES
            .iter()
            .filter(|choice| (choice.explains)(case, &seen));
        match named.map(|choice| choice.name).collect::<Vec<_>>()[..] {
            [name] => *used.entry(name).or_default() += 1,
            ref several => strange.push(described(number, case, &seen, &moved, several)),
        }
    }
    ours.rest();
    println!("{} frames, {same} the same; {used:#?}", cases.len());
    assert!(
        strange.is_empty(),
        "{} differences are not explained by exactly one choice:\n{}",
        strange.len(),
        strange.join("\n")
    );
    let idle = CHOICES
        .iter()
        .filter(|choice| !used.contains_key(choice.name));
    let idle: Vec<&str> = idle.map(|choice| choice.name).collect();
    assert!(idle.is_empty(), "choices that make no difference: {idle:?}");
    assert!(
        same > cases.len() / 2,
        "a comparison in which most differ says little"
    );
}

#[test]
fn every_choice_has_a_name_of_its_own_and_a_reason() {
    for choice in CHOICES {
        let namesakes = CHOICES.iter().filter(|other| other.name == choice.name);
        assert_eq!(namesakes.count(), 1, "{}", choice.name);
        assert!(choice.why.ends_with('.'), "{}", choice.name);
    }
}

/// What left, here and there, in the order of ports and bytes.
pub(crate) struct Seen {
    pub(crate) ours: Vec<Output>,
    pub(crate) theirs: Vec<Output>,
}

fn setup() -> Setup {
    Setup {
        mac: MAC,
        addresses: vec![(OWN.into(), 24)],
        neighbours: NEIGHBOURS
            .map(|(address, mac)| (address.into(), mac))
            .to_vec(),
        guests: GUESTS.map(|(name, _)| name.to_owned()).to_vec(),
        mtu: 1500,
    }
}

fn greyhound(setup: &Setup) -> Greyhound {
    let mut host = Greyhound::new(setup);
    host.put(json!({ "kind": "network", "name": "net", "vnet": VNET }));
    for (number, (remote, _)) in NEIGHBOURS.iter().enumerate() {
        host.put(json!({
            "kind": "tunnel", "name": format!("t{number}"), "vnet": VNET, "remote": remote,
        }));
    }
    for (name, speaks) in GUESTS {
        let mac = speaks.map_or("any".to_owned(), mac_text);
        host.port(name, VNET, &mac);
    }
    host
}

fn open_vswitch(setup: &Setup) -> Dummy {
    let mut switch = Dummy::start(setup).unwrap();
    for (remote, _) in NEIGHBOURS {
        let tunnel = Tunnel::new(remote.into(), Keyed::By(VNET));
        let port = switch.tunnel(&tunnel).unwrap();
        // What comes from a peer goes to no peer: with us by design, with it if it is told so.
        switch
            .vsctl(&format!("set port {port} protected=true"))
            .unwrap();
    }
    switch
}

fn sorted(mut outputs: Vec<Output>) -> Vec<Output> {
    outputs.sort();
    outputs
}

fn described(number: usize, case: &Case, seen: &Seen, moved: &[String], names: &[&str]) -> String {
    let list = |outputs: &[Output]| {
        let lines = outputs
            .iter()
            .map(|(port, frame)| format!("    {port} {}", hex(frame)));
        lines.collect::<Vec<_>>().join("\n")
    };
    format!(
        "frame {number}, {} by {}: {}\n  choices: {names:?}\n  ours, which say {moved:?}:\n{}\n  theirs:\n{}",
        case.what,
        case.enters,
        hex(&case.frame),
        list(&seen.ours),
        list(&seen.theirs)
    )
}
