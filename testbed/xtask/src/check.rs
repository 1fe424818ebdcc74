//! Everything that must hold, step by step, and the sum of it.
//!
//! A step that fails does not stop the next: one run says all there is to mend. What is no test
//! (formatting, lints, docs) counts as one.

mod fuzz;
mod vm;

use crate::stream::stream;
use crate::{needs, root, tidy};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long one step may take; from a cold start, building is part of it.
const LIMIT: Duration = Duration::from_mins(25);

/// Tests that passed and tests that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn one(good: bool) -> Self {
        Self {
            passed: u64::from(good),
            failed: u64::from(!good),
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// One step: its name, what it proves, and how.
struct Step {
    name: &'static str,
    proves: &'static str,
    run: fn() -> Result<Tally>,
}

const STEPS: [Step; 10] = [
    Step {
        name: "needs",
        proves: "what is needed is there",
        run: needs_step,
    },
    Step {
        name: "fmt",
        proves: "the code is formatted",
        run: fmt,
    },
    Step {
        name: "lint",
        proves: "no lint has a word to say",
        run: lint,
    },
    Step {
        name: "tidy",
        proves: "the house is as house rules say",
        run: tidy_step,
    },
    Step {
        name: "build",
        proves: "the programs build as they are shipped",
        run: build,
    },
    Step {
        name: "test",
        proves: "units, properties, stories, simulation; every bench once",
        run: test,
    },
    Step {
        name: "netns",
        proves: "real kernels, real peers",
        run: netns,
    },
    Step {
        name: "fuzz",
        proves: "a minute of any input whatever",
        run: fuzz,
    },
    Step {
        name: "docs",
        proves: "the docs build, and their links hold",
        run: docs,
    },
    Step {
        name: VM,
        proves: "a stock kernel on an emulated machine; only with --vm",
        run: vm::run,
    },
];

/// The step that is left out unless it is asked for: it has a machine to fetch.
const VM: &str = "vm";

/// Runs the steps that `options` ask for; whether all is well.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let (mut only, mut summary, mut with_machine) = (Vec::new(), None, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--list" => {
                for step in &STEPS {
                    println!("{:<6} {}", step.name, step.proves);
                }
                return Ok(true);
            }
            "--only" => only.extend(options.next().context("--only which step?")?.split(',')),
            "--vm" => with_machine = true,
            "--json" => summary = Some(*options.next().context("--json which file?")?),
            other => bail!("check does not know {other}"),
        }
    }
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        bail!("there is no step {unknown}; see check --list");
    }
    std::env::set_current_dir(root()?)?;
    let chosen = STEPS
        .iter()
        .filter(|step| is_chosen(step, &only, with_machine));
    let chosen: Vec<&Step> = chosen.collect();
    let results = run_steps(&chosen);
    if let Some(file) = summary {
        fs::write(file, format!("{:#}\n", as_json(&results)))?;
    }
    Ok(report(&results))
}

/// Whether a step is run: every one of `only`; if nothing is said, all, but the machine only
/// `with_machine`.
fn is_chosen(step: &Step, only: &[&str], with_machine: bool) -> bool {
    let asked = with_machine && step.name == VM;
    asked || only.contains(&step.name) || (only.is_empty() && step.name != VM)
}

/// What became of one step.
struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

fn run_steps(steps: &[&Step]) -> Vec<Outcome> {
    let mut results = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        println!(
            "\n== {}/{} {}: {}",
            number + 1,
            steps.len(),
            step.name,
            step.proves
        );
        let began = Instant::now();
        let tally = (step.run)().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::one(false)
        });
        let took = began.elapsed();
        let Tally { passed, failed } = tally;
        println!(
            "== {}: {passed} passed, {failed} failed, {:.1} s",
            step.name,
            took.as_secs_f64()
        );
        results.push(Outcome {
            name: step.name,
            tally,
            took,
        });
    }
    results
}

fn report(results: &[Outcome]) -> bool {
    println!(
        "\n{:<8}{:>8}{:>8}{:>10}",
        "step", "passed", "failed", "seconds"
    );
    let mut sum = Tally::default();
    for Outcome { name, tally, took } in results {
        let seconds = took.as_secs_f64();
        println!(
            "{name:<8}{:>8}{:>8}{seconds:>10.1}",
            tally.passed, tally.failed
        );
        sum.add(*tally);
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    sum.failed == 0 && sum.passed > 0
}

fn as_json(results: &[Outcome]) -> Value {
    let step = |result: &Outcome| {
        let Tally { passed, failed } = result.tally;
        let seconds = result.took.as_secs_f64();
        (
            result.name,
            json!({"passed": passed, "failed": failed, "seconds": seconds}),
        )
    };
    json!(results.iter().map(step).collect::<BTreeMap<_, _>>())
}

fn needs_step() -> Result<Tally> {
    needs::for_check().map(|()| Tally::one(true))
}

fn tidy_step() -> Result<Tally> {
    tidy::run().map(Tally::one)
}

fn fmt() -> Result<Tally> {
    let mut tally = counted("fmt --all --check", &[])?;
    let own = format!("fmt --manifest-path {} --check", fuzz::MANIFEST);
    tally.add(counted(&own, &[])?);
    Ok(tally)
}

fn lint() -> Result<Tally> {
    let workspace = "clippy --workspace --all-targets --quiet -- -D warnings";
    let mut tally = counted(workspace, &[])?;
    let own = format!(
        "clippy --all-targets --quiet {} -- -D warnings",
        fuzz::own()
    );
    tally.add(counted(&own, &[])?);
    Ok(tally)
}

/// As they are shipped: what is measured and what is killed in tests is the real thing.
fn build() -> Result<Tally> {
    counted(
        "build --release --bins -p worker -p agent -p cli -p netns",
        &[],
    )
}

fn test() -> Result<Tally> {
    counted("test --workspace --exclude netns --no-fail-fast", &[])
}

/// One at a time: they share the machine's two cores with what they measure.
fn netns() -> Result<Tally> {
    let release = netns::target_dir().join("release").display().to_string();
    counted(
        "test -p netns --no-fail-fast -- --test-threads=1",
        &[("GREYHOUND_BIN", &release)],
    )
}

fn fuzz() -> Result<Tally> {
    fuzz::run()
}

fn docs() -> Result<Tally> {
    let flags = [("RUSTDOCFLAGS", "-D warnings")];
    counted("doc --workspace --no-deps --keep-going --quiet", &flags)
}

/// Runs cargo with the words of `line`. If it ran tests, they are what is counted; else the
/// command itself is one.
fn counted(line: &str, variables: &[(&str, &str)]) -> Result<Tally> {
    let mut command = Command::new("cargo");
    command
        .args(line.split(' '))
        .envs(variables.iter().copied());
    counted_from(&mut command)
}

/// As [`counted`], of any program that sums as cargo's tests do.
fn counted_from(command: &mut Command) -> Result<Tally> {
    let mut sums = Sums::default();
    let ended = stream(command, LIMIT, |line| {
        if let Some(line) = sums.read(line) {
            println!("{line}");
        }
    })?;
    if ended.late {
        println!("stopped: not done after {LIMIT:?}");
    }
    Ok(sums.tally(ended.status.success() && !ended.late))
}

/// Reads what cargo's tests print, and leaves out the lines nobody reads.
#[derive(Debug, Default)]
struct Sums {
    tally: Tally,
    ran_tests: bool,
}

impl Sums {
    /// Notes a line; returns it if it is worth showing.
    fn read<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let count = |word: &str| -> u64 {
                let part = rest
                    .split([';', '.'])
                    .find_map(|part| part.trim().strip_suffix(word));
                part.and_then(|number| number.trim().parse().ok())
                    .unwrap_or(0)
            };
            let counted = Tally {
                passed: count("passed"),
                failed: count("failed"),
            };
            self.tally.add(counted);
            self.ran_tests = true;
            return (counted != Tally::default()).then_some(line);
        }
        // A bench that is run once, small, says so in this form and gives no sum.
        if let Some(bench) = line.strip_prefix("Testing ") {
            self.ran_tests = true;
            self.tally.passed += u64::from(!bench.is_empty());
            return None;
        }
        let passed = line.starts_with("test ") && line.ends_with(" ... ok");
        let said_again = line.starts_with("running ") || line.is_empty() || line == "Success";
        (!passed && !said_again).then_some(line)
    }

    /// The sum, given whether the command went well: one that fails without a failed test was
    /// not built, or was stopped.
    fn tally(&self, good: bool) -> Tally {
        let mut tally = if self.ran_tests {
            self.tally
        } else {
            Tally::one(good)
        };
        if !good && tally.failed == 0 {
            tally.failed = 1;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(lines: &[&str]) -> Sums {
        let mut sums = Sums::default();
        for line in lines {
            sums.read(line);
        }
        sums
    }

    #[test]
    fn tests_of_all_binaries_are_summed() {
        let sums = sums(&[
            "running 2 tests",
            "test a ... ok",
            "test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.16s",
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ]);
        assert_eq!(
            sums.tally(false),
            Tally {
                passed: 18,
                failed: 2
            }
        );
    }

    #[test]
    fn what_is_no_test_counts_as_one() {
        assert_eq!(
            sums(&[]).tally(true),
            Tally {
                passed: 1,
                failed: 0
            }
        );
        assert_eq!(
            sums(&["error: no"]).tally(false),
            Tally {
                passed: 0,
                failed: 1
            }
        );
    }

    #[test]
    fn a_test_binary_that_dies_without_a_sum_is_a_failure() {
        let died = sums(&["test result: ok. 3 passed; 0 failed; 0 ignored"]);
        assert_eq!(
            died.tally(false),
            Tally {
                passed: 3,
                failed: 1
            }
        );
    }

    #[test]
    fn benches_run_once_are_counted() {
        let sums = sums(&["Testing fdb/lookup/hit/1024", "Success", ""]);
        assert_eq!(
            sums.tally(true),
            Tally {
                passed: 1,
                failed: 0
            }
        );
    }

    #[test]
    fn failures_are_shown_and_successes_are_not() {
        let mut sums = Sums::default();
        assert_eq!(sums.read("test a ... ok"), None);
        assert_eq!(
            sums.read("test result: ok. 0 passed; 0 failed; 0 ignored"),
            None
        );
        assert_eq!(sums.read("test a ... FAILED"), Some("test a ... FAILED"));
    }

    #[test]
    fn the_machine_is_booted_only_where_it_is_asked_for() {
        let chosen = |only: &[&str], with_machine| -> Vec<&str> {
            let steps = STEPS
                .iter()
                .filter(|step| is_chosen(step, only, with_machine));
            steps.map(|step| step.name).collect()
        };
        assert_eq!(chosen(&[], true).len(), STEPS.len());
        assert_eq!(chosen(&[], false).len(), STEPS.len() - 1);
        assert!(!chosen(&[], false).contains(&VM));
        assert_eq!(chosen(&[VM], false), [VM]);
        assert_eq!(chosen(&["fmt"], true), ["fmt", VM]);
    }

    #[test]
    fn no_two_steps_have_one_name() {
        let names: std::collections::BTreeSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }
}
