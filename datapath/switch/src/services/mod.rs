//! The steps of a path, one file each.

mod clamp;
mod complete;
mod decap;
mod encap;
mod fit;
mod flood;
mod forward;
mod guard;
mod learn;
mod storm;
mod suppress;

pub use clamp::Clamp;
pub use complete::Complete;
pub use decap::Decap;
pub(crate) use decap::{WHOLE_LEN, expire};
pub use encap::Encap;
pub use fit::Fit;
pub use flood::Flood;
pub use forward::Forward;
pub use guard::Guard;
pub use learn::Learn;
pub use storm::Storm;
pub use suppress::Suppress;

use crate::{Cell, DropReason, Headers, Marks, Packet, Turn};

/// Makes another packet beside `packet`, from the same place and to the same exit, of `parts`;
/// counts it, and if there is no room for it, its end.
fn sibling(turn: &mut Turn<'_>, packet: &Packet, parts: &[&[u8]]) {
    let (port, vnet) = (packet.origin.port, packet.vnet);
    turn.counters.both(port, vnet, Cell::Copied, 1);
    if turn.copies.room() == 0 {
        return turn.counters.dropped(port, vnet, DropReason::FloodLimit);
    }
    let len = parts.iter().map(|part| part.len()).sum();
    let Some(mut frame) = turn.pool.take_for(len) else {
        return turn.counters.dropped(port, vnet, DropReason::NoFrame);
    };
    frame.clear();
    if parts.iter().any(|part| frame.append(part).is_err()) {
        turn.pool.give(frame);
        return turn.counters.dropped(port, vnet, DropReason::TooBig);
    }
    let mut copy = packet.sibling(frame);
    copy.headers = Headers::of(copy.frame.bytes());
    let kept = packet
        .headers
        .marks
        .only(Marks::FLOODED.with(Marks::ANSWER));
    copy.headers.marks = copy.headers.marks.with(kept);
    if let Err(copy) = turn.copies.push(copy) {
        turn.pool.give(copy.frame);
        turn.counters.dropped(port, vnet, DropReason::FloodLimit);
    }
}
