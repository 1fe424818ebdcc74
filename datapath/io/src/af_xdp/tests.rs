//! A device whose kernel is the test: what it does when the kernel does what it should not, or
//! not yet.

mod chains;

use super::ring::unowned::ring;
use super::*;
use frame::{CHUNK, HEADROOM, Region};

const SIZE: u32 = 256;
const RESERVE: usize = 32;

/// The kernel's ends of a device's rings. The socket is a real one, bound to nothing.
struct Kernel {
    rx: Producer<libc::xdp_desc>,
    tx: Consumer<libc::xdp_desc>,
    fill: Consumer<u64>,
    done: Producer<u64>,
}

fn device(pool: &FramePool) -> (AfXdp, Kernel) {
    let (rx_put, rx) = ring(SIZE, u32::MAX - 100);
    let (tx, tx_take) = ring(SIZE, u32::MAX - 100);
    let (fill, fill_take) = ring(SIZE, u32::MAX - 100);
    let (done_put, done) = ring(SIZE, u32::MAX - 100);
    let (base, bytes) = pool.memory();
    let device = AfXdp {
        rx,
        tx,
        fill,
        done,
        socket: Socket::new().unwrap(),
        memory: (base.as_ptr().addr(), bytes),
        borrower: Borrower::new(3),
        reserve: RESERVE,
        unshared: 0,
        in_flight_max: SIZE,
        in_flight: 0,
        jumbo: false,
        in_chain: false,
        mode: SocketMode::Copy,
        busy_poll: false,
        down: None,
        counts: Counts::default(),
        dropped: Arc::default(),
        notes: Vec::new(),
    };
    let kernel = Kernel {
        rx: rx_put,
        tx: tx_take,
        fill: fill_take,
        done: done_put,
    };
    (device, kernel)
}

impl Kernel {
    /// Takes the next empty frame, as a driver does.
    fn take_fill(&mut self) -> Option<u64> {
        if self.fill.ready(1) == 0 {
            return None;
        }
        let address = self.fill.take();
        self.fill.release();
        Some(address)
    }

    fn deliver(&mut self, addr: u64, len: u32, options: u32) {
        assert!(self.rx.room(1) > 0);
        self.rx.put(libc::xdp_desc { addr, len, options });
        self.rx.submit();
    }

    /// Sends all there is, and says that it has; how many there were.
    fn send_all(&mut self) -> u32 {
        let ready = self.tx.ready(SIZE);
        for _ in 0..ready {
            let sent = self.tx.take();
            assert!(self.done.room(1) > 0, "the completion ring overflows");
            self.done.put(sent.addr);
        }
        self.tx.release();
        self.done.submit();
        ready
    }
}

fn burst_of(pool: &mut FramePool, frames: usize) -> Burst {
    let mut burst = Burst::new(frames);
    for _ in 0..frames {
        let mut frame = pool.take().unwrap();
        frame.fill(&[7; 60]).unwrap();
        burst.push(frame).unwrap();
    }
    burst
}

#[test]
fn what_the_kernel_filled_is_received_where_it_lies() {
    let mut pool = FramePool::new(Region::heap(512));
    let (mut device, mut kernel) = device(&pool);
    let mut burst = Burst::new(8);
    device.reclaim(&mut pool);
    for n in 0..5 {
        let address = kernel.take_fill().unwrap();
        kernel.deliver(address + n, 60 + u32::try_from(n).unwrap(), 0);
    }
    assert_eq!(device.receive(&mut pool, &mut burst), 5);
    for (n, frame) in burst.iter().enumerate() {
        assert_eq!((frame.len(), frame.headroom()), (60 + n, HEADROOM + n));
    }
    burst.give_all(&mut pool);
    pool.reclaim_all(device.borrower());
    assert_eq!(pool.free(), pool.made());
}

#[test]
fn a_burst_takes_what_it_has_room_for_and_the_rest_waits() {
    let mut pool = FramePool::new(Region::heap(512));
    let (mut device, mut kernel) = device(&pool);
    device.reclaim(&mut pool);
    for _ in 0..10 {
        let address = kernel.take_fill().unwrap();
        kernel.deliver(address, 60, 0);
    }
    let mut burst = Burst::new(4);
    for expected in [4, 4, 2, 0] {
        assert_eq!(device.receive(&mut pool, &mut burst), expected);
        burst.give_all(&mut pool);
    }
    pool.reclaim_all(device.borrower());
}

#[test]
fn an_address_that_was_not_lent_is_counted_and_makes_no_frame() {
    let mut pool = FramePool::new(Region::heap(512));
    let (mut device, mut kernel) = device(&pool);
    device.reclaim(&mut pool);
    let address = kernel.take_fill().unwrap();
    let never_lent = (pool.made() * CHUNK) as u64 - 1;
    let in_reserve = (0..512u64)
        .map(|chunk| chunk * CHUNK as u64)
        .find(|address| {
            pool.restore(*address, 0, Borrower::new(3))
                .map(|f| pool.give(f))
                .is_none()
        })
        .unwrap();
    let cases = [
        (u64::MAX, 60),
        (never_lent + 1, 60),
        (in_reserve, 60),
        (address, u32::try_from(CHUNK).unwrap()), // past its chunk's end
        (address, u32::MAX),
    ];
    let mut burst = Burst::new(16);
    for (n, (address, len)) in cases.into_iter().enumerate() {
        kernel.deliver(address, len, 0);
        assert_eq!(device.receive(&mut pool, &mut burst), 0);
        assert_eq!(device.counts().foreign, n as u64 + 1);
    }
    for bogus in [u64::MAX, in_reserve] {
        kernel.done.put(bogus);
    }
    kernel.done.submit();
    device.reclaim(&mut pool);
    assert_eq!(device.counts().foreign, cases.len() as u64 + 2);
    assert_eq!(device.in_flight(), 0);
    pool.reclaim_all(device.borrower());
    assert_eq!(pool.free(), pool.made());
}

#[test]
fn the_fill_ring_is_filled_to_the_reserve_and_when_low_from_the_reserve_too() {
    // 256 + 32 would be all; there are fewer.
    let mut pool = FramePool::new(Region::heap(200));
    let (mut device, mut kernel) = device(&pool);
    device.reclaim(&mut pool);
    assert_eq!((pool.free(), pool.lent()), (RESERVE, 200 - RESERVE));

    // The kernel eats all but a few: the reserve stays until there are fewer than that.
    let low = FILL_LOW as usize;
    let mut taken: Vec<_> = (low..200 - RESERVE)
        .map(|_| kernel.take_fill().unwrap())
        .collect();
    device.reclaim(&mut pool);
    assert_eq!(pool.free(), RESERVE);
    for _ in 0..10 {
        taken.extend(kernel.take_fill());
    }
    device.reclaim(&mut pool);
    assert_eq!(pool.free(), RESERVE - 10);
    taken.extend(std::iter::from_fn(|| kernel.take_fill()));
    device.reclaim(&mut pool);
    assert_eq!(pool.free(), 0);
    taken.extend(std::iter::from_fn(|| kernel.take_fill()));
    assert_eq!(taken.len(), 200);

    // Nothing is left; what comes home goes in again at once.
    device.reclaim(&mut pool);
    assert_eq!(kernel.take_fill(), None);
    kernel.deliver(taken[0], 60, 0);
    let mut burst = Burst::new(1);
    assert_eq!(device.receive(&mut pool, &mut burst), 1);
    burst.give_all(&mut pool);
    device.reclaim(&mut pool);
    assert!(kernel.take_fill().is_some());
    pool.reclaim_all(device.borrower());
    assert_eq!(pool.free(), 200);
}

#[test]
fn a_device_keeps_to_its_share_of_the_frames() {
    let mut pool = FramePool::new(Region::heap(1024));
    let (mut device, mut kernel) = device(&pool);
    device.share(100);
    device.reclaim(&mut pool);
    assert_eq!(pool.lent(), 100);
    let taken: Vec<_> = (0..70).map(|_| kernel.take_fill().unwrap()).collect();
    device.reclaim(&mut pool);
    assert_eq!(pool.lent(), 170, "30 were left, and 70 more are asked for");

    device.share(0);
    device.reclaim(&mut pool);
    assert_eq!(pool.lent(), 170, "what lies there stays there");
    while kernel.take_fill().is_some() {}
    device.reclaim(&mut pool);
    assert_eq!(pool.lent(), 170 + FILL_LOW as usize, "it never runs dry");
    assert_eq!(taken.len(), 70);
    pool.reclaim_all(device.borrower());
    assert_eq!(pool.free(), 1024);
}

#[test]
fn no_more_are_in_flight_than_the_completion_ring_takes() {
    let mut pool = FramePool::new(Region::heap(2048));
    let (mut device, mut kernel) = device(&pool);
    let mut burst = burst_of(&mut pool, 1000);
    let mut sent = 0;
    for _ in 0..20 {
        device.send(&mut pool, &mut burst);
        device.down = None; // a socket that is bound to nothing says that it is gone
        assert!(device.in_flight() <= SIZE as usize);
        // The kernel takes frames, and only then has them done, while we do not look.
        sent += kernel.send_all();
        device.send(&mut pool, &mut burst);
        device.down = None;
        assert!(device.in_flight() <= SIZE as usize);
        device.reclaim(&mut pool);
        device.down = None;
    }
    sent += kernel.send_all();
    assert_eq!((sent, burst.len()), (1000, 0));
    device.reclaim(&mut pool);
    assert_eq!(device.in_flight(), 0);
    pool.reclaim_all(device.borrower());
    assert_eq!(pool.free(), pool.made());
}

#[test]
fn what_was_left_in_the_send_ring_is_kicked_in_the_next_turn() {
    let mut pool = FramePool::new(Region::heap(512));
    let (mut device, mut kernel) = device(&pool);
    let mut burst = burst_of(&mut pool, 10);
    // The kernel is at work and asks for nothing; then it stops, and asks.
    device.send(&mut pool, &mut burst);
    device.reclaim(&mut pool);
    assert_eq!(device.counts().kicks, 0);
    device.tx.ask_for_wakeup();
    device.reclaim(&mut pool);
    assert_eq!(device.counts().kicks, 1);

    // Once all is sent there is nothing to kick for.
    device.down = None;
    kernel.send_all();
    device.reclaim(&mut pool);
    device.reclaim(&mut pool);
    assert_eq!((device.counts().kicks, device.in_flight()), (1, 0));
    pool.reclaim_all(device.borrower());
}

#[test]
fn a_socket_that_is_gone_keeps_no_frame_of_its_caller() {
    let mut pool = FramePool::new(Region::heap(512));
    let (mut device, _kernel) = device(&pool);
    device.tx.ask_for_wakeup();
    let mut burst = burst_of(&mut pool, 10);
    device.send(&mut pool, &mut burst);
    assert_eq!(device.down(), Some(Down::Gone), "it is bound to nothing");
    assert_eq!(burst.len(), 0, "these were lent before that was known");
    let mut more = burst_of(&mut pool, 10);
    device.send(&mut pool, &mut more);
    assert_eq!(more.len(), 10);
    more.give_all(&mut pool);
    device.wake();
    device.reclaim(&mut pool);
    drop(device);
    pool.reclaim_all(Borrower::new(3));
    assert_eq!(pool.free(), pool.made());
}
