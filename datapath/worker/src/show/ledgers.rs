//! Every counter.

use crate::supervisor::Supervisor;
use core::sync::atomic::Ordering::Relaxed;
use program::report;
use std::collections::BTreeMap;
use switch::{Cell, DropReason, Ledger, PortKey};

impl Supervisor {
    pub(super) fn counters(&self) -> report::Counters {
        // A name has no space, so no guest's port can be called what the underlay's is.
        let underlay = self.programs.underlay().into_iter();
        let underlay = underlay.map(|(_, p)| (format!("underlay {}", p.name), PortKey::from(p)));
        let guests = self.programs.ports();
        let guests = guests.map(|(_, p)| (p.name.to_string(), PortKey::from(p)));
        let ports = underlay.chain(guests).filter_map(|(name, key)| {
            let slot = self.compiler.port_slot(&key)?;
            Some((name, self.ledger(slot, |counters| &counters.ports)))
        });
        let vnets = self.programs.networks().filter_map(|(_, program)| {
            let slot = self.compiler.network_slot(program.vnet)?;
            Some((program.vnet, self.ledger(slot, |counters| &counters.vnets)))
        });
        let mut datapath = BTreeMap::new();
        let waiting = self
            .posts
            .iter()
            .map(|post| post.gauges.frames_waiting.load(Relaxed) as u64);
        datapath.insert("frames_waiting".to_owned(), waiting.sum());
        datapath.insert("frames_lost".to_owned(), frame::lost());
        for (name, count) in self.held.values().flat_map(|held| held.attachment.lost()) {
            *datapath.entry(name.to_owned()).or_default() += count;
        }
        for (name, cell) in [
            ("learned", Cell::Learned),
            ("moved", Cell::Moved),
            ("not_learned", Cell::NotLearned),
        ] {
            let of = |post: &crate::supervisor::Post| -> u64 {
                post.counters
                    .vnets
                    .iter()
                    .map(|ledger| ledger.get(cell))
                    .sum()
            };
            datapath.insert(format!("stations_{name}"), self.posts.iter().map(of).sum());
        }
        report::Counters {
            ports: ports.collect(),
            vnets: vnets.collect(),
            datapath,
        }
    }

    /// The ledger in `slot`, all workers' together.
    fn ledger(
        &self,
        slot: u16,
        of: impl Fn(&switch::Counters) -> &[Ledger] + Copy,
    ) -> report::Ledger {
        let get = |cell| self.sum(of, slot, |ledger| ledger.get(cell));
        let dropped = DropReason::ALL.iter().filter_map(|reason| {
            let count = self.sum(of, slot, |ledger| ledger.dropped(*reason));
            (count > 0).then(|| (reason.name().to_owned(), count))
        });
        let noted = Cell::NOTED.iter().filter_map(|(cell, name)| {
            let count = get(*cell);
            (count > 0).then(|| ((*name).to_owned(), count))
        });
        report::Ledger {
            received: get(Cell::Received),
            received_bytes: get(Cell::ReceivedBytes),
            copied: get(Cell::Copied),
            sent: get(Cell::Sent),
            answered: get(Cell::Answered),
            merged: get(Cell::Merged),
            dropped: dropped.collect(),
            noted: noted.collect(),
            transmitted: get(Cell::Transmitted),
            transmitted_bytes: get(Cell::TransmittedBytes),
        }
    }

    pub(super) fn sum(
        &self,
        of: impl Fn(&switch::Counters) -> &[Ledger],
        slot: u16,
        get: impl Fn(&Ledger) -> u64,
    ) -> u64 {
        let ledgers = self
            .posts
            .iter()
            .filter_map(|post| of(&post.counters).get(usize::from(slot)));
        ledgers.map(get).sum()
    }
}
