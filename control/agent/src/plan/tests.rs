use super::*;
use crate::sample::{network, port, tunnel, underlay};
use program::Limits;
use proptest::prelude::*;

fn put(epoch: u64, program: Program) -> Step {
    Step::Put {
        epoch: Epoch(epoch),
        program,
    }
}

fn programs(all: impl IntoIterator<Item = (u64, Program)>) -> Programs {
    let mut programs = Programs::default();
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, program)| program.id());
    for (epoch, program) in all {
        programs.apply(&put(epoch, program)).unwrap();
    }
    programs
}

/// Takes `steps` as a datapath does; returns the ids of those it refuses.
fn take(programs: &mut Programs, steps: &[Step]) -> Vec<Id> {
    let refused = |step: &&Step| programs.apply(step).is_err();
    steps.iter().filter(refused).map(Step::id).collect()
}

fn lines(steps: &[Step]) -> Vec<String> {
    let line = |step: &Step| match step {
        Step::Put { epoch, program } => format!("put {} {epoch}", program.id()),
        Step::Withdraw { epoch, id } => format!("withdraw {id} {epoch}"),
    };
    steps.iter().map(line).collect()
}

fn one_of_each() -> Programs {
    programs([
        (1, underlay("u", [10, 0, 0, 1], "eth0")),
        (1, network("red", 1)),
        (1, tunnel("h2", 1, [10, 0, 0, 2])),
        (1, port("a", 1, "vm-a")),
    ])
}

#[test]
fn from_nothing_each_comes_after_what_it_stands_on_and_back_the_other_way() {
    let wanted = one_of_each();
    assert_eq!(
        lines(&plan(&wanted, &[])),
        [
            "put underlay u 1",
            "put network red 1",
            "put tunnel h2 1",
            "put port a 1"
        ]
    );
    assert_eq!(
        lines(&plan(&Programs::default(), &wanted.applied())),
        [
            "withdraw port a 1",
            "withdraw tunnel h2 1",
            "withdraw network red 1",
            "withdraw underlay u 1"
        ]
    );
}

#[test]
fn a_change_is_put_in_place() {
    let mut wanted = one_of_each();
    let mut red = network("red", 1);
    if let Program::Network(red) = &mut red {
        red.aging_s = 10;
    }
    wanted.apply(&put(2, red)).unwrap();
    let steps = plan(&wanted, &one_of_each().applied());
    assert_eq!(lines(&steps), ["put network red 2"]);
}

#[test]
fn an_epoch_above_ours_goes_first() {
    let applied = [(network("red", 1).id(), Epoch(9))];
    let wanted = programs([(1, network("red", 1))]);
    assert_eq!(
        lines(&plan(&wanted, &applied)),
        ["withdraw network red 9", "put network red 1"]
    );
}

#[test]
fn two_ports_that_swap_interfaces_do_so_anew() {
    let red = (1, network("red", 1));
    let mut is = programs([
        red.clone(),
        (1, port("a", 1, "vm-a")),
        (1, port("b", 1, "vm-b")),
    ]);
    let wanted = programs([red, (2, port("a", 1, "vm-b")), (2, port("b", 1, "vm-a"))]);
    let steps = plan(&wanted, &is.applied());
    assert_eq!(take(&mut is, &steps).len(), 2);
    let steps = plan_anew(&wanted, &is.applied());
    assert_eq!(
        lines(&steps),
        [
            "withdraw port b 1",
            "withdraw port a 1",
            "put port a 2",
            "put port b 2"
        ]
    );
    assert_eq!(take(&mut is, &steps), []);
    assert_eq!(is, wanted);
}

#[test]
fn a_network_that_got_another_name_takes_its_port_along() {
    let mut is = programs([(1, network("red", 1)), (1, port("a", 1, "vm-a"))]);
    let wanted = programs([(1, network("crimson", 1)), (1, port("a", 1, "vm-a"))]);
    let steps = plan(&wanted, &is.applied());
    assert_eq!(
        lines(&steps),
        [
            "withdraw port a 1",
            "withdraw network red 1",
            "put network crimson 1",
            "put port a 1"
        ]
    );
    assert_eq!(take(&mut is, &steps), []);
}

#[test]
fn two_networks_swap_their_numbers_under_their_ports() {
    let ports = [(1, port("a", 1, "vm-a")), (1, port("b", 2, "vm-b"))];
    let mut is = programs([(1, network("red", 1)), (1, network("blue", 2))]);
    let mut wanted = programs([(2, network("red", 2)), (2, network("blue", 1))]);
    for (epoch, port) in ports {
        is.apply(&put(epoch, port.clone())).unwrap();
        wanted.apply(&put(epoch, port)).unwrap();
    }
    let steps = plan(&wanted, &is.applied());
    assert!(!take(&mut is, &steps).is_empty());
    let steps = plan_anew(&wanted, &is.applied());
    assert_eq!(take(&mut is, &steps), []);
    assert_eq!(is, wanted);
}

/// Any programs that go together; a program's epoch tells its content, as it must: equal epochs
/// of one id mean one program.
fn any_programs() -> impl Strategy<Value = Programs> {
    let step = (0u8..4, 0u32..3, 0u32..4, 0u8..3).prop_map(|(kind, name, vnet, place)| {
        let text = ["a", "b", "c"][name as usize];
        let on = ["eth0", "eth1", "vm-a"][usize::from(place)];
        let program = match kind {
            0 => underlay(text, [10, 0, 0, place], on),
            1 => network(text, vnet),
            2 => tunnel(text, vnet, [10, 0, 0, place]),
            _ => port(text, vnet, on),
        };
        put(1 + u64::from(vnet * 3 + u32::from(place)), program)
    });
    let steps = proptest::collection::vec(step, 0..40);
    steps.prop_map(|mut steps| {
        steps.sort_by_key(Step::id);
        let mut programs = Programs::new(Limits::default());
        let _ = take(&mut programs, &steps); // what does not go with the others stays out
        programs
    })
}

/// An epoch that is no network's own: of a network the place means nothing.
fn consistent(is: &Programs, wanted: &Programs) -> bool {
    is.iter().all(|(epoch, program)| {
        let other = wanted.get(&program.id());
        other.is_none_or(|(want, other)| want != epoch || other == program)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_plan_for_what_is_there_is_empty(programs in any_programs()) {
        prop_assert_eq!(plan(&programs, &programs.applied()), []);
        prop_assert_eq!(plan_anew(&programs, &programs.applied()), []);
    }

    #[test]
    fn anew_every_step_is_taken(is in any_programs(), wanted in any_programs()) {
        prop_assume!(consistent(&is, &wanted));
        let mut is = is;
        let steps = plan_anew(&wanted, &is.applied());
        prop_assert_eq!(take(&mut is, &steps), []);
        prop_assert_eq!(is, wanted);
    }

    /// Whatever was lost: any part of a plan may have been taken, and any part again.
    #[test]
    fn from_anywhere_and_after_any_loss_it_arrives(
        is in any_programs(),
        wanted in any_programs(),
        lost in proptest::collection::vec(any::<bool>(), 64),
        repeated in proptest::collection::vec(any::<bool>(), 64),
    ) {
        prop_assume!(consistent(&is, &wanted));
        let mut is = is;
        let steps = plan(&wanted, &is.applied());
        for (step, (lost, repeated)) in steps.iter().zip(lost.into_iter().zip(repeated)) {
            for _ in 0..usize::from(!lost) + usize::from(repeated) {
                let _ = is.apply(step); // a refusal is what the next plan is for
            }
        }
        let steps = plan(&wanted, &is.applied());
        if !take(&mut is, &steps).is_empty() {
            let steps = plan_anew(&wanted, &is.applied());
            prop_assert_eq!(take(&mut is, &steps), []);
        }
        prop_assert_eq!(is, wanted);
    }
}
