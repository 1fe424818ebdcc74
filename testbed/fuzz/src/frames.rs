//! Any frames at any port, in bursts, through both ways of `path`.
//!
//! An input is a scene, a byte, and a list of frames, each with the port it comes in by and the
//! time that passes before it. So that coverage is not spent on guessing checksums, a frame may
//! ask for an envelope of any kind, for a part of one, or to have its checksums mended.
//!
//! What holds: every frame buffer is home after each burst; every ledger balances, but for the
//! fragments that are held, and within two seconds none is; nothing leaves but by a port of its
//! own network that is up, or in an envelope of its own vnet that is right in every field and put
//! together from its pieces; nothing longer than its way leaves; nothing goes from peer to peer,
//! and only an answer to where it came from; nobody is learned who cannot be a station, and no
//! more than may be.

mod judge;
mod scene;
mod told;
mod world;

pub use told::{Detail, Shape, Told, UNDERLAY};
pub use world::Tally;

use world::World;

/// Plays `bytes`; panics if anything that must hold does not.
pub fn check(bytes: &[u8]) {
    play(bytes);
}

/// Plays `bytes`; says what became of the frames.
pub fn play(bytes: &[u8]) -> Tally {
    let (scene, mut rest) = match bytes {
        [scene, rest @ ..] => (*scene, rest),
        [] => (0, bytes),
    };
    let mut world = World::new(scene);
    while let Some(told) = Told::read(&mut rest) {
        if told.wait > 0 {
            world.turn();
            world.wait(told.wait);
        }
        world.receive(&told);
    }
    world.end()
}

#[cfg(test)]
mod tests;
