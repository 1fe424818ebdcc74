//! Frames longer than a chunk, on real veths with an MTU of 9000. Wants root, `ip` and Linux 6.6.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

mod netns;
mod port;

use frame::Burst;
use io::{Buffers, Device, Facts, Losses, OpenRequest, Preference};
use netns::{PEER, Raw, US, Wire, awaited, eventually, numbered};
use port::{Port, jumbo_pool, pool, request};
use std::sync::atomic::{AtomicBool, Ordering};

/// A veth with an MTU of 9000 at both ends.
fn jumbo_wire() -> Wire {
    let wire = Wire::new();
    wire.here.ip(&["link", "set", US, "mtu", "9000"]);
    wire.there.ip(&["link", "set", PEER, "mtu", "9000"]);
    wire
}

#[test]
fn long_frames_come_in_whole_and_go_out_whole() {
    let wire = jumbo_wire();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        for preference in [Preference::Auto, Preference::Generic] {
            let mut pool = jumbo_pool(1024, 4);
            let request = OpenRequest {
                jumbo: true,
                preference,
                ..request(US, &pool, 1)
            };
            let mut port = Port::open(&request, &mut pool);
            assert!(port.device.carries_jumbo());
            let borders = (1..=5).flat_map(|n| [n * 1792 - 1, n * 1792, n * 1792 + 1]);
            let lengths: Vec<_> = [60, 1514, 2047, 2048, 2049, 3839, 3840, 3841, 4096, 9014]
                .into_iter()
                .chain(borders)
                .collect();
            for (n, len) in (0..).zip(&lengths) {
                let sent = numbered(n, *len);
                assert!(peer.send(&sent));
                let got = awaited("a frame comes in", || port.receive(&mut pool));
                assert!(got == sent, "{len} bytes in, {}", got.len());

                let back = numbered(n + 10_000, *len);
                assert!(port.send(&mut pool, &back));
                let got = awaited("a frame goes out", || peer.receive());
                assert!(got == back, "{len} bytes out, {}", got.len());
            }
            eventually("what was sent comes home", || {
                port.device.reclaim(&mut pool);
                port.device.in_flight() == 0
            });
            assert_eq!(pool.free() + pool.lent(), pool.made());
            assert_eq!((pool.jumbo_free(), pool.jumbo_made()), (4, 4));
            let counts = port.device.counts();
            assert_eq!(counts.received, lengths.len() as u64);
            assert_eq!((counts.foreign, counts.chains, counts.busy), (0, 0, 0));
            assert_eq!(port.device.losses(), Losses::default());
            let kernel = port.device.statistics().unwrap();
            assert_eq!((kernel.receive_dropped, kernel.send_invalid), (0, 0));
            port.close(&mut pool);
        }
    });
}

#[test]
fn a_long_frame_that_finds_no_buffer_is_counted_and_the_short_one_behind_it_comes_in() {
    let wire = jumbo_wire();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = jumbo_pool(1024, 2);
        let request = OpenRequest {
            jumbo: true,
            ..request(US, &pool, 1)
        };
        let mut port = Port::open(&request, &mut pool);
        let meter = port.device.meter().unwrap();
        let held: Vec<_> = std::iter::from_fn(|| pool.take_for(9014)).collect();
        for (n, len) in (0..).zip([9014, 60, 2000, 9014]) {
            assert!(peer.send(&numbered(n, len)));
        }
        eventually("the short one comes in", || {
            port.receive(&mut pool) == Some(numbered(1, 60))
        });
        eventually("the long ones are counted", || {
            assert_eq!(port.receive(&mut pool), None);
            meter.losses().no_buffer == 3
        });
        for frame in held {
            pool.give(frame);
        }
        assert!(peer.send(&numbered(4, 9014)));
        eventually("it is home again", || {
            port.receive(&mut pool) == Some(numbered(4, 9014))
        });
        drop(meter);
        port.close(&mut pool);
    });
}

#[test]
fn a_flood_of_long_frames_loses_none_that_is_not_counted() {
    const FLOOD: u32 = 20_000;
    let wire = jumbo_wire();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = jumbo_pool(1024, 16);
        let request = OpenRequest {
            jumbo: true,
            ..request(US, &pool, 1)
        };
        let mut port = Port::open(&request, &mut pool);
        let meter = port.device.meter().unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..FLOOD {
                    let len = [60, 9014, 2000, 1514][n as usize % 4];
                    peer.send(&numbered(n, len));
                }
                ended.store(true, Ordering::Release);
            });
            let mut burst = Burst::new(64);
            loop {
                let last = ended.load(Ordering::Acquire);
                port.device.reclaim(&mut pool);
                let before = burst.len();
                let received = port.device.receive(&mut pool, &mut burst);
                for frame in burst.iter().skip(before) {
                    let number = u32::from_be_bytes(*frame.bytes()[14..].first_chunk().unwrap());
                    assert!(frame.bytes() == numbered(number, frame.len()), "{number}");
                }
                let jumbo = burst.iter().filter(|frame| frame.is_jumbo()).count();
                assert_eq!(pool.jumbo_free() + jumbo, 16);
                port.device.send(&mut pool, &mut burst);
                burst.give_all(&mut pool);
                assert_eq!(pool.free() + pool.lent(), pool.made());
                assert_eq!(pool.jumbo_free(), 16);
                if last && received == 0 {
                    break;
                }
            }
        });
        let counts = port.device.counts();
        let kernel = meter.read().unwrap();
        let losses = meter.losses();
        assert_eq!(
            (counts.foreign, losses.too_long, losses.unsendable),
            (0, 0, 0)
        );
        assert_eq!(counts.chains, losses.no_buffer);
        assert!(counts.received > 1000, "{counts:?}");
        let dropped = kernel.receive_dropped + kernel.receive_ring_full + losses.no_buffer;
        let steered = port.steer.counts().unwrap();
        assert_eq!(
            counts.received + dropped,
            steered.to_us,
            "{kernel:?} {losses:?}"
        );
        drop(meter);
        port.close(&mut pool);
    });
}

#[test]
fn a_long_frame_for_a_socket_that_carries_none_is_counted_and_comes_home() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = jumbo_pool(1024, 2);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        assert!(!port.device.carries_jumbo());
        assert!(port.send(&mut pool, &numbered(1, 9014)));
        assert!(port.send(&mut pool, &numbered(2, 60)));
        let got = awaited("the other goes out", || peer.receive());
        assert_eq!(got, numbered(2, 60));
        assert_eq!(port.device.losses().unsendable, 1);
        assert_eq!(port.device.statistics().unwrap().send_invalid, 0);
        port.close(&mut pool);
    });
}

#[test]
fn an_mtu_that_no_buffer_holds_is_refused_before_a_frame_is_lost() {
    let wire = jumbo_wire();
    wire.here.inside(|| {
        let refused = Facts::of(US).unwrap().buffers(false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "its MTU is 9000, and one buffer holds a frame of 1792 bytes: lower it to 1770, or \
             start the datapath with `--jumbo 256`"
        );
        assert_eq!(Facts::of(US).unwrap().buffers(true), Ok(Buffers::Jumbo));
        // What it says is right: at that MTU the kernel lets no frame through that is too long.
        wire.here.ip(&["link", "set", US, "mtu", "1770"]);
        assert_eq!(Facts::of(US).unwrap().buffers(false), Ok(Buffers::Chunks));
        let peer = Raw::new(&wire.there, PEER);
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        for len in 1780..1810 {
            peer.send(&numbered(1, len));
        }
        assert!(peer.send(&numbered(2, 1770)));
        eventually("the last comes in", || {
            port.receive(&mut pool) == Some(numbered(2, 1770))
        });
        assert_eq!(port.device.statistics().unwrap().receive_dropped, 0);
        assert_eq!(port.device.counts().received, 1788 - 1780 + 2);
        port.close(&mut pool);
    });
}
