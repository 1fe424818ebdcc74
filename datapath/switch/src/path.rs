//! The ways through the switch, one line a service, in the order they run.

use crate::services::{
    Clamp, Complete, Decap, Encap, Fit, Flood, Forward, Guard, Learn, Storm, Suppress, expire,
};
use crate::{Batch, Cell, DropReason, Marks, Packet, Turn, Verdict, run, state};

/// A guest's frame, on its way out.
pub fn outbound(turn: &mut Turn<'_>, batch: &mut Batch) {
    turn.seen = Marks::NONE;
    run::<Guard>(turn, batch);
    run::<Complete>(turn, batch);
    bridge(turn, batch);
}

/// A peer's frame, on its way in.
pub fn inbound(turn: &mut Turn<'_>, batch: &mut Batch) {
    turn.seen = Marks::NONE;
    run::<Decap>(turn, batch);
    bridge(turn, batch);
}

/// What both ways share: from a frame and its network to an exit.
fn bridge(turn: &mut Turn<'_>, batch: &mut Batch) {
    run::<Learn>(turn, batch);
    run::<Suppress>(turn, batch);
    run::<Forward>(turn, batch);
    run::<Storm>(turn, batch);
    run::<Flood>(turn, batch);
    run::<Clamp>(turn, batch);
    run::<Fit>(turn, batch);
    run::<Encap>(turn, batch);
}

/// What time brings, when no packet does: once a turn, and little of it.
pub fn tend(turn: &mut Turn<'_>) {
    expire(turn);
    state::sweep(turn);
}

/// Moves the copies that a service made behind the packets they were made of: what leaves by one
/// exit leaves in order.
#[cold]
pub(crate) fn join(turn: &mut Turn<'_>, batch: &mut Batch) {
    let (counters, pool) = (turn.counters, &mut *turn.pool);
    batch.weave(turn.copies, |copy| {
        settle(counters, pool, copy, DropReason::FloodLimit);
    });
}

/// Ends a packet: counts why, and gives its buffer back.
pub fn settle(
    counters: &crate::Counters,
    pool: &mut frame::FramePool,
    packet: Packet,
    reason: DropReason,
) {
    counters.dropped(packet.origin.port, packet.vnet, reason);
    pool.give(packet.frame);
}

/// Takes the packets that end here out of `batch`, counted, and hands each of the others to
/// `leave`, in order.
pub fn depart(
    turn: &mut Turn<'_>,
    batch: &mut Batch,
    mut leave: impl FnMut(&mut Turn<'_>, Packet),
) {
    for packet in batch.drain() {
        match packet.verdict {
            Verdict::Send(_) | Verdict::HandOver(_) => leave(turn, packet),
            _ => end(turn, packet),
        }
    }
}

/// Ends a packet that does not leave: counts what became of it, and gives its buffer back.
#[cold]
fn end(turn: &mut Turn<'_>, packet: Packet) {
    match packet.verdict {
        Verdict::Heeded => {
            let (port, vnet) = (packet.origin.port, packet.vnet);
            turn.counters.both(port, vnet, Cell::Answered, 1);
            turn.pool.give(packet.frame);
        }
        // It is counted when the packet that it is a part of is, or when that is given up.
        Verdict::Held => turn.pool.give(packet.frame),
        Verdict::Drop(reason) => settle(turn.counters, turn.pool, packet, reason),
        // The last service of each way gives every packet a verdict.
        Verdict::Next | Verdict::Send(_) | Verdict::HandOver(_) => {
            settle(turn.counters, turn.pool, packet, DropReason::NoPort);
        }
    }
}

/// Counts a packet that has just come in by `packet.origin.port`.
#[inline]
pub fn arrived(turn: &Turn<'_>, packet: &Packet) {
    turn.counters.port(packet.origin.port, Cell::Received, 1);
    turn.counters.port(
        packet.origin.port,
        Cell::ReceivedBytes,
        packet.frame.len() as u64,
    );
}
