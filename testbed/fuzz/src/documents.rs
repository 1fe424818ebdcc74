//! Any text as programs, or as a message of the link: taken whole, or refused and nothing changed.

use program::link::{Answer, Request};
use program::{Epoch, Programs, Step};

/// Reads `bytes` as a document of programs, puts those in force, and takes them out again; reads
/// them as messages of the link.
pub fn check(bytes: &[u8]) {
    if let Ok(read) = program::read(bytes) {
        let steps: Vec<_> = read
            .into_iter()
            .map(|(epoch, program)| (epoch.unwrap_or(Epoch(1)), program))
            .collect();
        let written = program::write(&steps);
        let again = program::read(written.as_bytes()).expect("we wrote it");
        let again: Vec<_> = again
            .into_iter()
            .map(|(epoch, program)| (epoch.expect("it was written"), program))
            .collect();
        assert_eq!(again, steps, "written as {written}");
        apply(
            steps
                .into_iter()
                .map(|(epoch, program)| Step::Put { epoch, program }),
        );
    }
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        let written = serde_json::to_string(&request).expect("it came as JSON");
        assert_eq!(
            serde_json::from_str::<Request>(&written).ok(),
            Some(request.clone())
        );
        if let Request::Apply { steps } = request {
            apply(steps.into_iter());
        }
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(bytes) {
        let written = serde_json::to_string(&answer).expect("it came as JSON");
        assert_eq!(serde_json::from_str::<Answer>(&written).ok(), Some(answer));
    }
}

/// Takes `steps` one after the other: a refused one changes nothing, a repeated one neither.
fn apply(steps: impl Iterator<Item = Step>) {
    let mut programs = Programs::default();
    for step in steps {
        let before = programs.clone();
        let checked = programs.check(&step);
        assert_eq!(programs.apply(&step), checked);
        if checked.is_err() {
            assert_eq!(programs, before, "a refused step has changed something");
        } else if let Step::Put { epoch, program } = &step {
            assert_eq!(programs.get(&step.id()), Some((*epoch, program)));
            let after = programs.clone();
            assert_eq!(programs.apply(&step), Ok(()), "a repeated step was refused");
            assert_eq!(programs, after, "a repeated step has changed something");
        } else {
            assert_eq!(programs.get(&step.id()), None);
        }
        for (_, program) in programs.tunnels() {
            assert!(
                programs
                    .networks()
                    .any(|(_, network)| network.vnet == program.vnet)
            );
        }
        for (_, program) in programs.ports() {
            assert!(
                programs
                    .networks()
                    .any(|(_, network)| network.vnet == program.vnet)
            );
        }
    }
    withdraw_all(programs);
}

/// Whatever is in force can be put elsewhere in order, and withdrawn in the other.
fn withdraw_all(mut programs: Programs) {
    let mut elsewhere = Programs::default();
    for (epoch, program) in programs.iter() {
        let program = program.clone();
        let put = elsewhere.apply(&Step::Put { epoch, program });
        assert_eq!(put, Ok(()), "the order of kinds is not one to put in");
    }
    assert_eq!(elsewhere, programs);
    for (id, epoch) in programs.applied().into_iter().rev() {
        assert_eq!(programs.apply(&Step::Withdraw { epoch, id }), Ok(()));
    }
    assert_eq!(programs, Programs::default());
}
