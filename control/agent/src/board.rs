//! What everybody may read: how far the datapath is, and why not further.

use crate::desired::{Change, Desired};
use program::{Epoch, Id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A program that is not yet what it should be on every worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Which program.
    pub id: Id,
    /// The epoch it should have; none if it should be gone.
    pub epoch: Option<Epoch>,
    /// What it waits for, for a person.
    pub why: String,
    /// Whether the datapath has refused it: waiting alone will not help.
    pub refused: bool,
}

/// A peer there is no way to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreachable {
    /// The peer.
    pub remote: IpAddr,
    /// Why, for a person.
    pub why: String,
}

/// How far things are.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The instance of the datapath that is connected.
    pub instance: Option<u64>,
    /// Why none is, for a person.
    pub why: String,
    /// Every program that is wanted.
    pub desired: BTreeMap<Id, Epoch>,
    /// Every program in force in the datapath, as far as is known.
    pub applied: BTreeMap<Id, Epoch>,
    /// What the datapath refused, with its reason.
    pub refused: BTreeMap<Id, (Epoch, String)>,
    /// Peers without a way.
    pub unreachable: Vec<Unreachable>,
    /// Whether the agent is about to end: nothing is worth waiting for.
    pub ending: bool,
}

impl Standing {
    /// Of `changes`, what is not yet done on every worker. A change that was overtaken by another
    /// is not waited for.
    pub fn pending(&self, changes: &[Change]) -> Vec<Pending> {
        let open = |change: &&Change| {
            let done = self.applied.get(&change.id).copied() == change.now;
            // Of a datapath that is not there nothing is known.
            let done = done && self.instance.is_some();
            self.desired.get(&change.id).copied() == change.now && !done
        };
        let entry = |change: &Change| self.entry(&change.id, change.now);
        changes.iter().filter(open).map(entry).collect()
    }

    /// Everything that is not yet done.
    pub fn all_pending(&self) -> Vec<Pending> {
        let wanted = self.desired.iter().map(|(id, epoch)| (id, Some(*epoch)));
        let gone = self.applied.keys().map(|id| (id, None));
        let gone = gone.filter(|(id, _)| !self.desired.contains_key(*id));
        wanted
            .chain(gone)
            .filter(|(id, epoch)| self.applied.get(*id).copied() != *epoch)
            .map(|(id, epoch)| self.entry(id, epoch))
            .collect()
    }

    fn entry(&self, id: &Id, epoch: Option<Epoch>) -> Pending {
        let refusal = self.refused.get(id);
        let refusal = refusal.filter(|(of, _)| epoch.is_none_or(|epoch| epoch == *of));
        let why = match (refusal, self.instance) {
            (Some((_, why)), _) => format!("refused by the datapath: {why}"),
            (None, None) => format!("the datapath is not there: {}", self.why),
            (None, Some(_)) => "on its way to the datapath".to_owned(),
        };
        Pending {
            id: id.clone(),
            epoch,
            why,
            refused: refusal.is_some(),
        }
    }
}

/// The one place where the [`Standing`] hangs.
#[derive(Debug, Default)]
pub struct Board {
    standing: Mutex<Standing>,
    changed: Condvar,
}

impl Board {
    /// The standing, to be read.
    pub fn read(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the standing, and wakes whoever waits for it.
    pub fn write(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.read());
        self.changed.notify_all();
    }

    /// Notes what is wanted.
    pub fn want(&self, desired: &Desired) {
        let wanted = desired.programs().applied().into_iter().collect();
        self.write(|standing| standing.desired = wanted);
    }

    /// Waits until `changes` are done on every worker, or the rest of them was refused, or
    /// `deadline`; returns what is not done.
    pub fn wait(&self, changes: &[Change], deadline: Instant) -> Vec<Pending> {
        let mut standing = self.read();
        loop {
            let pending = standing.pending(changes);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || standing.ending || pending.iter().all(|pending| pending.refused) {
                return pending;
            }
            let woken = self.changed.wait_timeout(standing, left);
            standing = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::port;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn change(now: Option<u64>) -> Change {
        Change {
            id: port("a", 1, "vm-a").id(),
            was: None,
            now: now.map(Epoch),
            fields: Vec::new(),
        }
    }

    #[test]
    fn a_change_is_done_when_the_datapath_has_that_very_epoch() {
        let (board, change) = (Board::default(), change(Some(2)));
        let (id, changes) = (change.id.clone(), [change]);
        board.write(|s| {
            s.instance = Some(1);
            s.desired.insert(id.clone(), Epoch(2));
            s.applied.insert(id.clone(), Epoch(1));
        });
        let pending = board.wait(&changes, soon());
        assert_eq!((pending.len(), pending[0].epoch), (1, Some(Epoch(2))));
        board.write(|s| {
            s.applied.insert(id.clone(), Epoch(2));
        });
        assert_eq!(board.wait(&changes, soon()), []);
    }

    #[test]
    fn a_withdrawal_is_done_when_the_program_is_gone() {
        let (board, change) = (Board::default(), change(None));
        let (id, changes) = (change.id.clone(), [change]);
        assert_eq!(board.wait(&changes, soon()).len(), 1, "who knows");
        board.write(|s| {
            s.instance = Some(1);
            s.applied.insert(id.clone(), Epoch(1));
        });
        assert_eq!(board.wait(&changes, soon()).len(), 1);
        assert_eq!(board.read().all_pending().len(), 1);
        board.write(|s| {
            s.applied.remove(&id);
        });
        assert_eq!(board.wait(&changes, soon()), []);
    }

    #[test]
    fn a_refusal_is_not_waited_out() {
        let (board, change) = (Board::default(), change(Some(1)));
        board.write(|s| {
            s.desired.insert(change.id.clone(), Epoch(1));
            let why = "there is no room".to_owned();
            s.refused.insert(change.id.clone(), (Epoch(1), why));
        });
        let start = Instant::now();
        let pending = board.wait(&[change], start + Duration::from_mins(1));
        assert_eq!(pending[0].why, "refused by the datapath: there is no room");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_change_that_was_overtaken_is_not_waited_for() {
        let (board, change) = (Board::default(), change(Some(1)));
        board.write(|s| {
            s.desired.insert(change.id.clone(), Epoch(2));
        });
        assert_eq!(board.read().pending(&[change]), []);
        assert_eq!(board.read().all_pending().len(), 1);
    }
}
