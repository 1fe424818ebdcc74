//! Any input whatever, and what must hold for it.
//!
//! Three targets, each a function of bytes that panics when what must hold does not: [`packets`]
//! (crate `wire`, beside etherparse), [`documents`] (crate `program`) and [`frames`] (crate
//! `switch`: whole bursts through both ways of `path`). Inputs worth keeping are in `seeds/`, one
//! folder a target; [`seeds`] has their source, and a finding is added there by name.
//!
//! As a test, without libFuzzer, from the root of the repository; it puts a million random frames
//! through `path`, and every seed through its target:
//!
//! ```text
//! cargo test --release --lib --manifest-path testbed/fuzz/Cargo.toml
//! ```
//!
//! With libFuzzer, guided by coverage, on stable Rust. It takes a C++ compiler (Debian: `g++`), and
//! the flags that cargo-fuzz would set, less the sanitizers, which need nightly. `--target` keeps
//! them away from build scripts.
//!
//! ```text
//! RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
//!     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
//!     -Cllvm-args=-sanitizer-coverage-pc-table
//!     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1' \
//! cargo build --release --bins --target x86_64-unknown-linux-gnu \
//!     --manifest-path testbed/fuzz/Cargo.toml
//! ```
//!
//! ([`FLAGS`] in one line.) Then, for each `T` of `wire`, `program` and `path`, 20 seconds:
//!
//! ```text
//! mkdir -p testbed/fuzz/target/corpus/T testbed/fuzz/target/findings
//! testbed/fuzz/target/x86_64-unknown-linux-gnu/release/T \
//!     -max_total_time=20 -timeout=5 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
//!     -artifact_prefix=testbed/fuzz/target/findings/ \
//!     testbed/fuzz/target/corpus/T testbed/fuzz/seeds/T
//! ```
//!
//! It exits with 0 if all held. If not, it says where the input is that broke it; the binary with
//! that file as its only argument does so again. `stat::number_of_executed_units:` on standard
//! error says how many inputs there were.

pub mod documents;
pub mod frames;
mod made;
pub mod packets;
pub mod seeds;

/// What `RUSTFLAGS` must be for the binaries, in one line.
pub const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
