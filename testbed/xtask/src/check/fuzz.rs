//! A minute of any input whatever: `testbed/fuzz`, as its `lib.rs` says it is to be run.
//!
//! A workspace of its own, with its own target folder: its binaries are built with flags that
//! nothing else may have.

use super::{Tally, counted};
use crate::stream::stream;
use anyhow::{Context as _, Result};
use netns::run_bounded;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the targets are.
pub(super) const MANIFEST: &str = "testbed/fuzz/Cargo.toml";

const TARGET: &str = "testbed/fuzz/target";

/// `fuzz::FLAGS`: coverage for libFuzzer on stable Rust.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

const TARGETS: [&str; 3] = ["wire", "program", "path"];

/// How long each target is fed, in seconds.
const SECONDS: u32 = 20;

/// What cargo is told to work on it.
pub(super) fn own() -> String {
    format!("--manifest-path {MANIFEST} --target-dir {TARGET}")
}

/// The million random frames and the seeds as a test, then each target by libFuzzer.
pub(super) fn run() -> Result<Tally> {
    let mut tally = counted(&format!("test --release --lib {}", own()), &[])?;
    let host = host()?;
    let build = format!("build --release --bins --target {host} {}", own());
    tally.add(counted(&build, &[("RUSTFLAGS", FLAGS)])?);
    for target in TARGETS {
        tally.add(Tally::one(feed(target, &host)?));
    }
    Ok(tally)
}

/// Feeds one target; whether all held.
fn feed(target: &str, host: &str) -> Result<bool> {
    let corpus = format!("{TARGET}/corpus/{target}");
    let findings = format!("{TARGET}/findings/");
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let log = Path::new(TARGET).join(format!("{target}.log"));
    let mut fuzzer = Command::new(format!("{TARGET}/{host}/release/{target}"));
    fuzzer.args([
        "-timeout=5",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-print_final_stats=1",
    ]);
    fuzzer.arg(format!("-max_total_time={SECONDS}"));
    fuzzer.arg(format!("-artifact_prefix={findings}"));
    fuzzer.args([corpus, format!("testbed/fuzz/seeds/{target}")]);
    fuzzer.stderr(File::create(&log)?);
    let limit = Duration::from_secs(u64::from(SECONDS) + 60);
    let ended = stream(&mut fuzzer, limit, |line| println!("{line}"))?;
    let good = ended.status.success() && !ended.late;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let inputs = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    if good {
        println!(
            "{target}: {} inputs in {SECONDS} s, all held",
            inputs.unwrap_or("?").trim()
        );
    } else {
        let from = said.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
        println!(
            "{target}: something did not hold, or it was late:\n{}",
            &said[from..]
        );
    }
    Ok(good)
}

fn host() -> Result<String> {
    let said = run_bounded(Command::new("rustc").arg("-vV"), Duration::from_secs(30))?.stdout;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
