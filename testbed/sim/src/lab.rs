//! Hosts, guests, and the wire between the hosts.

use crate::chance::Chance;
use crate::host::Host;
use crate::line::{destination, line};
use core::time::Duration;
use program::link::{Answer, Hop, NextHop, Request};
use program::report::{Counters, Ledger, Report, Subject};
use program::{
    Interface, Mac, Name, NetworkProgram, PortProgram, Program, Speaks, TunnelProgram,
    UnderlayProgram, Vnet,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tables::Instant;
use worker::Worker;

/// How long one step of the lab takes.
const STEP: Duration = Duration::from_micros(10);

/// Steps in which everything must have come to rest.
const PATIENCE: usize = 100_000;

/// What a lab is like.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many hosts.
    pub hosts: u8,
    /// Workers of each.
    pub workers: u16,
    /// Receive queues of each one's underlay interface.
    pub queues: u32,
    /// MTU of the underlay, in bytes.
    pub mtu: u32,
    /// What chance does.
    pub seed: u64,
    /// How bad the wire and the workers are.
    pub weather: Weather,
    /// Whether hosts meet over IPv6.
    pub v6: bool,
    /// MTU of guests' interfaces, in bytes.
    pub guest_mtu: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            hosts: 2,
            workers: 1,
            queues: 1,
            mtu: 1600,
            seed: 1,
            weather: Weather::default(),
            v6: false,
            guest_mtu: 1500,
        }
    }
}

/// How often what goes wrong, each of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Packets the wire loses.
    pub lost: u16,
    /// Packets the wire delivers late, behind others.
    pub late: u16,
    /// Packets the wire delivers twice.
    pub twice: u16,
    /// Steps in which a worker does nothing.
    pub stalled: u16,
}

/// A guest, and where it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The number of its host.
    pub host: usize,
    /// The name of its port, and of its interface.
    pub name: String,
    /// Its address.
    pub mac: [u8; 6],
    /// Its network.
    pub vnet: u32,
    /// Whose address it may speak in.
    pub speaks: Speaks,
}

/// A packet on the wire.
struct Flying {
    arrives: Instant,
    to: usize,
    bytes: Vec<u8>,
}

/// Hosts, guests, the wire, a clock, and a seed.
///
/// Every network spans all hosts; each host has a tunnel to each other one. The `n`th host is
/// 10.0.0.n+1 and `fd00::n+1`; the `n`th guest is 02:00:00:00:00:n+1, and speaks as that only.
pub struct Lab {
    hosts: Vec<Host>,
    now: Instant,
    flying: Vec<Flying>,
    log: Vec<String>,
    captured: Vec<Vec<u8>>,
    chance: Chance,
    setup: Setup,
    guests: u8,
    ports: Vec<usize>,
    before: Vec<Counters>,
    lost_by_wire: u64,
}

impl Lab {
    /// So many hosts with a network `vnet` on them, in good weather.
    pub fn new(hosts: u8, vnet: u32) -> Self {
        let mut lab = Self::with(Setup {
            hosts,
            ..Setup::default()
        });
        lab.network(vnet);
        lab
    }

    /// Hosts that know each other, with no network yet.
    pub fn with(setup: Setup) -> Self {
        let hosts = (0..setup.hosts).map(|n| Host::new(setup.workers, u64::from(n) + 1));
        let mut lab = Self {
            hosts: hosts.collect(),
            now: Instant::START + Duration::from_secs(1),
            flying: Vec::new(),
            log: Vec::new(),
            captured: Vec::new(),
            chance: Chance::new(setup.seed),
            setup,
            guests: 0,
            ports: vec![0; usize::from(setup.hosts)],
            before: Vec::new(),
            lost_by_wire: 0,
        };
        for n in 0..lab.hosts.len() {
            lab.hosts[n].plug("under", setup.mtu, setup.queues);
            let endpoint = (lab.address(n), lab.address_v6(n)).into();
            let underlay = UnderlayProgram::new(name("under"), endpoint, interface("under"));
            lab.put(n, Program::Underlay(underlay));
            lab.tell_ways(n, setup.mtu);
        }
        lab.before = lab.counters();
        lab
    }

    /// Says how all other hosts are reached from host `n`, with this MTU on the way.
    pub fn tell_ways(&mut self, n: usize, mtu: u32) {
        let others = (0..self.hosts.len()).filter(|other| *other != n);
        let hops = others.map(|other| NextHop {
            remote: self.endpoint(other),
            hops: vec![Hop {
                interface: interface("under"),
                source: Mac(underlay_mac(n)),
                destination: Mac(underlay_mac(other)),
            }],
            mtu,
        });
        let hops = hops.collect();
        self.hosts[n].next_hops(hops, self.now);
    }

    /// The endpoint by which the others meet host `n`.
    pub fn endpoint(&self, n: usize) -> IpAddr {
        if self.setup.v6 {
            self.address_v6(n).into()
        } else {
            self.address(n).into()
        }
    }

    /// The IPv4 endpoint of host `n`.
    pub fn address(&self, n: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, u8::try_from(n + 1).expect("few hosts"))
    }

    /// The IPv6 endpoint of host `n`.
    pub fn address_v6(&self, n: usize) -> Ipv6Addr {
        let last = u16::try_from(n + 1).expect("few hosts");
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
    }

    /// A network on every host, with a tunnel between each two.
    pub fn network(&mut self, vnet: u32) {
        self.network_with(vnet, |_| (), |_| ());
    }

    /// The same, with more to say of the network and of its tunnels.
    pub fn network_with(
        &mut self,
        vnet: u32,
        of_network: impl Fn(&mut NetworkProgram),
        of_tunnels: impl Fn(&mut TunnelProgram),
    ) {
        for n in 0..self.hosts.len() {
            let mut network = NetworkProgram::new(name(&format!("net{vnet}")), Vnet(vnet));
            of_network(&mut network);
            self.put(n, Program::Network(network));
            for other in (0..self.hosts.len()).filter(|other| *other != n) {
                let called = name(&format!("t{vnet}-{n}-{other}"));
                let mut tunnel = TunnelProgram::new(called, Vnet(vnet), self.endpoint(other));
                of_tunnels(&mut tunnel);
                self.put(n, Program::Tunnel(tunnel));
            }
        }
        self.before = self.counters();
    }

    /// A new guest on host `host`, which speaks as itself only.
    pub fn guest(&mut self, host: usize, vnet: u32) -> Guest {
        self.guests += 1;
        let mac = [2, 0, 0, 0, 0, self.guests];
        self.guest_as(host, vnet, Speaks::As(Mac(mac)), mac)
    }

    /// A new guest on host `host`, with an address of its own choice.
    pub fn guest_as(&mut self, host: usize, vnet: u32, speaks: Speaks, mac: [u8; 6]) -> Guest {
        self.ports[host] += 1;
        let port = format!("g{host}-{}", self.ports[host]);
        self.hosts[host].plug(&port, self.setup.guest_mtu, 1);
        let guest = Guest {
            host,
            name: port,
            mac,
            vnet,
            speaks,
        };
        self.port_again(&guest);
        self.before = self.counters();
        guest
    }

    /// The guest's port program is put in force, again if it was withdrawn.
    pub fn port_again(&mut self, guest: &Guest) {
        self.port_with(guest, |_| ());
    }

    /// The same, with more to say of the port.
    pub fn port_with(&mut self, guest: &Guest, of_port: impl FnOnce(&mut PortProgram)) {
        let (called, on) = (name(&guest.name), interface(&guest.name));
        let mut program = PortProgram::new(called, Vnet(guest.vnet), on, guest.speaks);
        of_port(&mut program);
        self.put(guest.host, Program::Port(program));
    }

    /// Puts a program in force on host `n`.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn put(&mut self, n: usize, program: Program) {
        let id = program.id();
        if let Err((field, why)) = self.hosts[n].put(program, self.now) {
            panic!("{id} was refused: {field}: {why}");
        }
    }

    /// Host `n`, and the time.
    pub fn host(&mut self, n: usize) -> (&mut Host, Instant) {
        (&mut self.hosts[n], self.now)
    }

    /// The guest sends a frame, and everything comes to rest.
    pub fn send(&mut self, from: &Guest, frame: &[u8]) {
        self.offer(from, frame);
        self.settle();
    }

    /// The guest sends a frame; nothing else happens yet. False if its interface takes no more.
    pub fn offer(&mut self, from: &Guest, frame: &[u8]) -> bool {
        let ends = self.hosts[from.host].ends(&from.name);
        ends.first().is_some_and(|end| end.inject(frame))
    }

    /// A packet arrives at host `n` from the underlay, and everything comes to rest.
    pub fn arrive(&mut self, n: usize, packet: &[u8]) {
        self.deliver(n, packet);
        self.settle();
    }

    /// A packet arrives at host `n` from the underlay; nothing else happens yet.
    pub fn arrive_quietly(&mut self, n: usize, packet: &[u8]) {
        self.deliver(n, packet);
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// What the guest has received since this was last asked.
    pub fn received(&mut self, guest: &Guest) -> Vec<Vec<u8>> {
        let ends = self.hosts[guest.host].ends(&guest.name);
        ends.iter()
            .flat_map(io::memory::MemoryEnd::take_all)
            .collect()
    }

    /// The packets that were on the wire since this was last asked, byte for byte.
    pub fn captured(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.captured)
    }

    /// What happened at host `n`, the latest last: kind and text.
    ///
    /// # Panics
    ///
    /// If it does not say.
    pub fn events(&mut self, n: usize) -> Vec<(String, String)> {
        let now = self.now;
        match self.hosts[n].ask(Request::Show(Subject::Events), now) {
            Answer::Report(Report::Events(events)) => events
                .into_iter()
                .map(|event| (event.kind, event.text))
                .collect(),
            other => panic!("events were asked for: {other:?}"),
        }
    }

    /// What was on the wire since this was last asked, one line a packet.
    pub fn wire(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log)
    }

    /// Packets the wire has lost.
    pub fn lost_by_wire(&self) -> u64 {
        self.lost_by_wire
    }

    /// Time passes, and nothing is sent.
    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        for host in &mut self.hosts {
            host.tick(self.now);
        }
        self.settle();
    }

    /// The interface called `interface` of host `n` goes away.
    pub fn unplug(&mut self, n: usize, interface: &str) {
        self.hosts[n].unplug(interface);
        self.wait(Duration::from_secs(1));
    }

    /// It is there again.
    pub fn plug(&mut self, n: usize, interface: &str, mtu: u32) {
        self.hosts[n].plug(interface, mtu, 1);
        self.wait(Duration::from_secs(1));
    }

    /// One step: every worker takes a turn, unless it stalls, and the wire delivers.
    pub fn step(&mut self) -> usize {
        self.now = self.now + STEP;
        let mut moved = 0;
        for n in 0..self.hosts.len() {
            for worker in 0..self.hosts[n].workers.len() {
                if !self.chance.of_thousand(self.setup.weather.stalled) {
                    moved += self.hosts[n].workers[worker].turn(self.now);
                }
            }
            for end in self.hosts[n].ends("under") {
                for packet in end.take_all() {
                    self.fly(packet);
                    moved += 1;
                }
            }
        }
        moved + self.land()
    }

    /// Lets everything come to rest.
    ///
    /// # Panics
    ///
    /// If it does not, if a ledger does not balance then, or if a frame buffer is missing.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            let moved = self.step();
            quiet = if moved == 0 && self.flying.is_empty() {
                quiet + 1
            } else {
                0
            };
            // Stalled workers look quiet; so many in a row do not happen.
            if quiet > 4 + usize::from(self.setup.weather.stalled) / 8 {
                return self.audit();
            }
        }
        panic!("it did not come to rest in {PATIENCE} steps");
    }

    /// Every ledger balances, and every frame buffer is somewhere.
    fn audit(&mut self) {
        for (n, counters) in self.counters().into_iter().enumerate() {
            let ports = counters
                .ports
                .iter()
                .map(|(name, l)| (format!("port {name}"), l));
            let vnets = counters
                .vnets
                .iter()
                .map(|(vnet, l)| (format!("vnet {vnet}"), l));
            let workers = &self.hosts[n].workers;
            let held: u32 = workers.iter().map(Worker::fragments_held).sum();
            for (name, ledger) in ports.chain(vnets) {
                let held = if name == "port underlay under" {
                    held
                } else {
                    0
                };
                let missing = ledger.missing() - i128::from(held);
                assert_eq!(missing, 0, "host {n}, {name} does not balance: {ledger:?}");
            }
            for (vnet, ledger) in &counters.vnets {
                let (sent, out) = (ledger.sent + ledger.answered, ledger.transmitted);
                assert_eq!(sent, out, "host {n}, vnet {vnet}: what was sent has left");
            }
            for worker in &self.hosts[n].workers {
                let missing = worker.missing_frames();
                assert_eq!(missing, 0, "host {n}, {:?} lost frame buffers", worker.id());
            }
        }
    }

    /// Which counters moved since this was last asked, one line a ledger; bytes are left out.
    pub fn moved(&mut self) -> Vec<String> {
        let after = self.counters();
        let before = core::mem::replace(&mut self.before, after.clone());
        let mut lines = Vec::new();
        for (n, (after, before)) in after.iter().zip(&before).enumerate() {
            let ports = after.ports.iter().map(|(name, ledger)| {
                let name_of = format!("h{n} {name}");
                (name_of, ledger, before.ports.get(name))
            });
            let vnets = after.vnets.iter().map(|(vnet, ledger)| {
                let name_of = format!("h{n} vnet {vnet}");
                (name_of, ledger, before.vnets.get(vnet))
            });
            for (name, after, before) in ports.chain(vnets) {
                let moved = difference(after, before.unwrap_or(&Ledger::default()));
                if !moved.is_empty() {
                    lines.push(format!("{name}: {moved}"));
                }
            }
        }
        lines
    }

    fn counters(&mut self) -> Vec<Counters> {
        let now = self.now;
        self.hosts
            .iter_mut()
            .map(|host| host.counters(now))
            .collect()
    }

    /// A packet leaves a host.
    fn fly(&mut self, bytes: Vec<u8>) {
        self.log.push(line(&bytes));
        self.captured.push(bytes.clone());
        let to = destination(&bytes);
        let Some(to) = (0..self.hosts.len()).find(|n| Some(self.endpoint(*n)) == to) else {
            return;
        };
        let Weather {
            lost, late, twice, ..
        } = self.setup.weather;
        if self.chance.of_thousand(lost) {
            self.lost_by_wire += 1;
            return;
        }
        if self.chance.of_thousand(twice) {
            let arrives = self.now + STEP;
            self.flying.push(Flying {
                arrives,
                to,
                bytes: bytes.clone(),
            });
        }
        let delay = if self.chance.of_thousand(late) { 10 } else { 1 };
        let arrives = self.now + STEP * delay;
        self.flying.push(Flying { arrives, to, bytes });
    }

    /// What has been long enough on the wire arrives.
    fn land(&mut self) -> usize {
        let now = self.now;
        let mut landed = 0;
        let mut flying = core::mem::take(&mut self.flying);
        flying.retain(|packet| {
            let arrives = packet.arrives <= now;
            if arrives {
                self.deliver(packet.to, &packet.bytes);
                landed += 1;
            }
            !arrives
        });
        self.flying = flying;
        landed
    }

    /// A packet arrives at host `n`: at the queue that its bytes choose, as a network card would.
    fn deliver(&mut self, n: usize, packet: &[u8]) {
        let ends = self.hosts[n].ends("under");
        let hash = packet
            .iter()
            .skip(26)
            .take(8)
            .map(|b| usize::from(*b))
            .sum::<usize>();
        if let Some(end) = ends.get(hash % ends.len().max(1))
            && !end.inject(packet)
        {
            self.lost_by_wire += 1;
        }
    }
}

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).expect("a lab's names are good")
}

fn interface(text: &str) -> Interface {
    Interface::try_from(text.to_owned()).expect("a lab's interfaces are good")
}

fn underlay_mac(n: usize) -> [u8; 6] {
    [2, 1, 0, 0, 0, u8::try_from(n + 1).expect("few hosts")]
}

/// What moved between two ledgers, in words.
fn difference(after: &Ledger, before: &Ledger) -> String {
    let mut moved = Vec::new();
    let mut note = |name: &str, after: u64, before: u64| {
        if after != before {
            moved.push(format!("{name} {}", after - before));
        }
    };
    note("received", after.received, before.received);
    note("copied", after.copied, before.copied);
    note("sent", after.sent, before.sent);
    note("answered", after.answered, before.answered);
    note("merged", after.merged, before.merged);
    note("transmitted", after.transmitted, before.transmitted);
    let drops: BTreeMap<_, _> = after.dropped.iter().collect();
    for (reason, count) in drops {
        note(
            reason,
            *count,
            before.dropped.get(reason).copied().unwrap_or(0),
        );
    }
    for (what, count) in &after.noted {
        if QUIETLY.contains(&what.as_str()) {
            continue;
        }
        let before = before.noted.get(what).copied().unwrap_or(0);
        if *count != before {
            moved.push(format!("{what} {}", count - before));
        }
    }
    moved.join(", ")
}

/// What stories do not tell: it is so with every new station.
const QUIETLY: [&str; 2] = ["learned", "neighbours"];
