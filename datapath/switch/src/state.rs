//! What one worker remembers.

use tables::Fdb;

/// What one worker remembers. Shared with nobody; gone when the worker is.
pub struct State {
    /// The stations it has heard, and where.
    pub fdb: Fdb,
}

impl State {
    /// A state that remembers up to about `stations` stations. `seed` makes its hashes its own.
    pub fn new(stations: usize, seed: u64) -> Self {
        Self {
            fdb: Fdb::new(stations, seed),
        }
    }
}
