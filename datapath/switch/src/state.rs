//! What one worker remembers.

use tables::{Fdb, Instant, Location, Station};

/// What one worker remembers. Shared with nobody; gone when the worker is.
pub struct State {
    /// The stations it has heard, and where.
    pub fdb: Fdb,
    /// The station heard last, where, and when: frames of one station come in a row.
    pub(crate) heard: Option<(Station, Location, Instant)>,
    /// The station looked up last, when, and where it was found; none once any was learned since.
    pub(crate) found: Option<(Station, Instant, Option<Location>)>,
}

impl State {
    /// A state that remembers up to about `stations` stations. `seed` makes its hashes its own.
    pub fn new(stations: usize, seed: u64) -> Self {
        Self {
            fdb: Fdb::new(stations, seed),
            heard: None,
            found: None,
        }
    }
}
