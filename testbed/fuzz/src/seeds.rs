//! Inputs that reach far into each target, to start from; and findings, to stay fixed.
//!
//! `seeds/TARGET/NAME` has each as a file, for libFuzzer to read. A test compares the files with
//! what is written here; with `GREYHOUND_WRITE_SEEDS=1` it writes them instead.

use crate::frames::{Shape, Told, UNDERLAY};
use wire::ethernet::BROADCAST;
use wire::{EtherType, EthernetRepr, GreRepr, Ipv4Repr, Protocol, checksum};

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
    let mut seeds = Vec::new();
    let mut add = |target, name, bytes: &[u8]| {
        seeds.push(Seed {
            target,
            name,
            bytes: bytes.to_vec(),
        });
    };
    let guest = guest_frame(18);
    add("wire", "guest", &guest);
    add("wire", "tagged", &tagged(&guest));
    add("wire", "ipv6", &ipv6_frame());
    add("wire", "tunnelled", &tunnelled(&gre(0x2000, &guest)));
    add(
        "wire",
        "tunnelled-summed-sequenced",
        &tunnelled(&gre(0xb000, &guest)),
    );
    add("wire", "gre", &gre(0xb000, &guest));

    for (name, text) in DOCUMENTS {
        add("program", name, text.as_bytes());
    }

    let mut broadcast = guest.clone();
    broadcast[..6].copy_from_slice(&BROADCAST);
    let told = |port, shape, bytes: &[u8]| Told {
        wait: 0,
        port,
        shape,
        bytes: bytes.to_vec(),
    };
    let enveloped = |peer, key| told(UNDERLAY, Shape::Enveloped { peer, key }, &guest);
    let conversation = [
        told(1, Shape::AsIs, &broadcast),
        enveloped(0, 0),
        told(2, Shape::AsIs, &guest),
        told(1, Shape::AsIs, &guest),
    ];
    add("path", "conversation", &Told::encode(&conversation));
    let strangers = [
        enveloped(3, 0),
        enveloped(0, 3),
        told(
            UNDERLAY,
            Shape::AsIs,
            &outer([192, 0, 2, 2], [192, 0, 2, 7], &guest),
        ),
        told(UNDERLAY, Shape::Mended, &tunnelled(&gre(0x0000, &guest))),
        told(UNDERLAY, Shape::AsIs, &ipv6_frame()),
        told(7, Shape::AsIs, &guest),
    ];
    add("path", "strangers", &Told::encode(&strangers));
    let mut later = told(1, Shape::AsIs, &guest);
    later.wait = 200;
    let forgotten = [told(2, Shape::AsIs, &broadcast), later];
    add("path", "forgotten", &Told::encode(&forgotten));
    seeds
}

const DOCUMENTS: [(&str, &str); 5] = [
    (
        "whole-host",
        r#"[{"version":1,"kind":"underlay","name":"u","endpoint":"10.0.0.1","interface":"eth0"},
{"version":1,"kind":"network","name":"red","vnet":5001,"aging_s":60,"mtu":1400,"epoch":3},
{"version":1,"kind":"tunnel","name":"red-h2","vnet":5001,"remote":"10.0.0.2"},
{"version":1,"kind":"port","name":"a","vnet":5001,"interface":"gh-a","mac":"02:00:00:00:00:01"},
{"version":1,"kind":"port","name":"b","vnet":5001,"interface":"gh-b","mac":"any"}]"#,
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
        r#"{"next_hops":{"next_hops":[{"remote":"10.0.0.2","interface":"eth0",
"source":"02:00:00:00:00:01","destination":"02:00:00:00:00:02","mtu":1600}]}}"#,
    ),
    (
        "answer",
        r#"{"outcomes":[{"refused":{"id":{"kind":"port","name":"a"},"field":"vnet","why":"?"}}]}"#,
    ),
];

/// A guest's frame with `len` bytes in UDP, from station 1 to station 2.
pub(crate) fn guest_frame(len: u16) -> Vec<u8> {
    let ethernet = EthernetRepr {
        destination: [0x02, 0, 0, 0, 0, 2],
        source: [0x02, 0, 0, 0, 0, 1],
        ethertype: EtherType::IPV4,
    };
    let ip = ipv4(Protocol::UDP, [10, 1, 0, 1], [10, 1, 0, 2], 8 + len);
    let mut udp = vec![0x82, 0x35, 0x00, 0x35];
    udp.extend((8 + len).to_be_bytes());
    udp.extend([0, 0]);
    udp.resize(8 + usize::from(len), 0x5a);
    let pseudo = checksum::pseudo_v4(ip.source, ip.destination, ip.protocol.0, 8 + len);
    let sum = checksum::for_udp(!checksum::add(pseudo, checksum::sum(&udp)));
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    [&ethernet.emit()[..], &ip.emit(), &udp].concat()
}

fn ipv4(protocol: Protocol, source: [u8; 4], destination: [u8; 4], payload_len: u16) -> Ipv4Repr {
    Ipv4Repr {
        source: source.into(),
        destination: destination.into(),
        protocol,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len,
    }
}

/// GRE with `flags`, the key 5001 and sequence number 7 if they ask for it, and a right checksum.
fn gre(flags: u16, inner: &[u8]) -> Vec<u8> {
    let mut bytes = flags.to_be_bytes().to_vec();
    bytes.extend([0x65, 0x58]);
    for (flag, field) in [(0x8000, 0u32), (0x2000, 5001), (0x1000, 7)] {
        if flags & flag != 0 {
            bytes.extend(field.to_be_bytes());
        }
    }
    bytes.extend(inner);
    if flags & 0x8000 != 0 {
        let sum = checksum::of(&bytes);
        bytes[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// `payload` as GRE from peer to us.
fn tunnelled(payload: &[u8]) -> Vec<u8> {
    outer([192, 0, 2, 2], [192, 0, 2, 1], payload)
}

/// The outer headers of `payload`, in front of it.
pub(crate) fn outer(source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let ethernet = EthernetRepr {
        destination: [0x02, 0xff, 0, 0, 0, 1],
        source: [0x02, 0xff, 0, 0, 0, 2],
        ethertype: EtherType::IPV4,
    };
    let len = u16::try_from(payload.len()).unwrap_or(Ipv4Repr::MAX_PAYLOAD);
    let ip = ipv4(Protocol::GRE, source, destination, len);
    [&ethernet.emit()[..], &ip.emit(), payload].concat()
}

/// GRE as we send it, with `inner` behind it.
pub(crate) fn keyed(key: u32, inner: &[u8]) -> Vec<u8> {
    [&GreRepr::keyed(key).emit()[..GreRepr::KEYED_LEN], inner].concat()
}

fn tagged(frame: &[u8]) -> Vec<u8> {
    let tags = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 42];
    [&frame[..12], &tags, &frame[12..]].concat()
}

fn ipv6_frame() -> Vec<u8> {
    #[rustfmt::skip]
    let packet = [
        0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 1, 0x86, 0xdd, // Ethernet, to all nodes
        0x60, 0, 0, 0, 0, 24, 0, 255,                            // hop-by-hop options next
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        44, 0, 1, 4, 0, 0, 0, 0,                                 // fragment next
        58, 0, 0, 1, 0, 0, 0, 9,                                 // ICMP next, first fragment
        128, 0, 0x12, 0x34, 0, 1, 0, 1,                          // echo request
    ];
    packet.to_vec()
}

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
        assert_eq!(read("whole-host"), Ok(5));
        assert!(read("unknown-field").is_err());
        for name in ["put-and-withdraw", "next-hops"] {
            let (_, text) = DOCUMENTS.iter().find(|(known, _)| *known == name).unwrap();
            serde_json::from_str::<program::link::Request>(text).unwrap();
        }
        serde_json::from_str::<program::link::Answer>(DOCUMENTS[4].1).unwrap();
    }
}
