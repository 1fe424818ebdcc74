//! What waits to leave by one device.

use frame::{Burst, Frame, FramePool};
use io::Device;
use std::collections::VecDeque;
use switch::{Cell, Counters, DropReason, Marks, Packet};

/// Frames that wait to leave by one device, each with whom to credit for it.
///
/// A packet counts as sent when the device has taken it, and not before: what the device cannot
/// carry waits here, and what finds no room here is dropped and counted.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: Burst,
    credits: VecDeque<Credit>,
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug)]
struct Credit {
    /// The slot of the port it came in by.
    port: u16,
    /// The slot of its network.
    vnet: u16,
    /// Its length, in bytes.
    len: u16,
    /// Whether it is our answer to what came in.
    answer: bool,
}

impl Outbox {
    /// An empty one, with room for `room` frames.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            frames: Burst::new(room),
            credits: VecDeque::with_capacity(room),
        }
    }

    /// Adds a packet; drops it, counted, if there is no room.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // a frame is shorter than its chunk
    pub(crate) fn add(&mut self, packet: Packet, pool: &mut FramePool, counters: &Counters) {
        let Packet {
            frame,
            origin,
            vnet,
            headers,
            ..
        } = packet;
        let credit = Credit {
            port: origin.port,
            vnet,
            len: frame.len() as u16,
            answer: headers.marks.any(Marks::ANSWER),
        };
        match self.frames.push(frame) {
            Ok(()) => self.credits.push_back(credit),
            Err(frame) => refuse(frame, credit, pool, counters, DropReason::ExitFull),
        }
    }

    /// Gives `device`, the port in slot `exit`, what it can carry; says how many frames that were.
    #[inline]
    pub(crate) fn flush(
        &mut self,
        device: &mut dyn Device,
        exit: u16,
        pool: &mut FramePool,
        counters: &Counters,
    ) -> usize {
        let before = self.frames.len();
        if before == 0 {
            return 0;
        }
        device.send(pool, &mut self.frames);
        let gone = before - self.frames.len();
        for credit in self.credits.drain(..gone) {
            let bytes = u64::from(credit.len);
            let became = if credit.answer {
                Cell::Answered
            } else {
                Cell::Sent
            };
            counters.both(credit.port, credit.vnet, became, 1);
            counters.both(exit, credit.vnet, Cell::Transmitted, 1);
            counters.both(exit, credit.vnet, Cell::TransmittedBytes, bytes);
        }
        gone
    }

    /// Drops everything, counted: the device is going away.
    pub(crate) fn clear(&mut self, pool: &mut FramePool, counters: &Counters) {
        for (frame, credit) in self.frames.take(usize::MAX).zip(self.credits.drain(..)) {
            refuse(frame, credit, pool, counters, DropReason::PortDown);
        }
    }

    /// How many frames wait.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}

fn refuse(
    frame: Frame,
    credit: Credit,
    pool: &mut FramePool,
    counters: &Counters,
    reason: DropReason,
) {
    counters.dropped(credit.port, credit.vnet, reason);
    pool.give(frame);
}
