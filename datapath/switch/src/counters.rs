//! What a worker counts.
//!
//! One ledger a port and one a network, each in its slot, made at start. A worker is the only
//! writer of its counters, so counting is a load and a store; anybody may read them at any time.

use crate::{DropReason, Limits};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted in a ledger beside the drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Cell {
    /// Packets that came in.
    Received,
    /// Their bytes.
    ReceivedBytes,
    /// Packets made by flooding or fragmenting, beyond the one that came in.
    Copied,
    /// Packets that came in here and were answered, or were for us and heeded.
    Answered,
    /// Fragments that went into another packet.
    Merged,
    /// Packets that came in here, or were copied from such, and left by some port.
    Sent,
    /// Packets that left by this port or in this network.
    Transmitted,
    /// Their bytes.
    TransmittedBytes,
    /// Packets whose TCP or UDP checksum the guest had left unfinished, and we finished.
    Completed,
    /// Stations heard for the first time, or again after they had been forgotten.
    Learned,
    /// Stations heard at another place than before.
    Moved,
    /// Stations that were not learned: the table was full where they belong.
    NotLearned,
    /// The same, because the port has as many as it may.
    PortFull,
    /// The same, because the network has as many as it may.
    NetworkFull,
    /// Times a station was heard elsewhere, and not moved: it had moved too often.
    MoveHeld,
    /// Stations whose IP address was heard for the first time, or changed.
    Neighbours,
    /// The same, for which there was no room.
    NeighboursFull,
    /// Connections whose segment size was lowered to what fits.
    Clamped,
    /// Packets that left in fragments.
    Fragmented,
    /// Numbers that were missing before a later one came (RFC 2890 §2.2).
    SequenceGap,
    /// Packets with a number not above the last one's.
    SequenceLate,
    /// Times a peer began its numbers anew.
    SequenceRestart,
    /// Packets with marks that no tunnel makes (RFC 6040 §4.2).
    EcnOdd,
    /// Times a router said that a tunnel's packets are too big for it.
    MtuLowered,
    /// Things that happened and found no room among those that are told.
    EventsLost,
}

impl Cell {
    /// Those that are noted beside the balance, with their names.
    pub const NOTED: [(Self, &'static str); 17] = [
        (Self::Completed, "completed"),
        (Self::Learned, "learned"),
        (Self::Moved, "moved"),
        (Self::NotLearned, "not_learned"),
        (Self::PortFull, "port_full"),
        (Self::NetworkFull, "network_full"),
        (Self::MoveHeld, "move_held"),
        (Self::Neighbours, "neighbours"),
        (Self::NeighboursFull, "neighbours_full"),
        (Self::Clamped, "clamped"),
        (Self::Fragmented, "fragmented"),
        (Self::SequenceGap, "sequence_gap"),
        (Self::SequenceLate, "sequence_late"),
        (Self::SequenceRestart, "sequence_restart"),
        (Self::EcnOdd, "ecn_odd"),
        (Self::MtuLowered, "mtu_lowered"),
        (Self::EventsLost, "events_lost"),
    ];

    /// How many there are.
    pub const COUNT: usize = Self::EventsLost as usize + 1;
}

/// How many cells a ledger has: the drops come behind the others.
const CELLS: usize = Cell::COUNT + DropReason::ALL.len();

/// What became of the packets of one port or one network, as one worker saw it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Ledger([AtomicU64; CELLS]);

impl Ledger {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; CELLS])
    }

    /// Adds `count` to `cell`. Only the worker whose ledger it is may call this.
    #[inline]
    pub fn add(&self, cell: Cell, count: u64) {
        self.bump(cell as usize, count);
    }

    /// Counts one drop. Only the worker whose ledger it is may call this.
    #[inline]
    pub fn drop_one(&self, reason: DropReason) {
        self.bump(Cell::COUNT + reason as usize, 1);
    }

    /// Counts `count` drops. Only the worker whose ledger it is may call this.
    pub fn drop_many(&self, reason: DropReason, count: u64) {
        self.bump(Cell::COUNT + reason as usize, count);
    }

    /// What `cell` stands at.
    pub fn get(&self, cell: Cell) -> u64 {
        self.0[cell as usize].load(Relaxed)
    }

    /// How many drops there were for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.0[Cell::COUNT + reason as usize].load(Relaxed)
    }

    /// Starts anew. Only the worker whose ledger it is may call this.
    pub fn clear(&self) {
        for cell in &self.0 {
            cell.store(0, Relaxed);
        }
    }

    #[inline]
    fn bump(&self, index: usize, count: u64) {
        // One writer: a load and a store lose nothing, and cost no locked instruction.
        let cell = &self.0[index];
        cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
    }
}

/// Everything one worker counts.
#[derive(Debug)]
pub struct Counters {
    /// By the slot of the port.
    pub ports: Box<[Ledger]>,
    /// By the slot of the network.
    pub vnets: Box<[Ledger]>,
}

impl Counters {
    /// All at zero, with room for what `limits` allow.
    pub fn new(limits: &Limits) -> Self {
        let ledgers = |count| (0..count).map(|_| Ledger::new()).collect();
        Self {
            ports: ledgers(limits.ports),
            vnets: ledgers(limits.networks),
        }
    }

    /// Their memory, in bytes.
    pub fn bytes(limits: &Limits) -> usize {
        (limits.ports + limits.networks) * size_of::<Ledger>()
    }

    /// Adds to `cell` of the port in `slot`, if that is one.
    #[inline]
    pub fn port(&self, slot: u16, cell: Cell, count: u64) {
        if let Some(ledger) = self.ports.get(usize::from(slot)) {
            ledger.add(cell, count);
        }
    }

    /// Adds to `cell` of the network in `slot`, if that is one.
    #[inline]
    pub fn vnet(&self, slot: u16, cell: Cell, count: u64) {
        if let Some(ledger) = self.vnets.get(usize::from(slot)) {
            ledger.add(cell, count);
        }
    }

    /// Adds to `cell` of both the port a packet came in by and the network it belongs to.
    #[inline]
    pub fn both(&self, port: u16, vnet: u16, cell: Cell, count: u64) {
        self.port(port, cell, count);
        self.vnet(vnet, cell, count);
    }

    /// Counts `count` drops on both the port packets came in by and the network they belong to.
    pub fn drops(&self, port: u16, vnet: u16, reason: DropReason, count: u64) {
        if let Some(ledger) = self.ports.get(usize::from(port)) {
            ledger.drop_many(reason, count);
        }
        if let Some(ledger) = self.vnets.get(usize::from(vnet)) {
            ledger.drop_many(reason, count);
        }
    }

    /// Counts a drop on both the port a packet came in by and the network it belongs to.
    #[inline]
    pub fn dropped(&self, port: u16, vnet: u16, reason: DropReason) {
        if let Some(ledger) = self.ports.get(usize::from(port)) {
            ledger.drop_one(reason);
        }
        if let Some(ledger) = self.vnets.get(usize::from(vnet)) {
            ledger.drop_one(reason);
        }
    }
}
