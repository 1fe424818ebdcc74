//! `cargo xtask`: what people and CI run.
//!
//! - `check` proves the whole: packages, formatting, lints, tidy, every test, benches, fuzzing,
//!   docs. Its last line is `N passed, N failed`. `check --only STEP` is for people. `check --vm`
//!   also boots a stock kernel.
//! - `tidy` proves the house: arrows, sizes, words, licences. See [`tidy`].
//! - `demo` shows Greyhound at work between two hosts of namespaces. See [`demo`].
//! - `needs` fetches what the others need. See [`needs`].
//!
//! Few dependencies, on purpose: this is built first, on a machine that has nothing.

#![forbid(unsafe_code)]

mod check;
mod demo;
mod needs;
mod stream;
mod tidy;

use anyhow::{Context as _, Result};
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo                      Greyhound between two hosts of namespaces, end to end
cargo xtask check                     everything that must hold; ends with `N passed, N failed`
            check --only STEP[,STEP]  some of it
            check --vm                and the GRE of a stock kernel on an emulated machine
            check --json FILE         and a summary for programs
            check --list              the steps
cargo xtask tidy                      the house rules alone
cargo xtask needs                     fetch what demo and check need, and nothing more";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["check", ref options @ ..] => check::run(options),
        ["tidy"] => tidy::run(),
        ["demo"] => demo::run(),
        ["needs"] => needs::for_check().map(|()| true),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(false)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .nth(2)
        .context("xtask lies in testbed/xtask")?;
    Ok(root.to_owned())
}
