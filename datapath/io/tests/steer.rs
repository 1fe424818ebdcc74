//! The steer on real veths, in network namespaces of their own. Wants root and `ip`.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

mod netns;

use frame::{Borrower, Burst, FramePool};
use io::{AfXdp, Attachment, Device, Memory, OpenRequest, Preference, Steer, SteerError, Take};
use netns::{Namespace, PEER, Raw, US, Wire, awaited, enter, eventually, numbered};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ANOTHERS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

/// An untagged IPv4 packet of `protocol` to `destination`, told apart by `mark`.
fn packet(protocol: u8, destination: Ipv4Addr, mark: u8) -> Vec<u8> {
    let mut frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0\0\x32\0\x01\0\0\x40".to_vec();
    frame.extend([protocol, 0, 0, 10, 0, 0, 2]);
    frame.extend(destination.octets());
    frame.resize(64, mark);
    frame
}

fn attached(namespace: &Namespace) -> bool {
    namespace.ip(&["link", "show", US]).contains("xdp")
}

#[test]
fn the_underlay_gives_gre_to_us_and_all_else_to_the_kernel() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    let kernel = Raw::new(&wire.here, US);
    wire.here.inside(|| {
        let mut pool = FramePool::new(Memory::map(8192, false).unwrap().0);
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        assert_eq!(steer.attachment(), Attachment::Native);
        let request = OpenRequest::new(US, 0, pool.memory(), Borrower::new(1));
        let mut device = AfXdp::open(&request).unwrap();
        device.reclaim(&mut pool);
        steer.socket(0, device.descriptor().unwrap()).unwrap();
        steer.endpoints(&[OURS.into()]).unwrap();
        steer.take(Take::Tunnels).unwrap();

        let theirs = [
            packet(47, ANOTHERS, 1),
            packet(6, OURS, 2),
            packet(17, OURS, 3),
            packet(1, OURS, 4),
            numbered(5, 64),
        ];
        assert!(peer.send(&packet(47, OURS, 0)));
        for frame in &theirs {
            assert!(peer.send(frame));
        }
        let heard: Vec<_> = theirs
            .iter()
            .map(|_| awaited("the kernel gets a frame", || kernel.receive()))
            .collect();
        assert_eq!(heard, theirs);
        let mut burst = Burst::new(8);
        eventually("we get a frame", || {
            device.receive(&mut pool, &mut burst) == 1
        });
        assert_eq!(burst.iter().next().unwrap().bytes(), packet(47, OURS, 0));
        burst.give_all(&mut pool);
        let steered = steer.counts().unwrap();
        assert_eq!((steered.to_us, steered.to_kernel), (1, 5));

        // Nothing is ours once it is told so, or once the socket is gone.
        steer.endpoints(&[ANOTHERS.into()]).unwrap();
        assert!(peer.send(&packet(47, OURS, 6)));
        let got = awaited("the kernel gets a frame", || kernel.receive());
        assert_eq!(got, packet(47, OURS, 6));
        steer.take(Take::Everything).unwrap();
        drop(device);
        let mut last = 100;
        eventually("frames of a closed socket go to the kernel", || {
            last += 1;
            peer.send(&numbered(last, 64));
            kernel.receive().is_some()
        });
        drop(steer);
        pool.reclaim_all(Borrower::new(1));
    });
}

#[test]
fn an_underlay_over_ipv6_in_a_vlan_gives_what_is_in_it_tag_and_all() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    let kernel = Raw::new(&wire.here, US);
    let us = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    wire.here.inside(|| {
        let mut pool = FramePool::new(Memory::map(8192, false).unwrap().0);
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        let request = OpenRequest::new(US, 0, pool.memory(), Borrower::new(1));
        let mut device = AfXdp::open(&request).unwrap();
        device.reclaim(&mut pool);
        steer.socket(0, device.descriptor().unwrap()).unwrap();
        steer.endpoints(&[us.into(), OURS.into()]).unwrap();
        steer.vlan(Some(5)).unwrap();
        steer.take(Take::Tunnels).unwrap();

        let mut untagged =
            b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x86\xdd\x60\0\0\0\0\x08\x2f\x40".to_vec();
        untagged.extend(Ipv6Addr::LOCALHOST.octets());
        untagged.extend(us.octets());
        untagged.resize(64, 7);
        let tagged = |frame: &[u8]| [&frame[..12], b"\x81\0\0\x05", &frame[12..]].concat();
        let ours = [tagged(&untagged), tagged(&packet(47, OURS, 8))];
        for frame in [&untagged, &ours[0], &ours[1], &packet(47, OURS, 9)] {
            assert!(peer.send(frame));
        }
        for theirs in [untagged, packet(47, OURS, 9)] {
            let heard = awaited("the kernel gets a frame", || kernel.receive());
            assert_eq!(heard, theirs);
        }
        let mut burst = Burst::new(8);
        eventually("we get both frames", || {
            device.receive(&mut pool, &mut burst);
            burst.len() == 2
        });
        let got: Vec<_> = burst.iter().map(|frame| frame.bytes().to_vec()).collect();
        assert_eq!(got, ours);
        burst.give_all(&mut pool);
        drop(device);
        drop(steer);
        pool.reclaim_all(Borrower::new(1));
    });
}

#[test]
fn addresses_come_and_go_and_too_many_of_a_family_are_refused_whole() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        let four = |n: u8| IpAddr::from([10, 0, 1, n]);
        let six = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
        for many in [
            (0..17).map(four).collect::<Vec<_>>(),
            (0..17).map(six).collect(),
        ] {
            steer.endpoints(&many[..16]).unwrap();
            steer.endpoints(&many[1..]).unwrap(); // one goes, one comes: the map is full meanwhile
            steer.endpoints(&[many[0], many[0]]).unwrap();
            let error = steer.endpoints(&many).unwrap_err();
            assert_eq!(
                error.to_string(),
                "17 tunnel addresses on one interface: at most 16 are possible"
            );
        }
        let both: Vec<_> = (0..16).map(four).chain((0..16).map(six)).collect();
        steer.endpoints(&both).unwrap();
        steer.endpoints(&[]).unwrap();
        let error = steer.socket(64, 0).unwrap_err();
        assert_eq!(error.to_string(), "queue 64: queues 0 to 63 can be steered");
        steer.remove_socket(3).unwrap();
        for vlan in [None, Some(1), Some(4094)] {
            steer.vlan(vlan).unwrap();
        }
        for vlan in [0, 4095, u16::MAX] {
            let error = steer.vlan(Some(vlan)).unwrap_err();
            let words = format!("VLAN {vlan}: VLANs 1 to 4094 are possible");
            assert_eq!(error.to_string(), words);
        }
    });
}

#[test]
fn a_dropped_steer_is_off_the_interface_and_another_may_come() {
    let wire = Wire::new();
    wire.here.inside(|| {
        for wanted in [Preference::Auto, Preference::Generic, Preference::ZeroCopy] {
            let steer = Steer::attach(US, wanted).unwrap();
            assert!(attached(&wire.here));
            let generic = wanted == Preference::Generic;
            let shown = wire.here.ip(&["link", "show", US]);
            assert_eq!(shown.contains("xdpgeneric"), generic, "{shown}");
            assert_eq!(
                steer.preference(Preference::Auto) == Preference::Generic,
                generic
            );
            drop(steer);
            assert!(!attached(&wire.here));
        }
    });
}

#[test]
fn an_interface_with_a_program_is_refused_and_the_program_named() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let first = Steer::attach(US, Preference::Auto).unwrap();
        for wanted in Preference::ALL {
            let error = Steer::attach(US, wanted).unwrap_err();
            let SteerError::Occupied { program, .. } = &error else {
                panic!("{wanted}: {error}")
            };
            assert_eq!(program.name.as_deref(), Some("steer"));
            let id = format!("prog/xdp id {}", program.id.unwrap());
            let shown = wire.here.ip(&["-d", "link", "show", US]);
            assert!(shown.contains(&id), "{id} in {shown}");
            let said = error.to_string();
            let words = format!("already has an XDP program: number {}", program.id.unwrap());
            assert!(said.contains(&words), "{said}");
            assert!(said.contains("ip link set dev us xdp off"), "{said}");
        }
        drop(first);
        drop(Steer::attach(US, Preference::Auto).unwrap());
    });
}

#[test]
fn no_interface_and_an_unwilling_driver_are_said_in_words() {
    let namespace = Namespace::new();
    namespace.ip(&["link", "set", "lo", "up"]);
    namespace.inside(|| {
        let error = Steer::attach("gh-none", Preference::Auto).unwrap_err();
        assert_eq!(error.to_string(), "there is no interface `gh-none`");

        // The loopback has no native XDP.
        let error = Steer::attach("lo", Preference::ZeroCopy).unwrap_err();
        assert!(matches!(error, SteerError::NoNative { .. }), "{error}");
        let steer = Steer::attach("lo", Preference::Auto).unwrap();
        assert_eq!(
            steer.attachment().to_string(),
            "generic XDP: the driver has no native XDP"
        );
        assert_eq!(steer.preference(Preference::Auto), Preference::Generic);
    });
}

#[test]
fn an_interface_that_goes_away_takes_nobody_with_it() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        wire.here.ip(&["link", "del", US]);
        steer.take(Take::Everything).unwrap();
        assert_eq!(steer.counts().unwrap().to_us, 0);
    });
}

/// Where the test below says to its child what to hold.
const HOLD: &str = "GH_IO_HOLD";

#[test]
fn a_killed_process_leaves_no_program_behind() {
    const NAME: &str = "a_killed_process_leaves_no_program_behind";
    if let Ok(namespace) = std::env::var(HOLD) {
        enter(&namespace);
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        steer.take(Take::Everything).unwrap();
        std::thread::sleep(Duration::from_secs(30)); // the parent does not wait so long
        return;
    }
    let wire = Wire::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(HOLD, wire.here.name())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the child attaches", || attached(&wire.here));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!attached(&wire.here));
    let steer = wire.here.inside(|| Steer::attach(US, Preference::Auto));
    assert_eq!(steer.unwrap().attachment(), Attachment::Native);
}
