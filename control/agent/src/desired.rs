//! What is wanted on this host, and what a document would make of it.
//!
//! Pure: nothing here is kept or sent. [`Store`](crate::store::Store) keeps it.

mod difference;

pub use difference::Difference;

use difference::differences;
use program::{Epoch, Id, Kind, Limits, Program, ProgramError, Programs, Step};
use std::collections::{BTreeMap, BTreeSet};

/// A document as it was read: programs, each with the epoch it names, if it names one.
pub type Document = Vec<(Option<Epoch>, Program)>;

/// All that is wanted, and the epochs of what no longer is.
///
/// What holds:
///
/// - the programs go together: [`Programs`] took every one of them;
/// - an epoch is never given twice to one id for two different programs, not even when it was
///   withdrawn in between: a datapath that missed the withdrawal must not take old for new.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Desired {
    limits: Limits,
    programs: Programs,
    /// The epoch of every program that was withdrawn. Bound: [`Desired::REMEMBERED`].
    withdrawn: BTreeMap<Id, Epoch>,
    /// No withdrawn program that is no longer remembered had a higher epoch.
    floor: Epoch,
}

/// What became, or would become, of one program.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which program.
    pub id: Id,
    /// Its epoch before; none if it is new.
    pub was: Option<Epoch>,
    /// Its epoch now; none if it was withdrawn.
    pub now: Option<Epoch>,
    /// In which fields it differs from what it was: of the first [`Desired::DETAILED`] programs
    /// of a document that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Difference>,
}

/// Why a document was refused. Nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The place of the program in the document, from 0; none if it is none of them in
    /// particular.
    pub index: Option<usize>,
    /// The program, if it could be read.
    pub id: Option<Id>,
    /// What is wrong.
    pub error: ProgramError,
}

impl Desired {
    /// How many withdrawn programs are remembered one by one.
    pub const REMEMBERED: usize = 65_536;
    /// Of how many changed programs of one document it is said what changed: a document may bring
    /// thousands, and an answer has to end somewhere.
    pub const DETAILED: usize = 1000;

    /// Nothing is wanted, and nothing ever was.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            programs: Programs::new(limits),
            ..Self::default()
        }
    }

    /// What was kept, put together again.
    ///
    /// # Errors
    ///
    /// The first program that does not go with the others.
    pub fn restore(
        limits: Limits,
        kept: impl IntoIterator<Item = (Epoch, Program)>,
        withdrawn: BTreeMap<Id, Epoch>,
        floor: Epoch,
    ) -> Result<Self, Refused> {
        let kept = kept.into_iter().map(|(epoch, p)| (p.id(), (epoch, p)));
        Ok(Self {
            limits,
            programs: together(limits, &kept.collect(), &BTreeMap::new())?,
            withdrawn,
            floor,
        })
    }

    /// Every program that is wanted.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The withdrawn programs that are remembered, and their epochs.
    pub fn withdrawn(&self) -> &BTreeMap<Id, Epoch> {
        &self.withdrawn
    }

    /// What the epoch of every program that was withdrawn and forgotten was at most.
    pub fn floor(&self) -> Epoch {
        self.floor
    }

    /// What would be wanted with `document`, and what changes: one entry a program, in order.
    ///
    /// The order in a document means nothing: a port may come before its network. A program
    /// without an epoch gets the next one if it differs from what is wanted, and keeps its own if
    /// it does not.
    ///
    /// # Errors
    ///
    /// The first thing wrong; then nothing of the document is good.
    pub fn with(&self, document: &Document) -> Result<(Self, Vec<Change>), Refused> {
        let mut places = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        let mut changes = Vec::with_capacity(document.len());
        let mut detailed = 0;
        for (index, (epoch, program)) in document.iter().enumerate() {
            let id = program.id();
            let refused = |error| Refused {
                index: Some(index),
                id: Some(id.clone()),
                error,
            };
            if places.insert(id.clone(), index).is_some() {
                return Err(refused(ProgramError::Unreadable {
                    field: "name".to_owned(),
                    why: format!("{id} comes twice in this document"),
                }));
            }
            let now = self.epoch(&id, *epoch, program).map_err(refused)?;
            let before = self.programs.get(&id);
            let other = before.filter(|(_, old)| *old != program && detailed < Self::DETAILED);
            detailed += usize::from(other.is_some());
            changes.push(Change {
                was: before.map(|(epoch, _)| epoch),
                now: Some(now),
                id: id.clone(),
                fields: other.map_or_else(Vec::new, |(_, old)| differences(old, program)),
            });
            wanted.insert(id, (now, program.clone()));
        }
        for (epoch, program) in self.programs.iter() {
            let entry = wanted.entry(program.id());
            entry.or_insert_with(|| (epoch, program.clone()));
        }
        let mut next = self.clone();
        next.programs = together(self.limits, &wanted, &places)?;
        next.withdrawn.retain(|id, _| !wanted.contains_key(id));
        Ok((next, changes))
    }

    /// What would be wanted without the programs called `ids`.
    ///
    /// # Errors
    ///
    /// [`NotThere`](ProgramError::NotThere), or [`InUse`](ProgramError::InUse) if what stays
    /// stands on what goes.
    pub fn without(&self, ids: &BTreeSet<Id>) -> Result<(Self, Vec<Change>), Refused> {
        let mut next = self.clone();
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids.iter().rev() {
            // By kind, the last first: what stands on a network goes before the network.
            let refused = |error| Refused {
                index: None,
                id: Some(id.clone()),
                error,
            };
            let Some((epoch, _)) = next.programs.get(id) else {
                return Err(refused(ProgramError::NotThere(id.clone())));
            };
            let id = id.clone();
            let step = Step::Withdraw {
                epoch,
                id: id.clone(),
            };
            next.programs.apply(&step).map_err(refused)?;
            next.withdrawn.insert(id.clone(), epoch);
            changes.push(Change {
                id,
                was: Some(epoch),
                now: None,
                fields: Vec::new(),
            });
        }
        if next.withdrawn.len() > Self::REMEMBERED {
            let highest = next.withdrawn.values().max().copied();
            next.floor = next.floor.max(highest.unwrap_or_default());
            next.withdrawn.clear();
        }
        Ok((next, changes))
    }

    /// The epoch `program` would have.
    fn epoch(
        &self,
        id: &Id,
        said: Option<Epoch>,
        program: &Program,
    ) -> Result<Epoch, ProgramError> {
        let is = self.programs.get(id);
        let have = is.map(|(epoch, _)| epoch);
        let last = have.or_else(|| self.withdrawn.get(id).copied());
        let same = is.is_some_and(|(_, is)| is == program);
        match (said, last) {
            (None, Some(last)) if same => Ok(last),
            (None, last) => {
                let last = last.unwrap_or(self.floor);
                let next = last.0.checked_add(1).map(Epoch);
                next.ok_or(ProgramError::OutOfRange {
                    field: "epoch",
                    got: last.0,
                    low: 0,
                    high: u64::MAX - 1,
                })
            }
            (Some(got), Some(last)) if got < last || (got == last && !same) => {
                Err(ProgramError::Stale {
                    id: id.clone(),
                    got,
                    have: last,
                })
            }
            (Some(got), _) => Ok(got),
        }
    }
}

/// Puts `wanted` together, kind by kind: within a kind what was there before, then what the
/// document brings (the programs that have a place), so that who comes new is blamed.
fn together(
    limits: Limits,
    wanted: &BTreeMap<Id, (Epoch, Program)>,
    places: &BTreeMap<Id, usize>,
) -> Result<Programs, Refused> {
    let mut order: Vec<(Kind, Option<usize>, &Id)> = wanted
        .keys()
        .map(|id| (id.kind, places.get(id).copied(), id))
        .collect();
    order.sort_unstable();
    let mut programs = Programs::new(limits);
    for (_, index, id) in order {
        let (epoch, program) = &wanted[id];
        let step = Step::Put {
            epoch: *epoch,
            program: program.clone(),
        };
        programs.apply(&step).map_err(|error| Refused {
            index,
            id: Some(id.clone()),
            error,
        })?;
    }
    Ok(programs)
}

#[cfg(test)]
mod tests;
