//! The agent whole, over real sockets, with a datapath in memory at the other end.

#![allow(clippy::unwrap_used)] // as in every test

use agent::api::{Reply, Request, Status};
use agent::link::UnixLink;
use agent::memory::{Break, Memory};
use agent::{Agent, Client, Options};
use program::report::{Report, Subject};
use program::{Id, Kind, Limits, Name};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A host whose underlay interface is not there, so that nobody is ever asked for.
const HOST: &str = r#"[
  {"version": 1, "kind": "underlay", "name": "u", "endpoint": "192.0.2.1", "interface": "gh-none"},
  {"version": 1, "kind": "network", "name": "red", "vnet": 1},
  {"version": 1, "kind": "network", "name": "blue", "vnet": 2},
  {"version": 1, "kind": "tunnel", "name": "h2", "vnet": 1, "remote": "192.0.2.2"},
  {"version": 1, "kind": "port", "name": "a", "vnet": 1, "interface": "vm-a", "mac": "any"},
  {"version": 1, "kind": "port", "name": "b", "vnet": 2, "interface": "vm-b", "mac": "any"}
]"#;

struct Host {
    place: tempfile::TempDir,
    memory: Memory,
    datapath: Option<JoinHandle<()>>,
    agent: Option<Agent>,
}

impl Host {
    /// A host with both sides running.
    fn new() -> Self {
        let mut host = Self::without_agent();
        host.start_agent();
        host
    }

    fn without_agent() -> Self {
        let mut host = Self {
            place: tempfile::tempdir().unwrap(),
            memory: Memory::new(Limits::default()),
            datapath: None,
            agent: None,
        };
        host.listen();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn listen(&mut self) {
        let path = self.path("datapath.sock");
        let _ = std::fs::remove_file(&path);
        let (memory, listener) = (self.memory.clone(), UnixListener::bind(path).unwrap());
        self.datapath = Some(std::thread::spawn(move || memory.serve(&listener)));
    }

    /// Ends the datapath as a kill does: its memory is gone, its socket file stays.
    fn kill_datapath(&mut self) {
        self.memory.stop();
        self.datapath.take().unwrap().join().unwrap();
    }

    fn start_datapath(&mut self) {
        self.memory.start();
        self.listen();
    }

    fn start_agent(&mut self) {
        let datapath = self.path("datapath.sock");
        let options = Options {
            socket: self.path("agent.sock"),
            datapath: datapath.clone(),
            store: self.path("programs.redb"),
            limits: Limits::default(),
            follow: false,
            patience: Duration::from_secs(5),
        };
        let link = UnixLink::new(datapath, Duration::from_secs(5));
        self.agent = Some(Agent::start(&options, link).unwrap());
    }

    fn ask(&self, request: &Request) -> Reply {
        let mut client = Client::connect(&self.path("agent.sock")).unwrap();
        client.ask(request).unwrap()
    }

    fn apply(&self, document: &str) -> Reply {
        self.ask(&Request::Apply {
            document: document.to_owned(),
            wait: true,
        })
    }

    #[track_caller]
    fn done(&self, document: &str) {
        match self.apply(document) {
            Reply::Taken { pending, .. } => assert_eq!(pending, []),
            reply => panic!("{reply:?}"),
        }
    }

    fn status(&self) -> Status {
        match self.ask(&Request::Status) {
            Reply::Status(status) => status,
            reply => panic!("{reply:?}"),
        }
    }

    /// Waits until all that is wanted is in force.
    #[track_caller]
    fn settle(&self) {
        let start = Instant::now();
        loop {
            let status = self.status();
            if status.connected && status.pending.is_empty() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ids(&self) -> Vec<String> {
        let programs = self.memory.programs();
        programs.iter().map(|(_, p)| p.id().to_string()).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.agent = None;
        self.memory.stop();
        if let Some(datapath) = self.datapath.take() {
            let _ = datapath.join(); // the test has failed already, if it panicked
        }
    }
}

const ALL: [&str; 6] = [
    "underlay u",
    "network blue",
    "network red",
    "tunnel h2",
    "port a",
    "port b",
];

#[test]
fn done_means_done() {
    let host = Host::new();
    host.done(HOST);
    assert_eq!(host.ids(), ALL);

    let name = |name: &str| Name::try_from(name.to_owned()).unwrap();
    let ids = [(Kind::Network, "blue"), (Kind::Port, "b")];
    let ids = ids.map(|(kind, text)| Id {
        kind,
        name: name(text),
    });
    let request = Request::Withdraw {
        ids: ids.to_vec(),
        wait: true,
    };
    let Reply::Taken { pending, .. } = host.ask(&request) else {
        panic!("it was refused")
    };
    assert_eq!(pending, []);
    assert_eq!(
        host.ids(),
        ["underlay u", "network red", "tunnel h2", "port a"]
    );
}

#[test]
fn a_refused_document_names_the_field_and_changes_nothing() {
    let host = Host::new();
    host.done(HOST);
    let before = (host.memory.programs(), host.memory.steps());
    for (bad, field) in [
        (HOST.replace("192.0.2.2", "127.0.0.1"), "[3].remote"),
        (HOST.replace("vm-b", "vm-a"), "[5].interface"),
        (HOST.replace("\"vnet\": 2", "\"vnet\": 1"), "[2].vnet"),
        (HOST.replace("gh-none", "not an interface"), "[0].interface"),
        (HOST.replace("\"mac\"", "\"mcc\""), "[4].mac"),
        ("{}".to_owned(), "version"),
        (
            HOST.replace("\"version\": 1", "\"version\": 2"),
            "[0].version",
        ),
    ] {
        match host.apply(&bad) {
            Reply::Refused { field: is, .. } => assert_eq!(is, field, "{bad}"),
            reply => panic!("{reply:?}"),
        }
    }
    assert_eq!((host.memory.programs(), host.memory.steps()), before);
}

#[test]
fn a_datapath_that_was_killed_is_filled_again_in_under_a_second() {
    let mut host = Host::new();
    host.done(HOST);
    for _ in 0..5 {
        let before = host.status().instance;
        let start = Instant::now();
        host.kill_datapath();
        host.start_datapath();
        while host.status().instance == before {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "it was not missed"
            );
        }
        host.settle();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(host.ids(), ALL);
    }
}

#[test]
fn the_connection_may_break_at_any_step_of_an_apply() {
    for steps in 0..=6 {
        let host = Host::new();
        host.settle();
        host.memory.break_at(Break::AfterSteps(steps));
        host.done(HOST);
        assert_eq!(host.ids(), ALL, "after {steps} steps");
    }
}

#[test]
fn without_a_datapath_it_is_kept_and_said() {
    let mut host = Host::new();
    host.settle();
    host.kill_datapath();
    let request = Request::Apply {
        document: HOST.to_owned(),
        wait: false,
    };
    let Reply::Taken { changes, pending } = host.ask(&request) else {
        panic!("it was refused")
    };
    assert_eq!((changes.len(), pending.len()), (6, 0));
    let start = Instant::now();
    while host.status().connected {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let status = host.status();
    assert_eq!((status.wanted, status.pending.len()), (6, 6));
    let Reply::Failed { why } = host.ask(&Request::Show(Subject::Networks)) else {
        panic!("it showed something")
    };
    assert!(why.contains("the datapath is not there"), "{why}");
    host.start_datapath();
    host.settle();
    assert_eq!(host.ids(), ALL);
}

#[test]
fn a_plan_changes_nothing() {
    let host = Host::new();
    let request = Request::Plan {
        document: HOST.to_owned(),
    };
    let Reply::Planned { changes } = host.ask(&request) else {
        panic!("it was refused")
    };
    assert!(changes.iter().all(|change| change.was.is_none()));
    assert_eq!((changes.len(), host.status().wanted), (6, 0));
}

#[test]
fn a_plan_says_in_which_fields_a_program_changes() {
    let host = Host::new();
    host.done(HOST);
    let document = HOST.replace("\"192.0.2.2\"", "\"192.0.2.2\", \"transport\": \"udp\"");
    let Reply::Planned { changes } = host.ask(&Request::Plan { document }) else {
        panic!("it was refused")
    };
    let mut differ = changes.iter().filter(|change| change.was != change.now);
    let tunnel = differ.next().unwrap();
    assert_eq!(tunnel.id.to_string(), "tunnel h2");
    let fields: Vec<_> = tunnel.fields.iter().map(|field| &field.field).collect();
    assert_eq!(fields, ["transport"]);
    assert_eq!(tunnel.fields[0].was, None);
    assert_eq!(tunnel.fields[0].now, Some("udp".into()));
    assert_eq!(differ.next(), None);
}

#[test]
fn what_the_datapath_shows_comes_through() {
    let host = Host::new();
    host.done(HOST);
    let Reply::Shown(Report::Networks(networks)) = host.ask(&Request::Show(Subject::Networks))
    else {
        panic!("no networks")
    };
    assert_eq!(networks.len(), 2);
    let Reply::Shown(Report::Tunnels(tunnels)) = host.ask(&Request::Show(Subject::Tunnels)) else {
        panic!("no tunnels")
    };
    assert_eq!((tunnels.len(), &tunnels[0].wraps[..]), (1, "key"));
    assert_eq!(tunnels[0].local, Some([192, 0, 2, 1].into()));
    for subject in [Subject::Neighbours, Subject::Events] {
        let reply = host.ask(&Request::Show(subject.clone()));
        assert!(matches!(reply, Reply::Shown(_)), "{subject:?}: {reply:?}");
    }
    let Reply::Failed { why } = host.ask(&Request::Show(Subject::Ports)) else {
        panic!("there are no ports in memory")
    };
    assert_eq!(why, "there are no ports in memory");
    assert!(host.status().connected, "a refusal to show breaks nothing");
}

#[test]
fn what_is_no_request_is_answered_and_the_connection_stays() {
    let host = Host::new();
    let mut stream = UnixStream::connect(host.path("agent.sock")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for line in ["hello", "{}", "{\"apply\":{}}", "\u{1}", "[1", "\"status\""] {
        stream.write_all(line.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        let reply: Reply = serde_json::from_str(&answer).unwrap();
        let status = matches!(reply, Reply::Status(_));
        assert_eq!(status, line == "\"status\"", "{line}: {answer}");
    }
}

#[test]
fn one_connection_too_many_is_told_so_and_the_others_stay() {
    let host = Host::new();
    let path = host.path("agent.sock");
    let connect = |_| Client::connect(&path).unwrap();
    let mut clients: Vec<_> = (0..agent::server::CONNECTIONS).map(connect).collect();
    for client in &mut clients {
        assert!(matches!(client.ask(&Request::Status), Ok(Reply::Status(_))));
    }
    let stream = UnixStream::connect(&path).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("64 connections are open"), "{answer}");
    drop(clients);
    let start = Instant::now();
    loop {
        let again = Client::connect(&path).unwrap().ask(&Request::Status);
        if matches!(again, Ok(Reply::Status(_))) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{again:?}");
    }
}

/// The agent as a process of its own, killed when dropped.
struct Process(Child);

impl Process {
    fn start(host: &Host) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_greyhound-agent"))
            .arg("--socket")
            .arg(host.path("agent.sock"))
            .arg("--datapath")
            .arg(host.path("datapath.sock"))
            .arg("--store")
            .arg(host.path("programs.redb"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self(child);
        let start = Instant::now();
        while Client::connect(&host.path("agent.sock")).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "it did not come up"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

#[test]
fn an_agent_that_was_killed_comes_back_with_all_it_had_taken() {
    let host = Host::without_agent();
    let process = Process::start(&host);
    host.done(HOST);
    let steps = host.memory.steps();
    drop(process);
    assert!(host.path("agent.sock").exists(), "a kill leaves the socket");

    let _process = Process::start(&host);
    host.settle();
    assert_eq!(host.ids(), ALL);
    assert_eq!(host.memory.steps(), steps, "nothing had to be sent");
}

#[test]
fn an_agent_killed_in_the_middle_of_applying_loses_nothing_it_took() {
    let host = Host::without_agent();
    for round in 0..10 {
        let process = Process::start(&host);
        let document = format!(
            r#"[{{"version":1,"kind":"network","name":"n{round}","vnet":{round}}},
                {{"version":1,"kind":"port","name":"p{round}","vnet":{round},"interface":"vm{round}","mac":"any"}}]"#
        );
        let request = Request::Apply {
            document,
            wait: false,
        };
        let Reply::Taken { .. } = host.ask(&request) else {
            panic!("round {round} was refused")
        };
        drop(process); // at whatever step it is
    }
    let _process = Process::start(&host);
    host.settle();
    assert_eq!(host.ids().len(), 20, "{:?}", host.ids());
}

#[test]
fn told_to_end_it_ends_and_takes_its_socket_along() {
    let host = Host::without_agent();
    let mut process = Process::start(&host);
    let kill = Command::new("kill")
        .arg(process.0.id().to_string())
        .status();
    assert!(kill.unwrap().success());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    assert!(!host.path("agent.sock").exists());
}
