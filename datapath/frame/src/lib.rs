//! Who owns which buffer.
//!
//! A [`Region`] is memory cut into chunks of [`CHUNK`] bytes. A [`FramePool`] makes one [`Frame`]
//! a chunk, once; a frame is then moved, never copied, never dropped: it comes home by
//! [`FramePool::give`]. Between the two it may be lent to somebody who knows only its address (the
//! kernel), and is restored from that address.
//!
//! What no chunk holds lies in a *jumbo buffer* of [`JUMBO`] bytes, if the pool was given some
//! ([`FramePool::with_jumbo`]). They are frames like any other, but never lent: whoever knows only
//! addresses gets a long frame in chunks, and gives it back in chunks. A pool without them works
//! as if there were none in the world.
//!
//! What holds, whatever happens:
//!
//! - a buffer has one owner: one frame, or the pool, or whoever it was lent to;
//! - `free + lent + in somebody's hands = made`, for chunks; the same without `lent` for jumbo
//!   buffers;
//! - an address the pool did not lend restores nothing;
//! - memory is freed only when every frame is home; otherwise it is left in place.

mod burst;
mod frame;
mod jumbo;
mod pool;
mod region;

pub use burst::Burst;
pub use frame::{Frame, TooLong, lost};
pub use pool::{Borrower, FramePool};
pub use region::Region;

/// Bytes of one chunk: what the kernel calls the UMEM chunk size. A power of two.
pub const CHUNK: usize = 2048;

/// Bytes of one jumbo buffer: whole chunks, and pages after every second one.
pub const JUMBO: usize = 5 * CHUNK;

/// Bytes in front of a received frame's first byte: room for outer headers. It is what XDP
/// leaves in front of every packet, so it costs nothing.
pub const HEADROOM: usize = 256;

/// The longest frame a chunk holds, in bytes, if nothing is put in front of it.
pub const MAX_FRAME: usize = CHUNK - HEADROOM;

/// The longest frame a jumbo buffer holds, in bytes, if nothing is put in front of it: an MTU of
/// 9,216 with an Ethernet header and two tags, and room over.
pub const MAX_JUMBO: usize = JUMBO - HEADROOM;

const _: () = assert!(MAX_JUMBO >= 9216 + 14 + 8 && JUMBO <= u16::MAX as usize);
