//! Inputs that reach far into each target, to start from; and findings, to stay fixed.
//!
//! `seeds/TARGET/NAME` has each as a file, for libFuzzer to read. A test compares the files with
//! what is written here; with `GREYHOUND_WRITE_SEEDS=1` it writes them instead.

use crate::frames::{Detail, Shape, Told, UNDERLAY};
use crate::made;
use wire::ethernet::BROADCAST;
use wire::{GreRepr, Protocol};

/// One input.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Which target it is for: `wire`, `program` or `path`.
    pub target: &'static str,
    /// What it is called there.
    pub name: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Every seed.
pub fn all() -> Vec<Seed> {
    let wire = made::guests().into_iter().chain(made::underlay());
    let mut seeds: Vec<_> = wire
        .map(|(name, bytes)| seed("wire", name, bytes))
        .collect();
    let bare = GreRepr {
        checksum: true,
        sequence: Some(7),
        ..GreRepr::keyed(5001)
    };
    let guest = made::guest_frame(18);
    seeds.push(seed("wire", "gre", made::gre(bare, &guest)));
    let documents = DOCUMENTS.iter();
    seeds.extend(documents.map(|(name, text)| seed("program", name, text.as_bytes().to_vec())));
    seeds.extend(stories());
    seeds.extend(each());
    seeds
}

fn seed(target: &'static str, name: &'static str, bytes: Vec<u8>) -> Seed {
    Seed {
        target,
        name,
        bytes,
    }
}

fn told(port: u8, shape: Shape, bytes: &[u8]) -> Told {
    Told {
        wait: 0,
        port,
        shape,
        detail: Detail::default(),
        bytes: bytes.to_vec(),
    }
}

/// A frame of a peer's, by the number of its peer, its key and its variant.
fn peers(shape: Shape, detail: (u8, u8, u8), bytes: &[u8]) -> Told {
    Told {
        detail: Detail::of(detail.0, detail.1, detail.2),
        ..told(UNDERLAY, shape, bytes)
    }
}

/// Frames that have to do with each other.
fn stories() -> Vec<Seed> {
    let guest = made::guest_frame(18);
    let mut broadcast = guest.clone();
    broadcast[..6].copy_from_slice(&BROADCAST);
    let path = |name, all: &[Told]| seed("path", name, Told::encode(0, all));
    let stranger = made::outer([192, 0, 2, 9].into(), Protocol::GRE, 0, &guest);
    let mut elsewhere = stranger.clone();
    elsewhere[33] = 7; // the last byte of the outer destination
    let unkeyed = peers(Shape::Wrapped, (1, 2, 0), &guest);
    let mut later = told(1, Shape::AsIs, &guest);
    later.wait = 255;
    let piece = |peer, variant| peers(Shape::Piece, (peer, 0, variant), &guest);
    let mut hopeless = piece(1, 0);
    hopeless.wait = 8;
    let numbered = |low: u8, high: u8| {
        let mut frame = guest.clone();
        let end = frame.len();
        frame[end - 2..].copy_from_slice(&[high, low]);
        peers(Shape::Numbered, (0, 0, 0), &frame)
    };
    let too_big = |peer, key| peers(Shape::TooBig, (peer, key, 0), &[2, 200, 5, 220]);
    vec![
        path(
            "conversation",
            &[
                told(1, Shape::AsIs, &broadcast),
                peers(Shape::Wrapped, (0, 0, 0), &guest),
                told(2, Shape::AsIs, &guest),
                told(1, Shape::AsIs, &guest),
            ],
        ),
        path(
            "strangers",
            &[
                peers(Shape::Wrapped, (3, 0, 0), &guest),
                peers(Shape::Wrapped, (0, 5, 0), &guest),
                told(UNDERLAY, Shape::Mended, &elsewhere),
                unkeyed,
                told(UNDERLAY, Shape::AsIs, &broadcast[..12]),
                told(10, Shape::AsIs, &guest),
            ],
        ),
        path(
            "begun-again",
            &[numbered(0, 1), numbered(0, 0), numbered(1, 0)],
        ),
        path("forgotten", &[told(2, Shape::AsIs, &broadcast), later]),
        path(
            "pieces",
            &[piece(0, 1), piece(0, 0), piece(4, 0), piece(4, 1), hopeless],
        ),
        path("too-big-and-again", &[too_big(0, 0), too_big(4, 0)]),
        path(
            "questions",
            &made::guests()
                .iter()
                .map(|(_, frame)| told(6, Shape::AsIs, frame))
                .collect::<Vec<_>>(),
        ),
    ]
}

/// Each packet there is, by itself, in a VLAN and not.
fn each() -> Vec<Seed> {
    let guests = made::guests().into_iter().flat_map(|(_, frame)| {
        let ports = [1, 3, 6, 7];
        ports.map(|port| told(port, Shape::AsIs, &frame))
    });
    let underlay = made::underlay();
    let underlay = underlay
        .iter()
        .map(|(_, frame)| told(UNDERLAY, Shape::Mended, frame));
    vec![
        seed(
            "path",
            "guests",
            Told::encode(0, &guests.collect::<Vec<_>>()),
        ),
        seed(
            "path",
            "underlay",
            Told::encode(1, &underlay.collect::<Vec<_>>()),
        ),
    ]
}

const DOCUMENTS: [(&str, &str); 6] = [
    (
        "whole-host",
        r#"[{"version":1,"kind":"underlay","name":"u","endpoint":"10.0.0.1","interface":"eth0"},
{"version":1,"kind":"network","name":"red","vnet":5001,"aging_s":60,"mtu":1400,"epoch":3},
{"version":1,"kind":"tunnel","name":"red-h2","vnet":5001,"remote":"10.0.0.2"},
{"version":1,"kind":"port","name":"a","vnet":5001,"interface":"gh-a","mac":"02:00:00:00:00:01"},
{"version":1,"kind":"port","name":"b","vnet":5001,"interface":"gh-b","mac":"any"}]"#,
    ),
    (
        "everything",
        r#"[{"version":1,"kind":"underlay","name":"u","endpoint":["10.0.0.1","2001:db8::1"],"interface":"e",
"vlan":7},
{"version":1,"kind":"network","name":"n","vnet":0,"stations":5,"suppress":false,"flood":{"unknown":false},
"neighbours":[{"address":"10.1.0.1","mac":"02:00:00:00:00:01","router":true}]},
{"version":1,"kind":"tunnel","name":"t","vnet":0,"remote":"2001:db8::2","keyed":false,"checksum":true,
"sequence":"ordered","transport":"udp","ttl":9,"dscp":"uniform","oversize":"answer"},
{"version":1,"kind":"tunnel","name":"s","vnet":0,"remote":"10.0.0.2","df":"clear","dscp":46,
"sequence":"sent","oversize":"outer"},
{"version":1,"kind":"port","name":"p","vnet":0,"interface":"p0","mac":"02:00:00:00:00:01",
"addresses":["10.1.0.0/24","2001:db8::5"],"allow":["dhcp_server","router"],"stations":3,
"storm":{"broadcast":1},"rate":{"from_guest_mbit":1,"to_guest_mbit":1000}}]"#,
    ),
    (
        "unknown-field",
        r#"{"version":1,"kind":"network","name":"red","vnet":0,"agin_s":60}"#,
    ),
    (
        "put-and-withdraw",
        r#"{"apply":{"steps":[{"put":{"epoch":2,"program":{"kind":"network","name":"n","vnet":7}}},
{"withdraw":{"epoch":2,"id":{"kind":"network","name":"n"}}}]}}"#,
    ),
    (
        "next-hops",
        r#"{"next_hops":{"next_hops":[{"remote":"2001:db8::2","hops":[{"interface":"eth0",
"source":"02:00:00:00:00:01","destination":"02:00:00:00:00:02"}],"mtu":1600}]}}"#,
    ),
    (
        "answer",
        r#"{"outcomes":[{"refused":{"id":{"kind":"port","name":"a"},"field":"vnet","why":"?"}}]}"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::{env, fs};

    #[test]
    fn every_seed_is_on_disk_as_it_is_written_here() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        let write = env::var_os("GREYHOUND_WRITE_SEEDS").is_some();
        for seed in all() {
            let file = root.join(seed.target).join(seed.name);
            if write {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, &seed.bytes).unwrap();
            }
            assert_eq!(fs::read(&file).unwrap(), seed.bytes, "{}", file.display());
        }
    }

    #[test]
    fn every_file_in_seeds_holds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        let mut met = BTreeSet::new();
        for (target, check) in [
            ("wire", crate::packets::check as fn(&[u8])),
            ("program", crate::documents::check),
            ("path", crate::frames::check),
        ] {
            for file in fs::read_dir(root.join(target)).unwrap() {
                check(&fs::read(file.unwrap().path()).unwrap());
                met.insert(target);
            }
        }
        assert_eq!(met.len(), 3);
    }

    #[test]
    fn documents_are_read_or_refused_as_they_are_called() {
        let read = |name| {
            let (_, text) = DOCUMENTS.iter().find(|(known, _)| *known == name).unwrap();
            program::read(text.as_bytes()).map(|programs| programs.len())
        };
        assert_eq!((read("whole-host"), read("everything")), (Ok(5), Ok(5)));
        assert!(read("unknown-field").is_err());
        for name in ["put-and-withdraw", "next-hops"] {
            let (_, text) = DOCUMENTS.iter().find(|(known, _)| *known == name).unwrap();
            serde_json::from_str::<program::link::Request>(text).unwrap();
        }
        serde_json::from_str::<program::link::Answer>(DOCUMENTS[5].1).unwrap();
    }
}
