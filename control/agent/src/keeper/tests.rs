use super::*;
use crate::memory::{Break, Memory, MemoryLink};
use crate::sample::{network, port, tunnel, underlay};
use crossbeam::channel::bounded;
use program::link::Hop;
use program::{Interface, Limits, Mac, Program};
use tempfile::TempDir;

struct Host {
    place: TempDir,
    datapath: Memory,
    board: Arc<Board>,
    ways: Arc<Latest<Ways>>,
    wanted: Arc<Latest<Wanted>>,
    keeper: Option<Keeper<MemoryLink>>,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let mut host = Self {
            place: tempfile::tempdir().unwrap(),
            datapath: Memory::new(Limits::default()),
            board: Arc::default(),
            ways: Arc::new(Latest::new(|| ())),
            wanted: Arc::new(Latest::new(|| ())),
            keeper: None,
            now: Instant::now(),
        };
        host.start();
        host
    }

    /// Starts the agent, again if there was one.
    fn start(&mut self) {
        self.keeper = None; // the store has one agent
        let path = self.place.path().join("programs.redb");
        let (store, desired) = Store::open(&path, Limits::default()).unwrap();
        self.board = Arc::default();
        let parts = Parts {
            link: self.datapath.link(),
            sure: store.settled().unwrap(),
            store,
            desired,
            board: Arc::clone(&self.board),
            wanted: Arc::clone(&self.wanted),
            ways: Arc::clone(&self.ways),
        };
        self.keeper = Some(Keeper::new(parts, self.now));
    }

    fn lose_store(&mut self) {
        self.keeper = None;
        std::fs::remove_file(self.place.path().join("programs.redb")).unwrap();
    }

    fn turn(&mut self) {
        self.now += Duration::from_secs(1);
        self.keeper.as_mut().unwrap().turn(self.now);
    }

    fn apply(&mut self, programs: impl IntoIterator<Item = Program>) -> Vec<Change> {
        let document = programs.into_iter().map(|p| (None, p)).collect();
        let (reply, answer) = bounded(1);
        let keeper = self.keeper.as_mut().unwrap();
        keeper.call(Call::Apply { document, reply });
        answer.try_recv().unwrap().unwrap()
    }

    fn withdraw(&mut self, program: &Program) {
        let (reply, answer) = bounded(1);
        let ids = BTreeSet::from([program.id()]);
        let keeper = self.keeper.as_mut().unwrap();
        keeper.call(Call::Withdraw { ids, reply });
        answer.try_recv().unwrap().unwrap();
    }

    fn desired(&self) -> &Programs {
        self.keeper.as_ref().unwrap().parts.desired.programs()
    }

    #[track_caller]
    fn there(&self) {
        let (is, wanted) = (self.datapath.programs(), self.desired());
        assert!(is.iter().eq(wanted.iter()), "{is:?}\n{wanted:?}");
        assert_eq!(self.board.read().all_pending(), []);
    }
}

fn some() -> Vec<Program> {
    vec![
        underlay("u", [10, 0, 0, 1], "eth0"),
        network("red", 1),
        network("blue", 2),
        tunnel("h2", 1, [10, 0, 0, 2]),
        port("a", 1, "vm-a"),
        port("b", 2, "vm-b"),
    ]
}

fn way() -> Ways {
    Ways {
        next_hops: vec![NextHop {
            remote: [10, 0, 0, 2].into(),
            hops: vec![Hop {
                interface: Interface::try_from("eth0".to_owned()).unwrap(),
                source: Mac([2, 0, 0, 0, 0, 1]),
                destination: Mac([2, 0, 0, 0, 0, 2]),
            }],
            mtu: 1600,
        }],
        unreachable: Vec::new(),
    }
}

#[test]
fn what_is_wanted_before_there_is_a_datapath_comes_when_there_is() {
    let mut host = Host::new();
    host.datapath.stop();
    host.apply(some());
    host.turn();
    assert_eq!(host.board.read().all_pending().len(), 6);
    host.datapath.start();
    host.turn();
    host.there();
    let steps = host.datapath.steps();
    host.turn();
    assert_eq!(host.datapath.steps(), steps, "nothing is sent twice");
}

#[test]
fn an_empty_datapath_is_filled_again() {
    let mut host = Host::new();
    host.apply(some());
    host.ways.put(way());
    host.turn();
    host.datapath.stop();
    host.turn();
    assert!(host.board.read().instance.is_none());
    host.datapath.start();
    host.turn();
    host.there();
    assert_eq!(host.datapath.next_hops(), Some(way().next_hops));
}

#[test]
fn a_restart_between_two_turns_is_not_missed() {
    let mut host = Host::new();
    host.apply(some());
    host.turn();
    host.datapath.stop();
    host.datapath.start();
    host.turn();
    host.turn();
    host.there();
}

#[test]
fn an_agent_that_starts_again_changes_nothing() {
    let mut host = Host::new();
    host.apply(some());
    host.turn();
    let steps = host.datapath.steps();
    host.start();
    host.turn();
    host.there();
    assert_eq!(host.datapath.steps(), steps);
}

#[test]
fn the_connection_may_break_at_any_step_and_either_side_start_again() {
    for then in 0..3 {
        for steps in 0..=8 {
            for at in [Break::AfterSteps(steps), Break::Before, Break::After] {
                let mut host = Host::new();
                host.apply(some());
                host.turn();
                host.withdraw(&port("b", 2, "vm-b"));
                host.withdraw(&network("blue", 2));
                host.apply([network("green", 2), port("a", 2, "vm-c")]);
                host.datapath.break_at(at);
                host.turn();
                match then {
                    0 => {}
                    1 => host.start(),
                    _ => {
                        host.datapath.stop();
                        host.datapath.start();
                    }
                }
                host.turn();
                host.turn();
                host.there();
            }
        }
    }
}

#[test]
fn ports_that_swap_interfaces_arrive() {
    let mut host = Host::new();
    host.apply(some());
    host.turn();
    host.apply([port("a", 1, "vm-b"), port("b", 2, "vm-a")]);
    host.turn();
    host.there();
}

#[test]
fn programs_nobody_here_wants_are_withdrawn() {
    let mut host = Host::new();
    host.datapath
        .meddle(&Step::Put {
            epoch: Epoch(99),
            program: network("ghost", 9),
        })
        .unwrap();
    host.turn();
    host.there();
}

#[test]
fn a_new_store_does_not_take_old_programs_for_its_own() {
    let mut host = Host::new();
    host.apply(some());
    host.turn();
    host.lose_store();
    host.start();
    // The same names and, counted from one again, the same epochs: but other programs.
    host.apply([network("red", 7), port("a", 7, "vm-z")]);
    host.turn();
    host.there();
}

#[test]
fn a_refusal_is_shown_and_tried_again_when_there_may_be_room() {
    let mut host = Host::new();
    host.datapath = Memory::new(Limits {
        networks: 4,
        tunnels: 4,
        ports: 1,
        ..Limits::default()
    });
    host.start();
    host.apply(some());
    host.turn();
    let pending = host.board.read().all_pending();
    assert_eq!(pending.len(), 1);
    assert!(pending[0].refused);
    assert!(pending[0].why.contains("2 ports"), "{}", pending[0].why);
    host.withdraw(&port("a", 1, "vm-a"));
    host.turn();
    host.there();
}

#[test]
fn ways_are_told_when_they_change_and_only_then() {
    let mut host = Host::new();
    host.apply(some());
    host.turn();
    let wanted = host.wanted.take().unwrap();
    assert_eq!(wanted.remotes, BTreeSet::from([[10, 0, 0, 2].into()]));
    assert_eq!(host.datapath.next_hops(), None, "nothing is known yet");
    host.ways.put(way());
    host.turn();
    assert_eq!(host.datapath.next_hops(), Some(way().next_hops));
    host.datapath.break_at(Break::Before); // at the next request, which does not come
    host.ways.put(way());
    host.turn();
    assert!(host.board.read().instance.is_some());
}
