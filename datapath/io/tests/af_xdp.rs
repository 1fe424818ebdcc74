//! `AF_XDP` sockets on real veths, in network namespaces of their own. Wants root and `ip`.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

mod netns;
mod port;

use frame::{Borrower, Burst};
use io::{
    AfXdp, BusyPoll, Device, Down, Facts, Note, OpenError, OpenRequest, Preference, Rings,
    SocketMode, Steer,
};
use netns::{PEER, Raw, US, Wire, awaited, eventually, numbered};
use port::{Port, RINGS, pool, request};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

#[test]
fn frames_of_every_size_cross_both_ways_and_come_home() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        assert_eq!(port.device.mode(), SocketMode::Copy);
        assert_eq!(port.device.notes(), [Note::NoZeroCopy(libc::EOPNOTSUPP)]);

        for len in 60..=1614 {
            let sent = numbered(u32::try_from(len).unwrap(), len);
            assert!(peer.send(&sent));
            let got = awaited("a frame comes in", || port.receive(&mut pool));
            assert_eq!(got, sent, "{len} bytes in");

            let back = numbered(u32::try_from(len + 10_000).unwrap(), len);
            assert!(port.send(&mut pool, &back));
            let got = awaited("a frame goes out", || peer.receive());
            assert_eq!(got, back, "{len} bytes out");
        }
        eventually("what was sent comes home", || {
            port.device.reclaim(&mut pool);
            port.device.in_flight() == 0
        });
        assert_eq!(pool.free() + pool.lent(), pool.made());
        let counts = port.device.counts();
        assert_eq!((counts.received, counts.sent), (1555, 1555));
        assert_eq!((counts.foreign, counts.chains, counts.busy), (0, 0, 0));
        let kernel = port.device.statistics().unwrap();
        assert_eq!((kernel.fill_ring_empty, kernel.send_invalid), (0, 0));
        assert_eq!(port.steer.counts().unwrap().to_us, 1555);
        port.close(&mut pool);
    });
}

#[test]
fn a_frame_goes_from_port_to_port_in_the_memory_it_came_in() {
    let (left, right) = (Wire::new(), Wire::new());
    let (from, to) = (Raw::new(&left.there, PEER), Raw::new(&right.there, PEER));
    right.here.ip(&["link", "set", US, "down"]);
    right.here.ip(&["link", "set", US, "name", "other"]);
    right
        .here
        .ip(&["link", "set", "other", "netns", left.here.name()]);
    left.here.ip(&["link", "set", "other", "up"]);
    left.here.inside(|| {
        let mut pool = pool(2048);
        let mut one = Port::open(&request(US, &pool, 1), &mut pool);
        let mut other = Port::open(&request("other", &pool, 2), &mut pool);
        let mut burst = Burst::new(64);
        for n in 0..100 {
            assert!(from.send(&numbered(n, 200)));
        }
        let mut passed = Vec::new();
        eventually("100 frames are passed on", || {
            one.device.reclaim(&mut pool);
            other.device.reclaim(&mut pool);
            one.device.receive(&mut pool, &mut burst);
            other.device.send(&mut pool, &mut burst);
            passed.extend(std::iter::from_fn(|| to.receive()));
            passed.len() >= 100
        });
        let sent: Vec<_> = (0..100).map(|n| numbered(n, 200)).collect();
        assert_eq!(passed, sent);
        assert_eq!(burst.len(), 0);
        drop((one, other));
        pool.reclaim_all(Borrower::new(1));
        pool.reclaim_all(Borrower::new(2));
        assert_eq!(pool.free(), pool.made());
    });
}

#[test]
fn a_flood_never_finds_the_fill_ring_dry() {
    const FLOOD: u32 = 100_000;
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        // Fewer frames than one ring each would hold: the rings compete for them.
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        let (ended, sent) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..FLOOD {
                    let taken = peer.send(&numbered(n, 60));
                    sent.fetch_add(u32::from(taken), Ordering::Relaxed);
                }
                ended.store(true, Ordering::Release);
            });
            let mut burst = Burst::new(64);
            loop {
                let last = ended.load(Ordering::Acquire);
                port.device.reclaim(&mut pool);
                let received = port.device.receive(&mut pool, &mut burst);
                // All of it back again, so that sending competes for frames too.
                port.device.send(&mut pool, &mut burst);
                burst.give_all(&mut pool);
                assert_eq!(pool.free() + pool.lent(), pool.made());
                if last && received == 0 {
                    break;
                }
            }
        });
        let kernel = port.device.statistics().unwrap();
        let counts = port.device.counts();
        assert_eq!(kernel.fill_ring_empty, 0, "{kernel:?}");
        assert_eq!(counts.foreign, 0);
        assert!(counts.received > 1000, "{counts:?}");
        let steered = port.steer.counts().unwrap();
        let dropped = kernel.receive_dropped + kernel.receive_ring_full;
        assert_eq!(counts.received + dropped, steered.to_us, "{kernel:?}");
        port.close(&mut pool);
    });
}

#[test]
fn an_interface_that_goes_away_is_an_answer() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        assert!(port.send(&mut pool, &numbered(1, 60)));
        assert_eq!(port.device.down(), None);
        wire.here.ip(&["link", "del", US]);

        port.send(&mut pool, &numbered(2, 60));
        port.device.wake();
        assert_eq!(port.device.down(), Some(Down::Gone));
        assert!(!port.send(&mut pool, &numbered(3, 60)), "it stays with us");
        assert_eq!(port.receive(&mut pool), None);
        port.device.wake();
        assert_eq!(port.device.down(), Some(Down::Gone));
        port.close(&mut pool);
    });
}

#[test]
fn an_interface_that_goes_down_and_up_goes_on() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        wire.here.ip(&["link", "set", US, "down"]);
        port.send(&mut pool, &numbered(1, 60));
        port.device.wake();
        assert_eq!(port.device.down(), Some(Down::Interface));
        assert!(!port.send(&mut pool, &numbered(2, 60)), "it stays with us");

        wire.here.ip(&["link", "set", US, "up"]);
        eventually("the interface is up again", || {
            port.device.wake();
            port.device.down().is_none()
        });
        let mut heard = Vec::new();
        eventually("frames go out again", || {
            port.device.reclaim(&mut pool);
            assert!(port.send(&mut pool, &numbered(3, 60)));
            heard.extend(std::iter::from_fn(|| peer.receive()));
            heard.contains(&numbered(3, 60))
        });
        eventually("frames come in again", || {
            peer.send(&numbered(4, 60));
            port.receive(&mut pool) == Some(numbered(4, 60))
        });
        port.close(&mut pool);
    });
}

#[test]
fn one_call_sends_a_burst_of_any_size() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut pool = pool(4096);
        let usual = OpenRequest::new(US, 0, pool.memory(), Borrower::new(1));
        let rings = Rings {
            fill: 64,
            ..usual.rings
        };
        let mut port = Port::open(&OpenRequest { rings, ..usual }, &mut pool);
        let mut burst = Burst::new(2048);
        while burst.room() > 0 {
            let mut frame = pool.take().unwrap();
            frame.fill(&numbered(1, 60)).unwrap();
            burst.push(frame).unwrap();
        }
        port.device.send(&mut pool, &mut burst);
        assert_eq!(burst.len(), 0);
        assert_eq!(port.device.counts().left, 0, "{:?}", port.device.counts());
        let kicks = port.device.counts().kicks;
        eventually("all of them come home", || {
            port.device.reclaim(&mut pool);
            port.device.in_flight() == 0
        });
        assert_eq!(
            port.device.counts().kicks,
            kicks,
            "none waited for another kick"
        );
        port.close(&mut pool);
    });
}

#[test]
fn the_descriptor_wakes_a_sleeper_when_a_frame_is_there() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        assert!(!readable(&port.device, 0), "nothing is there");
        assert!(peer.send(&numbered(1, 60)));
        assert!(readable(&port.device, 10_000));
        assert_eq!(port.receive(&mut pool), Some(numbered(1, 60)));
        assert!(!readable(&port.device, 0), "it was taken");
        port.close(&mut pool);
    });
}

/// Whether there is something to receive, within so many milliseconds.
fn readable(device: &AfXdp, within: i32) -> bool {
    let mut descriptor = libc::pollfd {
        fd: device.descriptor().unwrap(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one descriptor is read and written, and it is there.
    let ready = unsafe { libc::poll(&raw mut descriptor, 1, within) };
    ready == 1 && descriptor.revents & libc::POLLIN != 0
}

#[test]
fn a_peer_that_is_down_costs_frames_and_no_buffers() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        wire.there.ip(&["link", "set", PEER, "down"]);
        for n in 0..1000 {
            assert!(port.send(&mut pool, &numbered(n, 60)));
            port.device.reclaim(&mut pool);
        }
        eventually("what was not carried comes home", || {
            port.device.reclaim(&mut pool);
            port.device.in_flight() == 0
        });
        assert_eq!(port.device.down(), None, "our end is up");
        assert!(port.device.counts().busy > 0, "{:?}", port.device.counts());
        port.close(&mut pool);
    });
}

#[test]
fn a_queue_is_opened_again_right_after_it_was_closed() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = pool(1024);
        for n in 0..20 {
            let mut port = Port::open(&request(US, &pool, 1), &mut pool);
            eventually("a frame comes in", || {
                peer.send(&numbered(n, 60));
                port.receive(&mut pool) == Some(numbered(n, 60))
            });
            port.close(&mut pool);
        }
    });
}

#[test]
fn a_queue_that_is_still_being_let_go_of_is_waited_for() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let pool = pool(1024);
        let first = AfXdp::open(&request(US, &pool, 1)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                drop(first);
            });
            AfXdp::open(&request(US, &pool, 2)).unwrap();
        });
        for _ in 0..10 {
            drop(AfXdp::open(&request(US, &pool, 1)).unwrap());
        }
    });
}

#[test]
fn a_queue_that_somebody_has_is_refused_in_words() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let port = Port::open(&request(US, &pool, 1), &mut pool);
        let second = OpenRequest {
            patience: Duration::from_millis(100),
            ..request(US, &pool, 2)
        };
        let error = AfXdp::open(&second).unwrap_err();
        assert_eq!(
            error.to_string(),
            "queue 0 of `us` is another AF_XDP socket's, and still was after 100 ms: \
             find its owner with `ss --xdp -ap`"
        );
        port.close(&mut pool);
    });
}

#[test]
fn what_cannot_be_opened_is_said_in_words() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let pool = pool(64);
        let said = |request: &OpenRequest<'_>| AfXdp::open(request).unwrap_err();

        let error = said(&request("gh-none", &pool, 1));
        assert_eq!(error.to_string(), "there is no interface `gh-none`");
        let error = said(&OpenRequest {
            queue: 7,
            ..request(US, &pool, 1)
        });
        assert!(
            matches!(error, OpenError::NoQueue { queue: 7, .. }),
            "{error}"
        );
        let error = said(&OpenRequest {
            preference: Preference::ZeroCopy,
            ..request(US, &pool, 1)
        });
        assert!(matches!(error, OpenError::NoZeroCopy { .. }), "{error}");
        for got in [0, 32, 1000] {
            let rings = Rings { fill: got, ..RINGS };
            let error = said(&OpenRequest {
                rings,
                ..request(US, &pool, 1)
            });
            assert_eq!(
                error.to_string(),
                format!("{got} is no size for a ring: it must be a power of two, and 64 at least")
            );
        }
    });
}

#[test]
fn every_queue_of_an_interface_can_be_opened() {
    let wire = Wire::with_queues(2);
    wire.here.inside(|| {
        let facts = Facts::of(US).unwrap();
        assert_eq!((facts.rx_queues, facts.mtu, facts.up), (2, 1600, true));
        assert!(
            wire.here
                .ip(&["link", "show", US])
                .contains(&mac(facts.mac))
        );

        let mut pool = pool(4096);
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        let mut devices = Vec::new();
        for queue in 0..facts.rx_queues {
            let device = AfXdp::open(&OpenRequest {
                queue,
                borrower: Borrower::new(u16::try_from(queue).unwrap()),
                ..request(US, &pool, 0)
            });
            let mut device = device.unwrap();
            device.reclaim(&mut pool);
            steer.socket(queue, device.descriptor().unwrap()).unwrap();
            devices.push(device);
        }
        drop((steer, devices));
        for borrower in 0..2 {
            let frames = pool.reclaim_all(Borrower::new(borrower));
            assert_eq!(frames, RINGS.fill as usize);
        }
        assert_eq!(pool.free(), pool.made());
    });
}

fn mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[test]
fn a_frame_longer_than_a_chunk_is_dropped_and_counted_by_the_kernel() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.ip(&["link", "set", US, "mtu", "9000"]);
    wire.there.ip(&["link", "set", PEER, "mtu", "9000"]);
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        for len in [frame::MAX_FRAME + 1, 4000, 9014] {
            assert!(peer.send(&numbered(1, len)));
        }
        assert!(peer.send(&numbered(2, frame::MAX_FRAME)));
        let got = awaited("the frame that fits comes in", || port.receive(&mut pool));
        assert_eq!(got, numbered(2, frame::MAX_FRAME));
        let kernel = port.device.statistics().unwrap();
        assert_eq!(kernel.receive_dropped, 3, "{kernel:?}");
        assert_eq!(port.device.counts().received, 1);
        port.close(&mut pool);
    });
}

#[test]
fn a_frame_too_short_to_be_one_is_counted_and_comes_home() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let mut pool = pool(1024);
        let mut port = Port::open(&request(US, &pool, 1), &mut pool);
        for len in 0..14 {
            assert!(port.send(&mut pool, &numbered(1, len)));
        }
        assert_eq!(port.device.counts().short, 14);
        assert_eq!(pool.lent(), RINGS.fill as usize);
        assert_eq!(port.device.statistics().unwrap().send_invalid, 0);
        port.close(&mut pool);
    });
}

#[test]
fn generic_xdp_and_busy_polling_carry_frames_too() {
    let wire = Wire::new();
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let mut pool = pool(1024);
        for (preference, busy_poll) in [
            (Preference::Generic, None),
            (Preference::Copy, None),
            (Preference::Auto, Some(BusyPoll::default())),
        ] {
            let request = OpenRequest {
                preference,
                busy_poll,
                ..request(US, &pool, 1)
            };
            let mut port = Port::open(&request, &mut pool);
            for n in 0..200 {
                assert!(peer.send(&numbered(n, 300)));
                eventually("a frame comes in", || {
                    port.receive(&mut pool) == Some(numbered(n, 300))
                });
                assert!(port.send(&mut pool, &numbered(n + 1000, 300)));
                eventually("a frame goes out", || {
                    peer.receive() == Some(numbered(n + 1000, 300))
                });
            }
            port.close(&mut pool);
        }
    });
}

#[test]
#[should_panic(expected = "another pool")]
fn a_device_used_with_another_pool_is_a_bug() {
    let wire = Wire::new();
    wire.here.inside(|| {
        let (one, mut other) = (pool(64), pool(64));
        let mut device = AfXdp::open(&request(US, &one, 1)).unwrap();
        device.reclaim(&mut other);
    });
}
