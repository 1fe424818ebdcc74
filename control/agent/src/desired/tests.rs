use super::*;
use crate::sample::{network, port, tunnel, underlay};
use proptest::prelude::*;

fn desired(programs: impl IntoIterator<Item = Program>) -> Desired {
    let document = programs.into_iter().map(|p| (None, p)).collect();
    let empty = Desired::new(Limits::default());
    empty.with(&document).unwrap().0
}

fn some() -> Desired {
    desired([
        network("red", 1),
        tunnel("h2", 1, [10, 0, 0, 2]),
        port("a", 1, "vm-a"),
    ])
}

fn epoch(desired: &Desired, program: &Program) -> Option<u64> {
    desired
        .programs()
        .get(&program.id())
        .map(|(epoch, _)| epoch.0)
}

#[test]
fn the_order_in_a_document_means_nothing() {
    let shuffled = desired([
        port("a", 1, "vm-a"),
        tunnel("h2", 1, [10, 0, 0, 2]),
        network("red", 1),
    ]);
    assert_eq!(shuffled, some());
}

#[test]
fn an_epoch_grows_when_a_program_changes_and_only_then() {
    let document = vec![(None, port("a", 1, "vm-a")), (None, port("b", 1, "vm-b"))];
    let (same, changes) = some().with(&document).unwrap();
    assert_eq!(changes[0].was, changes[0].now);
    assert_eq!((changes[1].was, changes[1].now), (None, Some(Epoch(1))));
    let (next, _) = same.with(&vec![(None, port("a", 1, "vm-c"))]).unwrap();
    assert_eq!(epoch(&next, &port("a", 1, "vm-c")), Some(2));
}

#[test]
fn an_epoch_of_the_document_is_taken_unless_it_is_stale() {
    let a = || port("a", 1, "vm-c");
    let (next, _) = some().with(&vec![(Some(Epoch(7)), a())]).unwrap();
    assert_eq!(epoch(&next, &a()), Some(7));
    let (again, _) = next.with(&vec![(Some(Epoch(7)), a())]).unwrap();
    assert_eq!(again, next, "a repeated delivery is harmless");
    for (epoch, program) in [(6, a()), (7, port("a", 1, "vm-d"))] {
        let refused = next.with(&vec![(Some(Epoch(epoch)), program)]).unwrap_err();
        assert!(matches!(refused.error, ProgramError::Stale { .. }));
    }
}

#[test]
fn what_comes_back_after_a_withdrawal_is_newer_than_it_was() {
    let a = port("a", 1, "vm-a");
    let (gone, changes) = some().without(&BTreeSet::from([a.id()])).unwrap();
    assert_eq!((changes[0].was, changes[0].now), (Some(Epoch(1)), None));
    let (back, _) = gone.with(&vec![(None, port("a", 1, "vm-x"))]).unwrap();
    assert_eq!(epoch(&back, &a), Some(2));
    let refused = gone.with(&vec![(Some(Epoch(1)), a)]).unwrap_err();
    assert!(matches!(refused.error, ProgramError::Stale { .. }));
}

#[test]
fn withdrawn_programs_beyond_the_bound_are_remembered_as_one_number() {
    let mut all = some();
    let many = Desired::REMEMBERED + 1;
    for index in 0..many {
        let id = port(&format!("x{index}"), 1, "vm-x").id();
        all.withdrawn.insert(id, Epoch(index as u64));
    }
    let a = port("a", 1, "vm-a");
    let (next, _) = all.without(&BTreeSet::from([a.id()])).unwrap();
    assert_eq!(next.withdrawn.len(), 0);
    let (next, _) = next.with(&vec![(None, a.clone())]).unwrap();
    assert_eq!(epoch(&next, &a), Some(many as u64));
}

#[test]
fn the_last_epoch_is_the_last() {
    let a = |on| port("a", 1, on);
    let document = vec![(Some(Epoch(u64::MAX)), a("vm-a"))];
    let (last, _) = some().with(&document).unwrap();
    let refused = last.with(&vec![(None, a("vm-b"))]).unwrap_err();
    assert_eq!(refused.error.field(), "epoch");
}

#[test]
fn all_or_nothing_and_who_comes_new_is_blamed() {
    let document = vec![
        (None, port("b", 1, "vm-b")),
        (None, port("0", 1, "vm-a")), // before "a" by name, and still the one that is wrong
    ];
    let refused = some().with(&document).unwrap_err();
    assert_eq!(
        (refused.index, refused.error.field()),
        (Some(1), "interface")
    );
    let document = vec![(None, port("b", 1, "vm-b")), (None, port("b", 1, "vm-c"))];
    let refused = some().with(&document).unwrap_err();
    assert_eq!((refused.index, refused.error.field()), (Some(1), "name"));
}

#[test]
fn what_would_be_left_standing_on_nothing_is_named() {
    let refused = some().with(&vec![(None, network("red", 2))]).unwrap_err();
    assert_eq!(refused.index, None);
    assert_eq!(refused.id.unwrap(), tunnel("h2", 1, [0; 4]).id());
    let red = BTreeSet::from([network("red", 1).id()]);
    let refused = some().without(&red).unwrap_err();
    assert!(matches!(refused.error, ProgramError::InUse { .. }));
    let ids = BTreeSet::from([port("z", 1, "vm-z").id()]);
    let refused = some().without(&ids).unwrap_err();
    assert!(matches!(refused.error, ProgramError::NotThere(_)));
}

#[test]
fn a_network_moves_with_all_that_stands_on_it_in_one_document() {
    let document = vec![
        (None, network("red", 2)),
        (None, tunnel("h2", 2, [10, 0, 0, 2])),
        (None, port("a", 2, "vm-a")),
    ];
    let (next, _) = some().with(&document).unwrap();
    assert_eq!(epoch(&next, &network("red", 2)), Some(2));
}

#[test]
fn a_network_goes_with_what_stands_on_it() {
    let all: BTreeSet<Id> = some().programs().iter().map(|(_, p)| p.id()).collect();
    let (none, changes) = some().without(&all).unwrap();
    assert_eq!((none.programs().len(), changes.len()), (0, 3));
}

#[derive(Clone, Debug)]
enum Act {
    With(Document),
    Without(Id),
}

fn act() -> impl Strategy<Value = Act> {
    let program = (0u8..4, 0u32..3, 0u32..3, 0u8..3).prop_map(|(kind, name, vnet, place)| {
        let text = ["a", "b", "c"][name as usize];
        match kind {
            0 => underlay(text, [10, 0, 0, place], "eth0"),
            1 => network(text, vnet),
            2 => tunnel(text, vnet, [10, 0, 0, place]),
            _ => port(text, vnet, ["vm-a", "vm-b", "vm-c"][usize::from(place)]),
        }
    });
    let epoch = proptest::option::weighted(0.2, (0u64..6).prop_map(Epoch));
    let document = proptest::collection::vec((epoch, program.clone()), 1..4);
    prop_oneof![
        3 => document.prop_map(Act::With),
        1 => program.prop_map(|program| Act::Without(program.id())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The promise the datapath's epochs stand on.
    #[test]
    fn an_epoch_never_means_two_programs(acts in proptest::collection::vec(act(), 1..40)) {
        let mut desired = Desired::new(Limits::default());
        let mut meant: BTreeMap<(Id, Epoch), Program> = BTreeMap::new();
        for act in acts {
            let next = match &act {
                Act::With(document) => desired.with(document),
                Act::Without(id) => desired.without(&BTreeSet::from([id.clone()])),
            };
            let Ok((next, _)) = next else { continue };
            desired = next;
            for (epoch, program) in desired.programs().iter() {
                let before = meant.insert((program.id(), epoch), program.clone());
                prop_assert!(before.is_none_or(|before| before == *program));
            }
        }
    }
}

#[test]
fn what_changed_is_said_of_so_many_programs_and_no_more() {
    let count = u32::try_from(Desired::DETAILED).unwrap() + 1;
    let document = |aging_s| -> Document {
        let network = |n: u32| {
            let Program::Network(mut network) = network(&format!("n{n}"), n) else {
                panic!("no network")
            };
            network.aging_s = aging_s;
            (None, Program::Network(network))
        };
        (0..count).map(network).collect()
    };
    let (desired, changes) = Desired::default().with(&document(300)).unwrap();
    assert!(changes.iter().all(|change| change.fields.is_empty()), "new");
    let (_, changes) = desired.with(&document(301)).unwrap();
    assert!(changes.iter().all(|change| change.was != change.now));
    let said = changes.iter().filter(|change| !change.fields.is_empty());
    assert_eq!(said.count(), Desired::DETAILED);
}
