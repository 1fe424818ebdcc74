//! A bad wire: loses, reorders and stalls, by chance that a seed repeats.

use crate::Device;
use frame::{Burst, Frame, FramePool};

/// How often what goes wrong, each of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames that are lost, each way.
    pub lost: u16,
    /// Bursts of which two neighbours change places, each way.
    pub reordered: u16,
    /// Calls that move nothing, each way. What is to be sent stays with the caller.
    pub stalled: u16,
}

/// Frames that were lost, for the books to balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Frames that had come in, and were not handed on.
    pub received: u64,
    /// Frames that were to be sent, and were not.
    pub sent: u64,
}

/// A device with a bad wire. It keeps no frame back: what is lost goes home at once.
///
/// The same seed and the same calls give the same faults.
#[derive(Debug)]
pub struct Faulty<D> {
    device: D,
    faults: Faults,
    chance: Chance,
    lost: Lost,
}

impl<D> Faulty<D> {
    /// Puts a bad wire in front of `device`.
    pub fn new(device: D, faults: Faults, seed: u64) -> Self {
        Self {
            device,
            faults,
            chance: Chance(seed),
            lost: Lost::default(),
        }
    }

    /// What was lost.
    pub fn lost(&self) -> Lost {
        self.lost
    }

    /// The device behind the wire.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Changes how bad the wire is.
    pub fn set(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Loses and reorders what is in `frames` behind the first `spared`; says how many were lost.
    fn worsen(&mut self, pool: &mut FramePool, frames: &mut Burst, spared: usize) -> u64 {
        let swapped = self.chance.of_thousand(self.faults.reordered);
        let (mut lost, mut kept) = (0, None);
        // Once around: each frame is taken from the front and goes to the end again.
        for n in 0..frames.len() {
            let Some(frame) = frames.take(1).next() else {
                break;
            };
            if n >= spared && self.chance.of_thousand(self.faults.lost) {
                pool.give(frame);
                lost += 1;
            } else if swapped && n == spared {
                kept = Some(frame); // goes behind the next one
            } else {
                put_back(pool, frames, Some(frame));
                put_back(pool, frames, kept.take());
            }
        }
        put_back(pool, frames, kept);
        lost
    }
}

/// Puts a frame at the end of the burst it was just taken from.
fn put_back(pool: &mut FramePool, frames: &mut Burst, frame: Option<Frame>) {
    if let Some(Err(frame)) = frame.map(|frame| frames.push(frame)) {
        pool.give(frame); // never: there is the room it had
    }
}

impl<D: Device> Device for Faulty<D> {
    fn receive(&mut self, pool: &mut FramePool, into: &mut Burst) -> usize {
        if self.chance.of_thousand(self.faults.stalled) {
            return 0;
        }
        let before = into.len();
        self.device.receive(pool, into);
        self.lost.received += self.worsen(pool, into, before);
        into.len() - before
    }

    fn send(&mut self, pool: &mut FramePool, frames: &mut Burst) {
        if self.chance.of_thousand(self.faults.stalled) {
            return;
        }
        self.lost.sent += self.worsen(pool, frames, 0);
        self.device.send(pool, frames);
    }

    fn reclaim(&mut self, pool: &mut FramePool) {
        self.device.reclaim(pool);
    }

    fn wake(&mut self) {
        self.device.wake();
    }

    fn share(&mut self, frames: usize) {
        self.device.share(frames);
    }

    fn descriptor(&self) -> Option<i32> {
        self.device.descriptor()
    }
}

/// Numbers by chance: splitmix64, which a seed of any bits starts well.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of_thousand(&mut self, times: u16) -> bool {
        times > 0 && self.next() % 1000 < u64::from(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use frame::Region;

    const BAD: Faults = Faults {
        lost: 100,
        reordered: 200,
        stalled: 100,
    };

    /// Passes 400 numbered frames in through a bad wire and out again; what arrived, and what was
    /// lost.
    fn passed(faults: Faults, seed: u64) -> (Vec<u16>, Lost) {
        let mut pool = FramePool::new(Region::heap(64));
        let (device, end) = memory::pair(400);
        let mut device = Faulty::new(device, faults, seed);
        let mut burst = Burst::new(16);
        for n in 0..400u16 {
            assert!(end.inject(&n.to_be_bytes()));
        }
        for _ in 0..400 {
            device.receive(&mut pool, &mut burst);
            device.send(&mut pool, &mut burst);
        }
        assert_eq!((burst.len(), end.waiting()), (0, 0));
        assert_eq!(pool.free(), pool.made());
        let number = |frame: Vec<u8>| u16::from_be_bytes([frame[0], frame[1]]);
        let arrived = end.take_all().into_iter().map(number).collect();
        (arrived, device.lost())
    }

    #[test]
    fn a_good_wire_changes_nothing() {
        let (arrived, lost) = passed(Faults::default(), 1);
        assert_eq!(arrived, (0..400).collect::<Vec<_>>());
        assert_eq!(lost, Lost::default());
    }

    #[test]
    fn every_frame_arrives_once_or_is_counted_as_lost() {
        for seed in 0..50 {
            let (mut arrived, lost) = passed(BAD, seed);
            assert!(lost.received > 0 && lost.sent > 0, "seed {seed}: {lost:?}");
            assert_eq!(arrived.len() as u64 + lost.received + lost.sent, 400);
            assert!(
                !arrived.is_sorted(),
                "seed {seed}: something changed places"
            );
            arrived.sort_unstable();
            arrived.dedup();
            assert_eq!(arrived.len() as u64 + lost.received + lost.sent, 400);
        }
    }

    #[test]
    fn a_seed_repeats_what_went_wrong_and_another_does_not() {
        assert_eq!(passed(BAD, 7), passed(BAD, 7));
        assert_ne!(passed(BAD, 7), passed(BAD, 8));
    }

    #[test]
    fn frames_that_were_there_before_are_spared() {
        let mut pool = FramePool::new(Region::heap(4));
        let (device, end) = memory::pair(4);
        let all = Faults {
            lost: 1000,
            ..Faults::default()
        };
        let mut device = Faulty::new(device, all, 1);
        let mut burst = Burst::new(4);
        let mut frame = pool.take().unwrap();
        frame.fill(b"first").unwrap();
        burst.push(frame).unwrap();
        assert!(end.inject(b"second"));

        assert_eq!(device.receive(&mut pool, &mut burst), 0);
        assert_eq!(
            burst.iter().map(Frame::bytes).collect::<Vec<_>>(),
            [b"first"]
        );
        burst.give_all(&mut pool);
    }

    #[test]
    fn a_long_frame_arrives_whole_or_is_counted_as_lost() {
        let jumbo = Region::heap(4 * frame::JUMBO / frame::CHUNK);
        let mut pool = FramePool::new(Region::heap(64)).with_jumbo(jumbo);
        let (device, end) = memory::pair(100);
        let mut device = Faulty::new(device, BAD, 3);
        let mut burst = Burst::new(16);
        for n in 0..100 {
            assert!(end.inject(&vec![n; if n % 2 == 0 { 60 } else { frame::MAX_JUMBO }]));
        }
        for _ in 0..200 {
            device.receive(&mut pool, &mut burst);
            device.send(&mut pool, &mut burst);
        }
        let (arrived, lost) = (end.take_all(), device.lost());
        let whole = |frame: &Vec<u8>| {
            let len = if frame[0].is_multiple_of(2) {
                60
            } else {
                frame::MAX_JUMBO
            };
            *frame == vec![frame[0]; len]
        };
        assert!(arrived.iter().all(whole));
        assert!(lost.received > 0 && lost.sent > 0, "{lost:?}");
        assert_eq!(arrived.len() as u64 + lost.received + lost.sent, 100);
        assert_eq!((pool.free(), pool.jumbo_free()), (64, 4));
    }
}
