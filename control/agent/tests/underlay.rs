//! The agent in a network namespace, on the kernel's own routes and neighbours: how soon what
//! changes there has reached the datapath. Needs root and `iproute2`.

#![allow(clippy::unwrap_used)] // as in every test

use agent::Client;
use agent::api::{Reply, Request, Status};
use agent::memory::Memory;
use program::link::NextHop;
use program::{Limits, Mac};
use std::net::IpAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What an operator of an underlay is promised.
const SOON: Duration = Duration::from_secs(1);
/// When it is given up.
const LATE: Duration = Duration::from_secs(10);

const V4: &str = "198.51.100.2";
const V6: &str = "2001:db8:9::2";
/// An IPv4 peer behind a router that has an IPv6 address only.
const MIXED: &str = "198.51.101.2";
/// A peer whose route names its next hops by number.
const NUMBERED: &str = "198.51.102.2";

const HOST: &str = r#"[
  {"version": 1, "kind": "underlay", "name": "u", "endpoint": ["192.0.2.1", "2001:db8::1"],
   "interface": "u0"},
  {"version": 1, "kind": "network", "name": "red", "vnet": 1},
  {"version": 1, "kind": "tunnel", "name": "v4", "vnet": 1, "remote": "198.51.100.2"},
  {"version": 1, "kind": "tunnel", "name": "v6", "vnet": 1, "remote": "2001:db8:9::2"},
  {"version": 1, "kind": "tunnel", "name": "mixed", "vnet": 1, "remote": "198.51.101.2"},
  {"version": 1, "kind": "tunnel", "name": "numbered", "vnet": 1, "remote": "198.51.102.2"}
]"#;

/// A host, and three routers on one link with it: `192.0.2.N` and `2001:db8::N` with the address
/// `02:00:00:00:00:N` are on `mN`, for N of 11, 12 and 13.
struct Lab {
    host: String,
    routers: String,
    place: tempfile::TempDir,
    memory: Memory,
    datapath: Option<JoinHandle<()>>,
    agent: Option<Child>,
}

impl Lab {
    fn new() -> Self {
        let name = |node: &str| format!("gh-agent-{}-{node}", std::process::id());
        let mut lab = Self {
            host: name("h"),
            routers: name("r"),
            place: tempfile::tempdir().unwrap(),
            memory: Memory::new(Limits::default()),
            datapath: None,
            agent: None,
        };
        lab.wire();
        lab.start();
        lab
    }

    fn wire(&self) {
        for name in [&self.host, &self.routers] {
            run(Command::new("ip").args(["netns", "add", name]));
        }
        let routers = &self.routers;
        // Solicitations come from the link's own address, which is there a second later if it is
        // looked first whether another has it.
        set(&self.host, "ipv6/conf/default/accept_dad", 0);
        set(routers, "ipv6/conf/default/accept_dad", 0);
        for family in [
            "ipv4/conf/all/arp",
            "ipv4/conf/default/arp",
            "ipv6/conf/default/ndisc",
        ] {
            // Who gets another MAC says so.
            set(routers, &format!("{family}_notify"), 1);
        }
        // Each of the routers speaks for itself only.
        set(routers, "ipv4/conf/all/arp_ignore", 1);
        set(routers, "ipv4/conf/all/arp_announce", 2);
        self.host(&format!(
            "link add u0 type veth peer name u1 netns {routers}"
        ));
        self.host("link set u0 up");
        self.host("address add 192.0.2.1/24 dev u0");
        self.host("address add 2001:db8::1/64 dev u0 nodad");
        self.routers("link set u1 up");
        for n in [11, 12, 13] {
            self.routers(&format!(
                "link add m{n} link u1 address 02:00:00:00:00:{n} type macvlan mode bridge"
            ));
            self.routers(&format!("address add 192.0.2.{n}/24 dev m{n}"));
            self.routers(&format!("address add 2001:db8::{n}/64 dev m{n} nodad"));
            self.routers(&format!("link set m{n} up"));
        }
    }

    /// Starts the datapath in memory, and the agent in the host's namespace.
    fn start(&mut self) {
        let listener = UnixListener::bind(self.path("datapath.sock")).unwrap();
        let memory = self.memory.clone();
        self.datapath = Some(std::thread::spawn(move || memory.serve(&listener)));
        let agent = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.host])
            .arg(env!("CARGO_BIN_EXE_greyhound-agent"))
            .arg("--socket")
            .arg(self.path("agent.sock"))
            .arg("--datapath")
            .arg(self.path("datapath.sock"))
            .arg("--store")
            .arg(self.path("programs.redb"))
            .stderr(Stdio::null())
            .spawn();
        self.agent = Some(agent.unwrap());
        let start = Instant::now();
        while Client::connect(&self.path("agent.sock")).is_err() {
            assert!(start.elapsed() < LATE, "the agent did not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
        let document = HOST.to_owned();
        let wait = true;
        match self.ask(&Request::Apply { document, wait }) {
            Reply::Taken { pending, .. } => assert_eq!(pending, []),
            reply => panic!("{reply:?}"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn ask(&self, request: &Request) -> Reply {
        let mut client = Client::connect(&self.path("agent.sock")).unwrap();
        client.ask(request).unwrap()
    }

    fn status(&self) -> Status {
        match self.ask(&Request::Status) {
            Reply::Status(status) => status,
            reply => panic!("{reply:?}"),
        }
    }

    /// Runs `ip` on the host.
    #[track_caller]
    fn host(&self, line: &str) {
        run(Command::new("ip")
            .args(["-n", &self.host])
            .args(line.split(' ')));
    }

    /// Runs `ip` where the routers are.
    #[track_caller]
    fn routers(&self, line: &str) {
        run(Command::new("ip")
            .args(["-n", &self.routers])
            .args(line.split(' ')));
    }

    fn way(&self, remote: &str) -> Option<NextHop> {
        let remote: IpAddr = remote.parse().unwrap();
        let ways = self.memory.next_hops().unwrap_or_default();
        ways.into_iter().find(|way| way.remote == remote)
    }

    /// Waits until the datapath was told that the way to `remote` goes by these routers, named by
    /// the last byte of their addresses, and none else.
    #[track_caller]
    fn arrives(&self, what: &str, since: Instant, remote: &str, routers: &[u8]) {
        let hops: Vec<_> = routers.iter().map(|n| Mac([2, 0, 0, 0, 0, *n])).collect();
        loop {
            let way = self.way(remote);
            let way = way.map(|way| way.hops).unwrap_or_default();
            let is: Vec<_> = way.iter().map(|hop| hop.destination).collect();
            if is == hops {
                break;
            }
            let took = since.elapsed();
            let status = || self.status().unreachable;
            assert!(
                took < LATE,
                "{what}: {remote} goes by {is:?}: {:?}",
                status()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = since.elapsed();
        println!("{:>4} ms: {what}", took.as_millis());
        assert!(took < SOON, "{what}: {took:?}");
    }

    /// The same, after `change`.
    #[track_caller]
    fn after(&self, what: &str, change: impl FnOnce(&Self), remote: &str, routers: &[u8]) {
        let start = Instant::now();
        change(self);
        self.arrives(what, start, remote, routers);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill(); // it may have ended
            let _ = agent.wait();
        }
        self.memory.stop();
        if let Some(datapath) = self.datapath.take() {
            let _ = datapath.join(); // the test has failed already, if it panicked
        }
        for name in [&self.host, &self.routers] {
            // It is not there if it could not be made.
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said} (it needs root)");
}

/// Writes a sysctl in a namespace.
#[track_caller]
fn set(namespace: &str, key: &str, value: u8) {
    let line = format!("echo {value} > /proc/sys/net/{key}");
    run(Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &line]));
}

const BOTH: [u8; 2] = [0x11, 0x12];

#[test]
fn what_changes_in_the_kernel_is_in_the_datapath_within_a_second() {
    let lab = Lab::new();
    a_route_with_two_next_hops_has_two(&lab);
    changes_of_routes_arrive(&lab);
    changes_of_neighbours_arrive(&lab);
    the_mtu_arrives(&lab);
    what_is_gone_is_said(&lab);
}

fn a_route_with_two_next_hops_has_two(lab: &Lab) {
    lab.after(
        "an IPv4 route with two next hops",
        |lab| lab.host("route add 198.51.100.0/24 nexthop via 192.0.2.11 nexthop via 192.0.2.12"),
        V4,
        &BOTH,
    );
    lab.after(
        "an IPv6 route with two next hops",
        |lab| {
            lab.host("route add 2001:db8:9::/64 nexthop via 2001:db8::11 nexthop via 2001:db8::12");
        },
        V6,
        &BOTH,
    );
    lab.after(
        "an IPv4 route by an IPv6 router",
        |lab| lab.host("route add 198.51.101.0/24 via inet6 2001:db8::13 dev u0"),
        MIXED,
        &[0x13],
    );
    for (id, router) in [(1, "192.0.2.11"), (2, "2001:db8::12")] {
        lab.host(&format!("nexthop add id {id} via {router} dev u0"));
    }
    lab.host("nexthop add id 3 group 1/2");
    lab.after(
        "a route that names its next hops by number",
        |lab| lab.host("route add 198.51.102.0/24 nhid 3"),
        NUMBERED,
        &BOTH,
    );
    // As routing daemons like it: the route says the number and no more.
    set(&lab.host, "ipv4/nexthop_compat_mode", 0);
    lab.after(
        "a route that is gone",
        |lab| lab.host("route del 198.51.102.0/24"),
        NUMBERED,
        &[],
    );
    lab.after(
        "a route that only names them",
        |lab| lab.host("route add 198.51.102.0/24 nhid 3"),
        NUMBERED,
        &BOTH,
    );
    let way = lab.way(V6).unwrap();
    assert_eq!(way.mtu, 1500);
    assert!(way.hops.iter().all(|hop| hop.interface.as_str() == "u0"));
    assert_eq!(lab.status().unreachable, []);
}

fn changes_of_routes_arrive(lab: &Lab) {
    lab.after(
        "one next hop taken from an IPv6 route",
        |lab| lab.host("route del 2001:db8:9::/64 nexthop via 2001:db8::11"),
        V6,
        &[0x12],
    );
    lab.after(
        "two others for an IPv6 route",
        |lab| {
            lab.host(
                "route replace 2001:db8:9::/64 nexthop via 2001:db8::11 nexthop via 2001:db8::13",
            );
        },
        V6,
        &[0x11, 0x13],
    );
    lab.after(
        "one of two next hops taken from an IPv4 route",
        |lab| lab.host("route replace 198.51.100.0/24 via 192.0.2.12"),
        V4,
        &[0x12],
    );
    lab.after(
        "two others for an IPv4 route",
        |lab| {
            lab.host("route replace 198.51.100.0/24 nexthop via 192.0.2.12 nexthop via 192.0.2.13");
        },
        V4,
        &[0x12, 0x13],
    );
    lab.after(
        "another router behind a number",
        |lab| lab.host("nexthop replace id 1 via 192.0.2.13 dev u0"),
        NUMBERED,
        &[0x12, 0x13],
    );
}

fn changes_of_neighbours_arrive(lab: &Lab) {
    // For a second after an answer the kernel takes no other for the same address (`locktime`).
    std::thread::sleep(Duration::from_millis(1200));
    let start = Instant::now();
    lab.routers("link set m13 address 02:00:00:00:00:99");
    lab.arrives("another MAC, told by ARP", start, V4, &[0x12, 0x99]);
    lab.arrives(
        "another MAC, told by a neighbour advertisement",
        start,
        V6,
        &[0x11, 0x99],
    );

    lab.routers("link del m13");
    let start = Instant::now();
    lab.host("neighbour change 192.0.2.13 dev u0 nud failed");
    lab.arrives("an IPv4 router that does not answer", start, V4, &[0x12]);
    let start = Instant::now();
    lab.host("neighbour change 2001:db8::13 dev u0 nud failed");
    lab.arrives("an IPv6 router that does not answer", start, V6, &[0x11]);
    let unreachable = lab.status().unreachable;
    assert_eq!(unreachable.len(), 1, "the other hops do: {unreachable:?}");
    assert_eq!(unreachable[0].remote, MIXED.parse::<IpAddr>().unwrap());
    let why = &unreachable[0].why;
    assert!(why.starts_with("2001:db8::13 "), "{why}");
    assert!(why.contains("neighbour solicitations on u0"), "{why}");
}

fn the_mtu_arrives(lab: &Lab) {
    let start = Instant::now();
    lab.host("link set u0 mtu 1400");
    while lab.way(V4).is_none_or(|way| way.mtu != 1400) {
        assert!(start.elapsed() < SOON, "{:?}", lab.way(V4));
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{:>4} ms: the interface's MTU", start.elapsed().as_millis());
}

fn what_is_gone_is_said(lab: &Lab) {
    let start = Instant::now();
    lab.routers("link set u1 down");
    // Of a carrier that is lost the kernel itself speaks once a second at most.
    while lab.way(V4).is_some() {
        assert!(start.elapsed() < SOON * 2, "{:?}", lab.way(V4));
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{:>4} ms: a lost carrier", start.elapsed().as_millis());
    let unreachable = lab.status().unreachable;
    let v4 = unreachable
        .iter()
        .find(|peer| peer.remote.to_string() == V4);
    assert_eq!(v4.unwrap().why, "u0 has no carrier");
    lab.host("address del 2001:db8::1/64 dev u0");
    let start = Instant::now();
    let gone = "the endpoint 2001:db8::1 is no address of this host";
    while !lab.status().unreachable.iter().any(|peer| peer.why == gone) {
        assert!(start.elapsed() < SOON, "{:?}", lab.status().unreachable);
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "{:>4} ms: an endpoint that went away",
        start.elapsed().as_millis()
    );
}
