//! A datapath in memory: what the contract says of one, without a packet.
//!
//! For tests of this side, and for whoever wants to see what the agent would send. It can lose
//! the connection before or after a request is carried out, and start again empty.

use crate::line::{LineError, Lines};
use crate::link::Link;
use program::link::{Answer, Hello, MAX_MESSAGE, NextHop, Outcome, Request};
use program::report::{Counters, Neighbour, Network, Report, Subject, Tunnel};
use program::{Limits, Programs, Sequence, Step, Transport, TunnelProgram, VERSION};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Before the request is carried out.
    Before,
    /// In the middle of an [`Apply`](Request::Apply): after this many steps.
    AfterSteps(usize),
    /// After the request was carried out, before the answer.
    After,
}

/// The datapath, shared between its links and the test that watches it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    instance: u64,
    running: bool,
    programs: Programs,
    next_hops: Option<Vec<NextHop>>,
    /// Steps that were taken since the start.
    steps: usize,
    breaks: Option<Break>,
}

impl Memory {
    /// A running datapath with nothing in force.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            limits,
            instance: 1,
            running: true,
            programs: Programs::new(limits),
            next_hops: None,
            steps: 0,
            breaks: None,
        })))
    }

    /// What is in force.
    pub fn programs(&self) -> Programs {
        self.with(|inner| inner.programs.clone())
    }

    /// The ways it was told last; none if it never was.
    pub fn next_hops(&self) -> Option<Vec<NextHop>> {
        self.with(|inner| inner.next_hops.clone())
    }

    /// How many steps it has taken since it was started.
    pub fn steps(&self) -> usize {
        self.with(|inner| inner.steps)
    }

    /// Breaks the connection at the next request but [`Hello`](Request::Hello).
    pub fn break_at(&self, at: Break) {
        self.with(|inner| inner.breaks = Some(at));
    }

    /// Takes a step behind the agent's back.
    ///
    /// # Errors
    ///
    /// As [`Programs::apply`].
    pub fn meddle(&self, step: &Step) -> Result<(), program::ProgramError> {
        self.with(|inner| inner.programs.apply(step))
    }

    /// Ends it: its links are dead.
    pub fn stop(&self) {
        self.with(|inner| inner.running = false);
    }

    /// Starts it, empty, as another instance.
    pub fn start(&self) {
        self.with(|inner| {
            inner.instance += 1;
            inner.running = true;
            inner.programs = Programs::new(inner.limits);
            inner.next_hops = None;
            inner.steps = 0;
        });
    }

    /// A link to it, not yet connected.
    pub fn link(&self) -> MemoryLink {
        MemoryLink {
            datapath: self.clone(),
            to: None,
        }
    }

    /// Serves one connection after the other on a real socket, until [`stop`](Self::stop).
    pub fn serve(&self, listener: &UnixListener) {
        let _ = listener.set_nonblocking(true);
        while self.with(|inner| inner.running) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let _ = self.converse(stream); // how it ended is the other side's affair
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn converse(&self, stream: UnixStream) -> Result<(), LineError> {
        let mut lines = Lines::new(stream, MAX_MESSAGE)?;
        let instance = self.with(|inner| inner.instance);
        loop {
            let soon = Instant::now() + Duration::from_millis(10);
            let request: Request = match lines.receive(soon) {
                Err(LineError::TimedOut) if self.is(instance) => continue,
                request => request?,
            };
            let answer = self.with(|inner| inner.answer(&request));
            let Some(answer) = answer else { return Ok(()) };
            lines.send(&answer, Instant::now() + Duration::from_secs(1))?;
        }
    }

    fn is(&self, instance: u64) -> bool {
        self.with(|inner| inner.running && inner.instance == instance)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// The answer, or none if the connection breaks.
    fn answer(&mut self, request: &Request) -> Option<Answer> {
        let breaks = match request {
            Request::Hello => None,
            _ => self.breaks.take(),
        };
        if breaks == Some(Break::Before) {
            return None;
        }
        let answer = match request {
            Request::Hello => Answer::Hello(Hello {
                version: VERSION,
                instance: self.instance,
                applied: self.programs.applied(),
            }),
            Request::Apply { steps } => {
                let count = match breaks {
                    Some(Break::AfterSteps(count)) => count.min(steps.len()),
                    _ => steps.len(),
                };
                let take = |step| self.take(step);
                Answer::Outcomes(steps[..count].iter().map(take).collect())
            }
            Request::NextHops { next_hops } => {
                self.next_hops = Some(next_hops.clone());
                Answer::Done
            }
            Request::Show(subject) => self.show(subject),
        };
        breaks.is_none().then_some(answer)
    }

    fn take(&mut self, step: &Step) -> Outcome {
        self.steps += 1;
        let id = step.id();
        match self.programs.apply(step) {
            Ok(()) => Outcome::Applied {
                id,
                epoch: step.epoch(),
            },
            Err(error) => Outcome::Refused {
                id,
                field: error.field().to_owned(),
                why: error.to_string(),
            },
        }
    }

    fn show(&self, subject: &Subject) -> Answer {
        Answer::Report(match subject {
            Subject::Networks => Report::Networks(self.networks()),
            Subject::Tunnels => Report::Tunnels(self.tunnels()),
            Subject::Counters => Report::Counters(Counters::default()),
            Subject::Stations => Report::Stations(Vec::new()),
            Subject::Workers => Report::Workers(Vec::new()),
            Subject::Neighbours => Report::Neighbours(self.neighbours()),
            Subject::Events => Report::Events(Vec::new()),
            Subject::Ports => {
                let why = "there are no ports in memory".to_owned();
                return Answer::Failed { why };
            }
        })
    }

    fn networks(&self) -> Vec<Network> {
        let programs = &self.programs;
        let network = |(epoch, network): (_, &program::NetworkProgram)| Network {
            name: network.name.clone(),
            epoch,
            vnet: network.vnet,
            mtu: network.mtu.unwrap_or(0).into(),
            ports: programs
                .ports()
                .filter(|(_, port)| port.vnet == network.vnet)
                .count(),
            tunnels: programs
                .tunnels()
                .filter(|(_, tunnel)| tunnel.vnet == network.vnet)
                .count(),
            worker: 0,
        };
        programs.networks().map(network).collect()
    }

    fn tunnels(&self) -> Vec<Tunnel> {
        let ways = self.next_hops.as_deref().unwrap_or_default();
        let endpoint = self.programs.underlay().map(|(_, u)| u.endpoint);
        let tunnel = |(epoch, tunnel): (_, &TunnelProgram)| {
            let way = ways.iter().find(|way| way.remote == tunnel.remote);
            let hops = way.map(|way| &way.hops[..]).unwrap_or_default();
            Tunnel {
                name: tunnel.name.clone(),
                epoch,
                vnet: tunnel.vnet,
                local: endpoint.and_then(|ours| ours.towards(tunnel.remote)),
                remote: tunnel.remote,
                wraps: wraps(tunnel),
                state: if way.is_some() { "up" } else { "no way" }.to_owned(),
                interface: hops.first().map(|hop| hop.interface.clone()),
                next_hops: hops.iter().map(|hop| hop.destination).collect(),
                mtu: way.map_or(0, |way| way.mtu),
                lowered_to: 0,
            }
        };
        self.programs.tunnels().map(tunnel).collect()
    }

    /// Who is named in programs; nobody is ever heard.
    fn neighbours(&self) -> Vec<Neighbour> {
        let mut all = Vec::new();
        for (_, network) in self.programs.networks() {
            all.extend(network.neighbours.iter().map(|neighbour| Neighbour {
                vnet: network.vnet,
                address: neighbour.address,
                mac: neighbour.mac,
                behind: "program".to_owned(),
            }));
        }
        all
    }
}

/// How a tunnel's frames are wrapped, in words.
fn wraps(tunnel: &TunnelProgram) -> String {
    let words = [
        (tunnel.keyed, "key"),
        (tunnel.checksum, "csum"),
        (tunnel.sequence != Sequence::None, "seq"),
        (tunnel.transport == Transport::Udp, "in UDP"),
    ];
    let words = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word);
    let words: Vec<_> = words.collect();
    if words.is_empty() {
        return "plain".to_owned();
    }
    words.join(" ")
}

/// A link to a [`Memory`].
#[derive(Debug)]
pub struct MemoryLink {
    datapath: Memory,
    /// The instance it is connected to.
    to: Option<u64>,
}

impl Link for MemoryLink {
    fn connect(&mut self) -> Result<(), LineError> {
        let running = |inner: &mut Inner| inner.running.then_some(inner.instance);
        self.to = self.datapath.with(running);
        self.to.map(|_| ()).ok_or(LineError::Closed)
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, LineError> {
        let answer = if self.alive() {
            self.datapath.with(|inner| inner.answer(request))
        } else {
            None
        };
        if answer.is_none() {
            self.to = None;
        }
        answer.ok_or(LineError::Closed)
    }

    fn alive(&mut self) -> bool {
        self.to.is_some_and(|instance| self.datapath.is(instance))
    }
}
