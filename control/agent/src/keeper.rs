//! Keeps the datapath at what is wanted.
//!
//! One thread owns what is wanted, the store, and the link. It carries out calls one by one, and
//! in between takes a turn: connects if the link is down, asks what the datapath has, sends what
//! is missing, and tells it the ways to its peers when they change.
//!
//! What holds, whatever is lost, repeated or restarted: what is wanted is on the disk before it
//! is sent, and after the last failure one turn is enough.

use crate::board::Board;
use crate::desired::{Change, Desired, Document, Refused};
use crate::latest::Latest;
use crate::line::LineError;
use crate::link::Link;
use crate::log;
use crate::plan::{plan, plan_anew};
use crate::store::{Store, StoreError};
use crate::underlay::{Wanted, Ways};
use crossbeam::channel::Sender;
use program::link::{Answer, NextHop, Outcome, Request};
use program::report::{Report, Subject};
use program::{Epoch, Id, Programs, Step, VERSION};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long after a failure the link is tried again.
const RETRY: Duration = Duration::from_millis(50);
/// How long after an answer that makes no sense.
const RETRY_FOOLISH: Duration = Duration::from_secs(1);
/// How often the datapath is asked what it has although nothing seems amiss.
const LOOK: Duration = Duration::from_secs(30);
/// How often if it refused something: there may be room now.
const LOOK_REFUSED: Duration = Duration::from_secs(5);
/// The most steps in one request.
const STEPS: usize = 4096;

/// What others ask of the keeper. Each brings the way back for its answer, which has room for it.
pub enum Call {
    /// Wants the programs of a document.
    Apply {
        /// The document.
        document: Document,
        /// The way back.
        reply: Sender<Result<Vec<Change>, CallError>>,
    },
    /// No longer wants these programs.
    Withdraw {
        /// Which programs.
        ids: BTreeSet<Id>,
        /// The way back.
        reply: Sender<Result<Vec<Change>, CallError>>,
    },
    /// Asks what [`Apply`](Call::Apply) would change.
    Plan {
        /// The document.
        document: Document,
        /// The way back.
        reply: Sender<Result<Vec<Change>, CallError>>,
    },
    /// Asks the datapath to show something.
    Show {
        /// What.
        subject: Subject,
        /// The way back.
        reply: Sender<Result<Report, CallError>>,
    },
}

/// Why a call was not carried out.
#[derive(Debug)]
pub enum CallError {
    /// The document or the ids are not good.
    Refused(Box<Refused>),
    /// It could not be kept.
    Store(StoreError),
    /// There is no datapath, or it could not answer.
    Datapath(String),
}

/// Why the link is of no use.
#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("it says: {0}")]
    Failed(String),
    #[error("its answer is not the one to our question")]
    Unexpected,
    #[error("it speaks version {0} of the programs; this agent speaks version {VERSION}")]
    Version(u32),
}

/// What the keeper is made of.
pub struct Parts<L> {
    /// The way to the datapath.
    pub link: L,
    /// Where what is wanted is kept.
    pub store: Store,
    /// What is wanted.
    pub desired: Desired,
    /// Whether the epochs of a running datapath mean to us what they say: not if the store was
    /// made after they were given.
    pub sure: bool,
    /// Where the standing is shown.
    pub board: Arc<Board>,
    /// Who is to be reached.
    pub wanted: Arc<Latest<Wanted>>,
    /// How they are reached.
    pub ways: Arc<Latest<Ways>>,
}

/// See the [module](self).
pub struct Keeper<L> {
    parts: Parts<L>,
    /// The ways to the peers, once they are known.
    next_hops: Option<Vec<NextHop>>,
    connection: Option<Connection>,
    retry_at: Instant,
    /// Whether it was said that the link is down.
    said: bool,
}

struct Connection {
    /// The ways the datapath was told.
    told: Option<Vec<NextHop>>,
    /// Whether something may be missing there.
    open: bool,
    /// Whether putting everything anew was tried for what is wanted now.
    anew: bool,
    /// When to look what it has.
    look_at: Instant,
}

impl<L: Link> Keeper<L> {
    /// A keeper; it does nothing yet.
    pub fn new(parts: Parts<L>, now: Instant) -> Self {
        parts.board.want(&parts.desired);
        let keeper = Self {
            parts,
            next_hops: None,
            connection: None,
            retry_at: now,
            said: false,
        };
        keeper.want_ways();
        keeper
    }

    /// Carries out one call.
    pub fn call(&mut self, call: Call) {
        // The caller may have given up waiting: then the answer goes nowhere, and that is fine.
        match call {
            Call::Apply { document, reply } => {
                let next = self.parts.desired.with(&document);
                let _ = reply.try_send(self.take(next));
            }
            Call::Withdraw { ids, reply } => {
                let next = self.parts.desired.without(&ids);
                let _ = reply.try_send(self.take(next));
            }
            Call::Plan { document, reply } => {
                let next = self.parts.desired.with(&document);
                let changes = next.map(|(_, changes)| changes).map_err(refused);
                let _ = reply.try_send(changes);
            }
            Call::Show { subject, reply } => {
                let _ = reply.try_send(self.show(subject));
            }
        }
    }

    /// Does what is to be done now for the datapath.
    pub fn turn(&mut self, now: Instant) {
        if let Some(ways) = self.parts.ways.take() {
            self.next_hops = Some(ways.next_hops);
            let unreachable = ways.unreachable;
            self.parts.board.write(|s| s.unreachable = unreachable);
        }
        if self.connection.is_some() && !self.parts.link.alive() {
            self.lost(&Trouble::Line(LineError::Closed), now);
        }
        if self.connection.is_none() && now < self.retry_at {
            return;
        }
        if let Err(trouble) = self.converge(now) {
            self.lost(&trouble, now);
        }
    }

    /// Makes `next` what is wanted, if it is good: first on the disk.
    fn take(
        &mut self,
        next: Result<(Desired, Vec<Change>), Refused>,
    ) -> Result<Vec<Change>, CallError> {
        let (next, changes) = next.map_err(refused)?;
        if next != self.parts.desired {
            let kept = self.parts.store.keep(&self.parts.desired, &next);
            kept.map_err(CallError::Store)?;
            self.parts.desired = next;
            self.parts.board.want(&self.parts.desired);
            self.want_ways();
            if let Some(connection) = &mut self.connection {
                (connection.open, connection.anew) = (true, false);
            }
        }
        Ok(changes)
    }

    fn want_ways(&self) {
        let programs = self.parts.desired.programs();
        self.parts.wanted.put(Wanted {
            underlay: programs.underlay().map(|(_, underlay)| underlay.clone()),
            remotes: programs.tunnels().map(|(_, t)| t.remote).collect(),
        });
    }

    fn show(&mut self, subject: Subject) -> Result<Report, CallError> {
        if self.connection.is_none() {
            let why = self.parts.board.read().why.clone();
            let why = format!("the datapath is not there: {why}");
            return Err(CallError::Datapath(why));
        }
        let trouble = match self.parts.link.ask(&Request::Show(subject)) {
            Ok(Answer::Report(mut report)) => {
                self.explain(&mut report);
                return Ok(report);
            }
            Ok(Answer::Failed { why }) => return Err(CallError::Datapath(why)),
            Ok(_) => Trouble::Unexpected,
            Err(error) => error.into(),
        };
        let why = format!("the datapath did not answer: {trouble}");
        self.lost(&trouble, Instant::now());
        Err(CallError::Datapath(why))
    }

    /// Of a tunnel without a way the datapath knows just that; the kernel told us why.
    fn explain(&self, report: &mut Report) {
        let Report::Tunnels(tunnels) = report else {
            return;
        };
        let standing = self.parts.board.read();
        let why: BTreeMap<_, _> = standing
            .unreachable
            .iter()
            .map(|u| (u.remote, &u.why))
            .collect();
        for tunnel in tunnels.iter_mut().filter(|t| t.interface.is_none()) {
            if let Some(why) = why.get(&tunnel.remote) {
                tunnel.state.clone_from(why);
            }
        }
    }

    fn converge(&mut self, now: Instant) -> Result<(), Trouble> {
        if self.connection.is_none() {
            self.parts.link.connect()?;
            self.hello()?;
            self.connection = Some(Connection {
                told: None,
                open: true,
                anew: false,
                look_at: now + LOOK,
            });
            self.said = false;
        }
        let look = self.connection.as_ref().is_some_and(|c| now >= c.look_at);
        if look {
            self.hello()?;
        }
        if look || self.connection.as_ref().is_some_and(|c| c.open) {
            self.send_missing()?;
            let refused = !self.parts.board.read().refused.is_empty();
            if let Some(connection) = &mut self.connection {
                connection.open = false;
                connection.look_at = now + if refused { LOOK_REFUSED } else { LOOK };
            }
        }
        self.send_ways()
    }

    /// Asks who the datapath is and what it has.
    fn hello(&mut self) -> Result<(), Trouble> {
        let hello = match self.parts.link.ask(&Request::Hello)? {
            Answer::Hello(hello) => hello,
            Answer::Failed { why } => return Err(Trouble::Failed(why)),
            _ => return Err(Trouble::Unexpected),
        };
        if hello.version != VERSION {
            return Err(Trouble::Version(hello.version));
        }
        self.parts.board.write(|standing| {
            if standing.instance != Some(hello.instance) {
                log::note(format_args!(
                    "the datapath is there, instance {:016x}, with {} programs in force",
                    hello.instance,
                    hello.applied.len()
                ));
            }
            standing.instance = Some(hello.instance);
            standing.applied = hello.applied.into_iter().collect();
        });
        Ok(())
    }

    /// Sends what the datapath lacks. What it refuses at first it gets once more, anew: then no
    /// older program is in the way.
    fn send_missing(&mut self) -> Result<(), Trouble> {
        let applied = self.applied();
        let desired = self.parts.desired.programs();
        let steps = if self.parts.sure {
            plan(desired, &applied)
        } else {
            let mut steps = plan(&Programs::default(), &applied);
            steps.extend(plan(desired, &[]));
            steps
        };
        let mut refused = self.send(&steps)?;
        let tried = self.connection.as_ref().is_some_and(|c| c.anew);
        if !refused.is_empty() && !tried {
            self.hello()?;
            let applied = self.applied();
            let steps = plan_anew(self.parts.desired.programs(), &applied);
            refused = self.send(&steps)?;
            if let Some(connection) = &mut self.connection {
                connection.anew = true;
            }
        }
        if !self.parts.sure && self.parts.store.settle().is_ok() {
            self.parts.sure = true;
        }
        self.parts.board.write(|standing| {
            for (id, (_, why)) in &refused {
                if !standing.refused.contains_key(id) {
                    log::warn(format_args!("the datapath refuses {id}: {why}"));
                }
            }
            standing.refused = refused;
        });
        Ok(())
    }

    fn applied(&self) -> Vec<(Id, Epoch)> {
        let standing = self.parts.board.read();
        let entry = |(id, epoch): (&Id, &Epoch)| (id.clone(), *epoch);
        standing.applied.iter().map(entry).collect()
    }

    /// Sends `steps`, and notes what was taken; returns what was refused, with the reasons.
    fn send(&mut self, steps: &[Step]) -> Result<BTreeMap<Id, (Epoch, String)>, Trouble> {
        let mut refused = BTreeMap::new();
        for steps in steps.chunks(STEPS) {
            let request = Request::Apply {
                steps: steps.to_vec(),
            };
            let outcomes = match self.parts.link.ask(&request)? {
                Answer::Outcomes(outcomes) if outcomes.len() == steps.len() => outcomes,
                Answer::Failed { why } => return Err(Trouble::Failed(why)),
                _ => return Err(Trouble::Unexpected),
            };
            self.parts.board.write(|standing| {
                for (step, outcome) in steps.iter().zip(outcomes) {
                    match (step, outcome) {
                        (Step::Put { epoch, .. }, Outcome::Applied { id, .. }) => {
                            standing.refused.remove(&id);
                            standing.applied.insert(id, *epoch);
                        }
                        (Step::Withdraw { .. }, Outcome::Applied { id, .. }) => {
                            standing.refused.remove(&id);
                            standing.applied.remove(&id);
                        }
                        (step, Outcome::Refused { id, why, .. }) => {
                            refused.insert(id, (step.epoch(), why));
                        }
                    }
                }
            });
        }
        Ok(refused)
    }

    /// Tells the ways to the peers, if they are known and were not told.
    fn send_ways(&mut self) -> Result<(), Trouble> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if self.next_hops.is_none() || connection.told == self.next_hops {
            return Ok(());
        }
        let next_hops = self.next_hops.clone().unwrap_or_default();
        match self.parts.link.ask(&Request::NextHops { next_hops })? {
            Answer::Done => connection.told.clone_from(&self.next_hops),
            Answer::Failed { why } => return Err(Trouble::Failed(why)),
            _ => return Err(Trouble::Unexpected),
        }
        Ok(())
    }

    fn lost(&mut self, trouble: &Trouble, now: Instant) {
        let foolish = !matches!(trouble, Trouble::Line(_));
        self.retry_at = now + if foolish { RETRY_FOOLISH } else { RETRY };
        self.connection = None;
        if !self.said {
            log::warn(format_args!("the datapath is not there: {trouble}"));
            self.said = true;
        }
        self.parts.board.write(|standing| {
            standing.instance = None;
            standing.why = trouble.to_string();
            standing.applied.clear();
            standing.refused.clear();
        });
    }
}

fn refused(refused: Refused) -> CallError {
    CallError::Refused(Box::new(refused))
}

#[cfg(test)]
mod tests;
