//! What happened that somebody may want to know.

use program::Vnet;
use tables::{Instant, Location};
use wire::ethernet::MacAddr;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// In which network.
    pub vnet: Vnet,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A station was heard elsewhere than before.
    StationMoved {
        /// Which.
        mac: MacAddr,
        /// Where it was.
        from: Location,
        /// Where it is.
        to: Location,
    },
    /// A station moved too often: it is taken to stay where it is, for a while.
    StationHeld {
        /// Which.
        mac: MacAddr,
        /// Where it is taken to be.
        at: Location,
        /// Where else it is heard.
        heard: Location,
    },
    /// As many stations are known behind a port as may be.
    PortFull {
        /// Its slot.
        port: u16,
    },
    /// As many stations of the network are known as may be.
    NetworkFull,
    /// A router said that a tunnel's packets are too big for it.
    MtuLowered {
        /// The tunnel's slot.
        tunnel: u16,
        /// The largest that gets through, in bytes.
        to: usize,
    },
    /// That was long ago, and is forgotten.
    MtuForgotten {
        /// The tunnel's slot.
        tunnel: u16,
    },
}

/// Events that wait to be fetched.
const ROOM: usize = 256;

/// What happened and was not fetched yet.
///
/// - Shape: a vector whose room is made at start.
/// - Bound: [`ROOM`]; what is beyond is not noted.
#[derive(Debug)]
pub(crate) struct Events {
    waiting: Vec<Event>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::with_capacity(ROOM),
        }
    }

    /// Notes that something happened; false if there is no room.
    pub(crate) fn note(&mut self, at: Instant, vnet: Vnet, what: Happening) -> bool {
        if self.waiting.len() == ROOM {
            return false;
        }
        self.waiting.push(Event { at, vnet, what });
        true
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn drain_into(&mut self, into: &mut Vec<Event>) {
        let room = into.capacity() - into.len();
        into.extend(self.waiting.drain(..self.waiting.len().min(room)));
    }
}
