//! `greyhound-bench`: what the whole of it moves, beside what anything could move on such wires.
//!
//! One run, on two cores: a generator sends into one end of a veth, a forwarder on core 0 takes
//! the frames to another veth, and an XDP program at the far end of that counts them. The
//! forwarders take turns of half a second each, over and over, so that whatever else the machine
//! does meets all of them; medians are compared, of this run and no other.
//!
//! The forwarders: Greyhound; a bare `AF_XDP` forwarder of our own `io`, which looks at nothing and
//! is the ceiling; Open vSwitch's userspace datapath, by its `AF_XDP` ports and by its usual ones.
//! Each has veths of its own, made by the same commands.

#![forbid(unsafe_code)]

mod end;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures Greyhound end to end, beside a bare AF_XDP forwarder and Open vSwitch.
///
/// Makes network namespaces called gh-…, runs everything in them, and removes them. Wants root and
/// two cores; core 0 forwards, core 1 sends. It ends with 0 if the goals were met, 1 if not, 2 if
/// a forwarder could not be run.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,

    #[command(flatten)]
    options: Options,
}

/// What is measured, and for how long.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Every part runs, for a moment; no goal is asked for.
    #[arg(long)]
    quick: bool,

    /// How long each forwarder has its turn, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.4)]
    seconds: f64,

    /// How many turns each forwarder has in each case; the median counts.
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    runs: usize,

    /// Writes everything that was measured, and on what, to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Only these ways: encap, decap, both.
    #[arg(long, value_name = "WAYS", value_delimiter = ',')]
    ways: Vec<end::Way>,

    /// Inner frames of these sizes only, in bytes.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_values_t = [64, 512, 1400])]
    sizes: Vec<usize>,

    /// Only these forwarders: greyhound, bare, ovs-afxdp, ovs-system.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<end::Kind>,

    /// Where the far ends' receive work is done: threaded (a kernel thread on core 1) or inline
    /// (on the core that sends to them, which is the forwarder's).
    #[arg(long, value_name = "WHERE", default_value = "inline")]
    sink: end::SinkWork,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// The far ends of a forwarder's veths: sends and counts, as the lines of its input say.
    #[command(hide = true)]
    Far(end::far::FarArgs),
    /// The bare forwarder.
    #[command(hide = true)]
    Bare(end::bare::BareArgs),
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match args.part {
        Some(Part::Far(far)) => end::far::run(&far).map(|()| ExitCode::SUCCESS),
        Some(Part::Bare(bare)) => end::bare::run(&bare).map(|()| ExitCode::SUCCESS),
        None => end::run(&args.options),
    }
}
