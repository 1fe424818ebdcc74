//! Nothing is allocated on the way of a frame. Wants root and `ip`.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

mod netns;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use frame::{Borrower, Burst, CHUNK, FramePool, JUMBO, MAX_FRAME};
use io::{AfXdp, Device, Memory, OpenRequest, Preference, Rings, Steer, Take, memory};
use netns::{PEER, Raw, US, Wire, numbered};
use std::alloc::System;

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system's allocator's; the count is a number of this thread, and asks
// for no memory itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Turns of a device that sends back what it receives; how often they asked for memory, and how
/// many frames they moved.
fn turns(
    device: &mut dyn Device,
    pool: &mut FramePool,
    burst: &mut Burst,
    mut feed: impl FnMut(u32),
) -> (u64, usize) {
    let (mut asked, mut moved) = (0, 0);
    for turn in 0..2000 {
        feed(turn);
        let before = ASKED.get();
        device.reclaim(pool);
        moved += device.receive(pool, burst);
        device.send(pool, burst);
        device.wake();
        asked += ASKED.get() - before;
        burst.give_all(pool);
    }
    (asked, moved)
}

#[test]
fn a_socket_allocates_nothing() {
    turned_by_a_socket(&Wire::new(), 300);
}

#[test]
fn a_socket_that_carries_long_frames_allocates_nothing() {
    let wire = Wire::new();
    wire.here.ip(&["link", "set", US, "mtu", "9000"]);
    wire.there.ip(&["link", "set", PEER, "mtu", "9000"]);
    turned_by_a_socket(&wire, 9014);
}

fn turned_by_a_socket(wire: &Wire, len: usize) {
    let peer = Raw::new(&wire.there, PEER);
    wire.here.inside(|| {
        let jumbo = Memory::map(64 * JUMBO / CHUNK, false).unwrap().0;
        let pool = FramePool::new(Memory::map(1024, false).unwrap().0);
        let mut pool = pool.with_jumbo(jumbo);
        let mut steer = Steer::attach(US, Preference::Auto).unwrap();
        let usual = OpenRequest::new(US, 0, pool.memory(), Borrower::new(1));
        let rings = Rings {
            fill: 512,
            ..usual.rings
        };
        let mut device = AfXdp::open(&OpenRequest {
            rings,
            jumbo: len > MAX_FRAME,
            ..usual
        })
        .unwrap();
        device.reclaim(&mut pool);
        steer.socket(0, device.descriptor().unwrap()).unwrap();
        steer.take(Take::Everything).unwrap();

        let mut burst = Burst::new(64);
        let frame = numbered(1, len);
        let feed = |_| assert!(peer.send(&frame));
        let (asked, moved) = turns(&mut device, &mut pool, &mut burst, feed);
        assert!(moved > 1000, "{moved} frames moved");
        assert_eq!(asked, 0);
        drop((steer, device));
        pool.reclaim_all(Borrower::new(1));
        assert_eq!(pool.free(), pool.made());
        assert_eq!(pool.jumbo_free(), 64);
    });
}

#[test]
fn a_device_in_memory_allocates_nothing_once_warm() {
    let mut pool = FramePool::new(Memory::map(64, false).unwrap().0);
    let (mut device, end) = memory::pair(16);
    let mut burst = Burst::new(8);
    let frame = numbered(1, 300);
    let mut feed = |_| {
        assert!(end.inject(&frame));
        end.take_with(|sent| assert_eq!(sent, frame));
    };
    turns(&mut device, &mut pool, &mut burst, &mut feed);
    let (asked, moved) = turns(&mut device, &mut pool, &mut burst, &mut feed);
    assert_eq!((asked, moved), (0, 2000));
    assert_eq!(pool.free(), pool.made());
}
