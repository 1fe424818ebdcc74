//! Frames longer than a chunk, and a kernel that cuts them as it likes.

use super::*;
use frame::{JUMBO, MAX_FRAME, MAX_JUMBO};

const MORE: u32 = libc::XDP_PKT_CONTD;

fn pool(chunks: usize, jumbo: usize) -> FramePool {
    FramePool::new(Region::heap(chunks)).with_jumbo(Region::heap(jumbo * JUMBO / CHUNK))
}

fn bytes(len: usize, salt: u8) -> Vec<u8> {
    let byte = |n: usize| (n.wrapping_mul(31) ^ (n >> 8)).to_le_bytes()[0] ^ salt;
    (0..len).map(byte).collect()
}

impl Kernel {
    /// Receives a frame, in as many parts as it takes.
    fn receive(&mut self, pool: &mut FramePool, whole: &[u8]) {
        let parts = whole.len().div_ceil(MAX_FRAME);
        for (n, part) in (1..).zip(whole.chunks(MAX_FRAME)) {
            let address = self.take_fill().unwrap();
            let mut frame = pool.restore(address, part.len(), Borrower::new(3)).unwrap();
            frame.bytes_mut().copy_from_slice(part);
            let address = pool.lend(frame, Borrower::new(3));
            let len = u32::try_from(part.len()).unwrap();
            self.deliver(address, len, if n < parts { MORE } else { 0 });
        }
    }

    /// Sends at most `count` descriptors, and adds what they have to `sent`, frame by frame.
    fn send(&mut self, pool: &mut FramePool, count: u32, sent: &mut Sent) {
        for _ in 0..self.tx.ready(count).min(count) {
            let descriptor = self.tx.take();
            let len = descriptor.len as usize;
            let frame = pool
                .restore(descriptor.addr, len, Borrower::new(3))
                .unwrap();
            sent.part.extend_from_slice(frame.bytes());
            assert!(self.done.room(1) > 0, "the completion ring overflows");
            self.done.put(pool.lend(frame, Borrower::new(3)));
            assert_eq!(descriptor.options & !MORE, 0);
            if descriptor.options == 0 {
                sent.whole.push(core::mem::take(&mut sent.part));
            }
        }
        self.tx.release();
        self.done.submit();
    }
}

/// What the kernel has sent: frames, and what it has of the next one.
#[derive(Default)]
struct Sent {
    whole: Vec<Vec<u8>>,
    part: Vec<u8>,
}

/// Frames of these lengths, one a buffer that holds it.
fn frames(pool: &mut FramePool, lengths: &[usize]) -> Burst {
    let mut burst = Burst::new(lengths.len());
    for (salt, len) in (0..).zip(lengths) {
        let mut frame = pool.take_for(*len).unwrap();
        frame.fill(&bytes(*len, salt)).unwrap();
        burst.push(frame).unwrap();
    }
    burst
}

/// Ends the device: every buffer is home.
fn end(device: AfXdp, mut pool: FramePool) {
    let borrower = device.borrower();
    drop(device);
    pool.reclaim_all(borrower);
    assert_eq!(pool.free(), pool.made());
    assert_eq!(pool.jumbo_free(), pool.jumbo_made());
}

#[test]
fn a_frame_of_any_length_comes_in_whole_and_goes_out_whole() {
    let mut pool = pool(512, 2);
    let (mut device, mut kernel) = device(&pool);
    device.jumbo = true;
    let mut burst = Burst::new(1);
    // Every length within 20 of a border, and some between.
    let near = |len: &usize| (len % MAX_FRAME + 20) % MAX_FRAME <= 40 || len.is_multiple_of(61);
    let lengths: Vec<_> = (SHORTEST..=MAX_JUMBO).filter(near).collect();
    for len in lengths.iter().copied().chain([9014, 9018, 9238, MAX_JUMBO]) {
        device.reclaim(&mut pool);
        device.down = None; // a socket that is bound to nothing says that it is gone
        let whole = bytes(len, 1);
        kernel.receive(&mut pool, &whole);
        assert_eq!(device.receive(&mut pool, &mut burst), 1, "{len} bytes");
        let frame = burst.iter().next().unwrap();
        assert_eq!(
            (frame.headroom(), frame.is_jumbo()),
            (HEADROOM, len > MAX_FRAME)
        );
        assert!(frame.bytes() == whole, "{len} bytes");

        device.send(&mut pool, &mut burst);
        device.down = None;
        assert_eq!((burst.len(), pool.jumbo_free()), (0, 2));
        assert_eq!(device.in_flight(), len.div_ceil(MAX_FRAME));
        let mut sent = Sent::default();
        kernel.send(&mut pool, SIZE, &mut sent);
        assert!(sent.whole == [whole], "{len} bytes");
    }
    device.reclaim(&mut pool);
    assert_eq!((device.in_flight(), device.counts().foreign), (0, 0));
    assert_eq!(device.losses(), Losses::default());
    end(device, pool);
}

#[test]
fn a_header_in_front_of_the_longest_frame_goes_out_with_it() {
    let mut pool = pool(16, 1);
    let (mut device, mut kernel) = device(&pool);
    device.jumbo = true;
    let mut burst = Burst::new(1);
    let mut frame = pool.take_for(MAX_JUMBO).unwrap();
    frame.fill(&bytes(MAX_JUMBO, 0)).unwrap();
    frame.prepend::<HEADROOM>().unwrap().fill(9);
    burst.push(frame).unwrap();
    device.send(&mut pool, &mut burst);
    let mut sent = Sent::default();
    kernel.send(&mut pool, SIZE, &mut sent);
    assert!(sent.whole == [[vec![9; HEADROOM], bytes(MAX_JUMBO, 0)].concat()]);
    end(device, pool);
}

#[test]
fn the_parts_of_a_frame_take_no_room_in_a_burst() {
    let mut pool = pool(512, 4);
    let (mut device, mut kernel) = device(&pool);
    device.reclaim(&mut pool);
    let lengths = [60, 9000, 9000, 60, 2000];
    for len in lengths {
        kernel.receive(&mut pool, &bytes(len, 0));
    }
    let mut burst = Burst::new(2);
    let mut received = Vec::new();
    for expected in [2, 2, 1, 0] {
        assert_eq!(device.receive(&mut pool, &mut burst), expected);
        received.extend(burst.iter().map(Frame::len));
        burst.give_all(&mut pool);
    }
    assert_eq!(received, lengths);
    end(device, pool);
}

#[test]
fn a_frame_whose_end_is_not_there_yet_waits_and_holds_nothing_up_for_ever() {
    let mut pool = pool(512, 4);
    let (mut device, mut kernel) = device(&pool);
    let mut burst = Burst::new(8);
    device.reclaim(&mut pool);
    let free = (pool.free(), pool.jumbo_free());
    for (options, received) in [(0, 1), (MORE, 0), (MORE, 0), (0, 1), (0, 1)] {
        let address = kernel.take_fill().unwrap();
        kernel.deliver(address, 1000, options);
        assert_eq!(device.receive(&mut pool, &mut burst), received);
    }
    let lengths: Vec<_> = burst.iter().map(Frame::len).collect();
    assert_eq!(lengths, [1000, 3000, 1000]);
    burst.give_all(&mut pool);
    assert_eq!((pool.free(), pool.jumbo_free()), (free.0 + 5, free.1));
    assert_eq!(device.losses(), Losses::default());
    end(device, pool);
}

#[test]
fn a_long_frame_is_dropped_whole_while_no_buffer_is_free_and_the_next_one_is_not() {
    for jumbo in [0, 1] {
        let mut pool = match jumbo {
            0 => FramePool::new(Region::heap(512)),
            _ => pool(512, jumbo),
        };
        let (mut device, mut kernel) = device(&pool);
        device.reclaim(&mut pool);
        let free = pool.free();
        for len in [60, 5000, 6000, 60] {
            kernel.receive(&mut pool, &bytes(len, 0));
        }
        let mut burst = Burst::new(8);
        assert_eq!(device.receive(&mut pool, &mut burst), 2 + jumbo);
        burst.give_all(&mut pool);
        let lost = 2 - jumbo as u64;
        assert_eq!(device.counts().chains, lost);
        let expected = Losses {
            no_buffer: lost,
            ..Losses::default()
        };
        assert_eq!(device.losses(), expected);
        assert_eq!(pool.free(), free + 2 + 3 + 4, "every part is home");

        kernel.receive(&mut pool, &bytes(7000, 0));
        assert_eq!(
            device.receive(&mut pool, &mut burst),
            jumbo,
            "it is home again"
        );
        burst.give_all(&mut pool);
        end(device, pool);
    }
}

#[test]
fn a_frame_longer_than_a_jumbo_buffer_is_dropped_to_its_end() {
    let mut pool = pool(512, 2);
    let (mut device, mut kernel) = device(&pool);
    device.reclaim(&mut pool);
    let free = pool.free();
    // One byte too many; more parts than any frame has, of a byte each; and a good one.
    kernel.receive(&mut pool, &bytes(MAX_JUMBO + 1, 0));
    for n in 0..50 {
        let address = kernel.take_fill().unwrap();
        kernel.deliver(address, 1, if n < 49 { MORE } else { 0 });
    }
    kernel.receive(&mut pool, &bytes(MAX_JUMBO, 0));
    let mut burst = Burst::new(8);
    assert_eq!(device.receive(&mut pool, &mut burst), 1);
    assert!(burst.iter().next().unwrap().bytes() == bytes(MAX_JUMBO, 0));
    burst.give_all(&mut pool);
    assert_eq!((device.losses().too_long, device.counts().chains), (2, 2));
    assert_eq!(pool.free(), free + 6 + 50 + 6);
    end(device, pool);
}

#[test]
fn a_part_that_was_not_lent_costs_its_frame_and_no_buffer() {
    let mut pool = pool(512, 2);
    let (mut device, mut kernel) = device(&pool);
    device.reclaim(&mut pool);
    for address in [kernel.take_fill().unwrap(), u64::MAX] {
        kernel.deliver(address, 1500, MORE);
    }
    let last = kernel.take_fill().unwrap();
    kernel.deliver(last, 60, 0);
    kernel.receive(&mut pool, &bytes(60, 0));
    let mut burst = Burst::new(8);
    assert_eq!(device.receive(&mut pool, &mut burst), 1);
    assert_eq!(burst.iter().next().unwrap().bytes(), bytes(60, 0));
    burst.give_all(&mut pool);
    assert_eq!((device.counts().foreign, device.losses().too_long), (1, 1));
    end(device, pool);
}

#[test]
fn a_long_frame_is_sent_whole_or_stays() {
    // 9,000 bytes are six chunks; five are left.
    let mut pool = pool(10, 2);
    let (mut device, mut kernel) = device(&pool);
    device.jumbo = true;
    let mut held: Vec<_> = (0..4).map(|_| pool.take().unwrap()).collect();
    let mut burst = frames(&mut pool, &[60, 9000, 9001]);
    device.send(&mut pool, &mut burst);
    device.down = None;
    let mut sent = Sent::default();
    kernel.send(&mut pool, SIZE, &mut sent);
    assert!((sent.whole.len(), sent.part.len(), burst.len()) == (1, 0, 2));

    pool.give(held.pop().unwrap());
    device.send(&mut pool, &mut burst);
    device.down = None;
    kernel.send(&mut pool, SIZE, &mut sent);
    assert!((sent.whole.len(), sent.part.len(), burst.len()) == (2, 0, 1));
    assert!(sent.whole[1] == bytes(9000, 1));
    assert!(burst.iter().next().unwrap().bytes() == bytes(9001, 2));
    burst.give_all(&mut pool);
    for frame in held {
        pool.give(frame);
    }
    end(device, pool);
}

#[test]
fn a_socket_that_carries_no_long_frame_drops_it_counted_and_not_the_rest() {
    let mut pool = pool(64, 4);
    let (mut device, mut kernel) = device(&pool);
    let mut burst = frames(&mut pool, &[60, 9000, 9000, MAX_FRAME + 1]);
    // One of them was cut since: its buffer is long, and it is not; another to nothing.
    let mut cut: Vec<_> = burst.take(4).collect();
    cut[1].truncate(100);
    cut[2].truncate(SHORTEST - 1);
    for frame in cut {
        burst.push(frame).unwrap();
    }
    device.send(&mut pool, &mut burst);
    assert_eq!((burst.len(), pool.jumbo_free()), (0, 4));
    let mut sent = Sent::default();
    kernel.send(&mut pool, SIZE, &mut sent);
    assert_eq!(sent.whole, [bytes(60, 0), bytes(9000, 1)[..100].to_vec()]);
    assert_eq!((device.losses().unsendable, device.counts().short), (1, 1));
    end(device, pool);
}

/// Any frames, through a kernel that is slow by chance: in order, whole, and with the books right.
#[test]
fn frames_of_any_length_in_any_order_keep_it_and_lose_nothing() {
    for seed in 1..20u64 {
        let mut chance = seed;
        let mut by_chance = |below: usize| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            usize::try_from(chance >> 33).unwrap() % below
        };
        let mut pool = pool(300, 8);
        let (mut device, mut kernel) = device(&pool);
        device.jumbo = true;
        let (mut burst, mut expected, mut sent) = (Burst::new(16), Vec::new(), Sent::default());
        for step in 0..400 {
            let longest = [100, MAX_FRAME + 3, MAX_JUMBO][by_chance(3)];
            let len = SHORTEST + by_chance(longest - SHORTEST);
            let salt = u8::try_from(step % 256).unwrap();
            if burst.room() > 0
                && step < 300
                && let Some(mut frame) = pool.take_for(len)
            {
                frame.fill(&bytes(len, salt)).unwrap();
                expected.push(bytes(len, salt));
                burst.push(frame).unwrap();
            }
            if by_chance(3) == 0 || step >= 300 {
                device.send(&mut pool, &mut burst);
                device.down = None;
            }
            kernel.send(&mut pool, u32::try_from(by_chance(5)).unwrap(), &mut sent);
            device.complete(&mut pool);
            assert_eq!(pool.free() + pool.lent() + short(&burst), pool.made());
            assert_eq!(
                pool.jumbo_free() + burst.len() - short(&burst),
                pool.jumbo_made()
            );
        }
        assert!(burst.is_empty() && sent.whole == expected, "seed {seed}");
        end(device, pool);
    }
}

fn short(burst: &Burst) -> usize {
    burst.iter().filter(|frame| !frame.is_jumbo()).count()
}
