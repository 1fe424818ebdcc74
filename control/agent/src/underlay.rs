//! The ways to the peers, as the kernel would go, followed as they change.
//!
//! The kernel owns routes, rules, addresses and neighbours; nothing of them is configured here.
//! For every peer it is asked: which route, which next hops, and whose MACs are those. [`resolve`]
//! makes of these facts a way, or says why there is none. When the kernel does not know a
//! neighbour it is asked to find it, and asked again often enough not to forget it: frames that
//! leave through `AF_XDP` are not seen by the kernel and keep nothing alive.

mod kernel;
mod no_way;
mod resolve;

pub use no_way::{Leaves, NoWay};
pub use resolve::{Facts, LinkState, Neighbour, NoRoute, Route, RouteHop, Vlan, resolve};

use crate::board::Unreachable;
use crate::latest::Latest;
use crate::log;
use kernel::{Events, Kernel};
use mio::{Poll, Token, Waker};
use program::UnderlayProgram;
use program::link::{Hop, NextHop};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long after the first sign of a change everything is looked at: one change of a route comes
/// as several messages.
const COALESCE: Duration = Duration::from_millis(20);
/// How often everything is looked at although nothing was heard.
const RESYNC: Duration = Duration::from_secs(10);
/// How often the kernel is asked for a neighbour it does not know.
const SEEK: Duration = Duration::from_secs(1);
/// How often for one it may forget.
const KEEP: Duration = Duration::from_secs(5);

const EVENTS: Token = Token(0);
/// What [`Latest`]'s bell rings.
const WOKEN: Token = Token(1);

/// Who is to be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Our endpoint, and where GRE leaves.
    pub underlay: Option<UnderlayProgram>,
    /// The peers.
    pub remotes: BTreeSet<IpAddr>,
}

/// How they are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// One entry a peer that there is a way to.
    pub next_hops: Vec<NextHop>,
    /// The other peers, and why not.
    pub unreachable: Vec<Unreachable>,
}

/// Follows the kernel in a thread of its own.
pub struct Follower {
    poll: Poll,
    events: Events,
    kernel: Kernel,
    wanted: Wanted,
    /// Whether it was told yet whom to reach.
    told: bool,
    found: Option<Ways>,
    /// The neighbours the ways hang on, and when each was last asked for.
    neighbours: BTreeMap<(u32, IpAddr), Watched>,
    /// Whether it was said that neighbours cannot be asked for.
    said: bool,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    neighbour: Option<Neighbour>,
    asked: Option<Instant>,
}

impl Watched {
    /// Of a neighbour that was forgotten the kernel is asked at once; else when it is due.
    fn again(before: Option<Self>, neighbour: Option<Neighbour>) -> Self {
        let forgotten = neighbour.is_none() && before.is_some_and(|b| b.neighbour.is_some());
        let asked = before.and_then(|before| before.asked);
        Self {
            neighbour,
            asked: asked.filter(|_| !forgotten),
        }
    }
}

impl Follower {
    /// Opens the sockets. The waker ends a wait early: to be rung when something new is wanted.
    ///
    /// # Errors
    ///
    /// The kernel has no netlink for us.
    pub fn open() -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WOKEN)?;
        let events = Events::open(poll.registry(), EVENTS)?;
        let follower = Self {
            poll,
            events,
            kernel: Kernel::open()?,
            wanted: Wanted::default(),
            told: false,
            found: None,
            neighbours: BTreeMap::new(),
            said: false,
        };
        Ok((follower, waker))
    }

    /// Follows until `stop`: takes from `wanted` who is to be reached, puts into `ways` how, when
    /// that changes.
    pub fn run(mut self, wanted: &Latest<Wanted>, ways: &Latest<Ways>, stop: &Arc<AtomicBool>) {
        let mut signs = mio::Events::with_capacity(8);
        let mut look_at = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let wait = look_at.min(self.ask_at(now)).saturating_duration_since(now);
            if let Err(error) = self.poll.poll(&mut signs, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::warn(format_args!(
                    "waiting for the kernel's news failed: {error}"
                ));
                std::thread::sleep(SEEK);
            }
            let now = Instant::now();
            if let Some(wanted) = wanted.take() {
                self.wanted = wanted;
                self.told = true;
                look_at = now;
            }
            if self.events.matter(&self.neighbours) {
                look_at = look_at.min(now + COALESCE);
            }
            // Before it was told whom to reach, it would say that nobody can be.
            if now >= look_at && self.told {
                look_at = now + RESYNC;
                self.look(ways);
            }
            self.ask(now);
        }
    }

    /// Looks at everything, and says so if it changed.
    fn look(&mut self, ways: &Latest<Ways>) {
        let found = match self.find() {
            Ok(found) => found,
            Err(error) => {
                log::warn(format_args!("the kernel was asked for the ways: {error}"));
                match Kernel::open() {
                    Ok(kernel) => self.kernel = kernel,
                    Err(error) => log::warn(format_args!("netlink: {error}")),
                }
                return;
            }
        };
        if self.found.as_ref() == Some(&found) {
            return;
        }
        self.say(&found);
        ways.put(found.clone());
        self.found = Some(found);
    }

    fn find(&mut self) -> io::Result<Ways> {
        let (kernel, underlay) = (&mut self.kernel, self.wanted.underlay.as_ref());
        kernel.look_again();
        let mut ways = Ways::default();
        let (mut ours, mut links) = (BTreeMap::new(), BTreeMap::new());
        let mut neighbours = BTreeMap::new();
        for remote in self.wanted.remotes.iter().copied() {
            let route = match underlay.and_then(|underlay| underlay.endpoint.towards(remote)) {
                None => Err(NoRoute::NotAsked),
                // Of IPv6 the kernel finds a route from any address, whosever it is.
                Some(endpoint) if known(&mut ours, endpoint, || kernel.ours(endpoint))? => {
                    kernel.route(endpoint, remote)?
                }
                Some(_) => Err(NoRoute::NotOurs),
            };
            for hop in route.iter().flat_map(|route| &route.hops) {
                known(&mut links, hop.interface, || kernel.link(hop.interface))?;
            }
            let facts = Facts {
                remote,
                underlay,
                route,
                links: &links,
                neighbours: &BTreeMap::new(),
            };
            for (interface, address) in facts.needs_neighbours() {
                let key = (interface, address);
                let before = self.neighbours.get(&key).and_then(|b| b.neighbour);
                let ask = || Ok(still(before, kernel.neighbour(interface, address)?));
                known(&mut neighbours, key, ask)?;
            }
            let facts = Facts {
                neighbours: &neighbours,
                ..facts
            };
            match resolve(&facts) {
                Ok(next_hop) => ways.next_hops.push(next_hop),
                Err(why) => ways.unreachable.push(Unreachable {
                    remote,
                    why: why.to_string(),
                }),
            }
        }
        let before = core::mem::take(&mut self.neighbours);
        let again = |(key, now)| (key, Watched::again(before.get(&key).copied(), now));
        self.neighbours = neighbours.into_iter().map(again).collect();
        Ok(ways)
    }

    fn say(&self, found: &Ways) {
        let before = self.found.as_ref();
        let had = |way: &&NextHop| before.is_some_and(|b| b.next_hops.contains(*way));
        for way in found.next_hops.iter().filter(|way| !had(way)) {
            let hops: Vec<_> = way.hops.iter().map(through).collect();
            let hops = hops.join(" and ");
            log::note(format_args!(
                "{} is reached through {hops}, MTU {}",
                way.remote, way.mtu
            ));
        }
        let knew = |peer: &&Unreachable| before.is_some_and(|b| b.unreachable.contains(*peer));
        for peer in found.unreachable.iter().filter(|peer| !knew(peer)) {
            log::warn(format_args!("no way to {}: {}", peer.remote, peer.why));
        }
    }

    /// When the next neighbour is due.
    fn ask_at(&self, now: Instant) -> Instant {
        let due = self.neighbours.values().filter_map(|watched| {
            let every = every(watched.neighbour)?;
            Some(watched.asked.map_or(now, |asked| asked + every))
        });
        due.min().unwrap_or(now + RESYNC)
    }

    /// Asks the kernel for the neighbours that are due.
    fn ask(&mut self, now: Instant) {
        for ((interface, address), watched) in &mut self.neighbours {
            let Some(every) = every(watched.neighbour) else {
                continue;
            };
            if watched.asked.is_some_and(|asked| now < asked + every) {
                continue;
            }
            watched.asked = Some(now);
            let sought = self.kernel.seek(*interface, *address);
            if let Err(error) = sought
                && !core::mem::replace(&mut self.said, true)
            {
                log::warn(format_args!("asking the kernel for {address}: {error}"));
            }
        }
    }
}

/// Who did not answer is silent until it does: that it is asked again is no news.
fn still(before: Option<Neighbour>, now: Option<Neighbour>) -> Option<Neighbour> {
    match (before, now) {
        (Some(Neighbour::Failed), Some(Neighbour::Sought) | None) => before,
        _ => now,
    }
}

fn through(hop: &Hop) -> String {
    format!("{} on {}", hop.destination, hop.interface)
}

/// What is `known` of `key`; asked for if it is not.
fn known<K: Ord, V: Clone>(
    known: &mut BTreeMap<K, V>,
    key: K,
    ask: impl FnOnce() -> io::Result<V>,
) -> io::Result<V> {
    Ok(match known.entry(key) {
        Entry::Occupied(place) => place.get().clone(),
        Entry::Vacant(place) => place.insert(ask()?).clone(),
    })
}

/// How often the kernel is asked for a neighbour in this state; never if it needs no asking.
fn every(neighbour: Option<Neighbour>) -> Option<Duration> {
    match neighbour {
        Some(Neighbour::Lasting(_)) => None,
        Some(Neighbour::Fresh(_) | Neighbour::Fading(_)) => Some(KEEP),
        Some(Neighbour::Sought | Neighbour::Failed) | None => Some(SEEK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use program::Mac;

    #[test]
    fn who_is_silent_stays_silent_while_asked_again_and_not_when_it_answers() {
        let fresh = Some(Neighbour::Fresh(Mac([2, 0, 0, 0, 0, 2])));
        let (sought, failed) = (Some(Neighbour::Sought), Some(Neighbour::Failed));
        for (before, now, is) in [
            (None, sought, sought),
            (sought, failed, failed),
            (failed, sought, failed),
            (failed, None, failed),
            (failed, fresh, fresh),
            (fresh, None, None),
            (fresh, sought, sought),
        ] {
            assert_eq!(still(before, now), is, "{before:?} {now:?}");
        }
    }

    #[test]
    fn who_was_forgotten_is_asked_for_at_once_and_who_is_known_when_it_is_due() {
        let now = Instant::now();
        let before = |neighbour| {
            Some(Watched {
                neighbour,
                asked: Some(now),
            })
        };
        let fresh = Some(Neighbour::Fresh(Mac([2, 0, 0, 0, 0, 2])));
        assert_eq!(Watched::again(before(fresh), None).asked, None);
        assert_eq!(Watched::again(before(fresh), fresh).asked, Some(now));
        assert_eq!(Watched::again(before(None), None).asked, Some(now));
        assert_eq!(Watched::again(None, fresh).asked, None);
    }
}
