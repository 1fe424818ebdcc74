//! A port as the supervisor opens it, for tests.

#![allow(dead_code)] // each test file uses its part of it

use frame::{Borrower, Burst, CHUNK, FramePool, JUMBO};
use io::{AfXdp, Device, Memory, OpenRequest, Rings, Steer, Take};

pub(crate) const RINGS: Rings = Rings {
    receive: 256,
    send: 256,
    fill: 512,
    completion: 256,
};

pub(crate) fn pool(frames: usize) -> FramePool {
    FramePool::new(Memory::map(frames, false).unwrap().0)
}

pub(crate) fn request(
    interface: &'static str,
    pool: &FramePool,
    borrower: u16,
) -> OpenRequest<'static> {
    OpenRequest {
        rings: RINGS,
        ..OpenRequest::new(interface, 0, pool.memory(), Borrower::new(borrower))
    }
}

/// A pool of chunks, and of jumbo buffers behind them.
pub(crate) fn jumbo_pool(frames: usize, jumbo: usize) -> FramePool {
    let long = Memory::map(jumbo * JUMBO / CHUNK, false).unwrap().0;
    pool(frames).with_jumbo(long)
}

/// A port as the supervisor opens it: steer, then socket, then everything taken.
pub(crate) struct Port {
    // In this order they go, too.
    pub(crate) steer: Steer,
    pub(crate) device: AfXdp,
}

impl Port {
    /// On the interface of `request`, in the namespace of this thread.
    pub(crate) fn open(request: &OpenRequest<'_>, pool: &mut FramePool) -> Self {
        let mut steer = Steer::attach(request.interface, request.preference).unwrap();
        let request = OpenRequest {
            preference: steer.preference(request.preference),
            ..request.clone()
        };
        let device = AfXdp::open(&request).unwrap();
        let descriptor = device.descriptor().unwrap();
        steer.socket(request.queue, descriptor).unwrap();
        steer.take(Take::Everything).unwrap();
        let mut port = Self { steer, device };
        port.device.reclaim(pool);
        port
    }

    /// Receives one frame's bytes, if one is there.
    pub(crate) fn receive(&mut self, pool: &mut FramePool) -> Option<Vec<u8>> {
        let mut burst = Burst::new(1);
        self.device.reclaim(pool);
        self.device.receive(pool, &mut burst);
        let bytes = burst.iter().next().map(|frame| frame.bytes().to_vec());
        burst.give_all(pool);
        bytes
    }

    /// Sends one frame; false if the device would not carry it.
    pub(crate) fn send(&mut self, pool: &mut FramePool, bytes: &[u8]) -> bool {
        let mut burst = Burst::new(1);
        let mut frame = pool.take_for(bytes.len()).unwrap();
        frame.fill(bytes).unwrap();
        burst.push(frame).unwrap();
        self.device.send(pool, &mut burst);
        burst.give_all(pool) == 0
    }

    /// Ends it, in the order that is to be kept; every frame is home again.
    pub(crate) fn close(self, pool: &mut FramePool) {
        let borrower = self.device.borrower();
        drop(self.steer);
        drop(self.device);
        pool.reclaim_all(borrower);
        assert_eq!((pool.free(), pool.lent()), (pool.made(), 0));
        assert_eq!(pool.jumbo_free(), pool.jumbo_made());
    }
}
