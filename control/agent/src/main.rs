//! `greyhound-agent`: keeps one host at what is wanted of it.

use agent::link::UnixLink;
use agent::server::SocketError;
use agent::store::StoreError;
use agent::{Agent, Options, StartError, log};
use anyhow::Context;
use clap::Parser;
use program::Limits;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the datapath may take for one answer.
const LINK: Duration = Duration::from_secs(10);
/// How long a killed agent may take to be gone.
const DYING: Duration = Duration::from_secs(2);
/// How long an `apply` waits for the datapath.
const APPLY: Duration = Duration::from_secs(10);

/// Keeps one host at what is wanted of it: holds the programs, feeds the datapath, follows the
/// kernel's routes.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
The agent may be started before or after the datapath, and either may be restarted at any time:
the programs are kept in the store and sent again. Ask it with `greyhound status`.

Examples:
  greyhound-agent
  greyhound-agent --socket /run/greyhound/h1.sock --datapath /run/greyhound/h1-datapath.sock \\
                  --store /var/lib/greyhound/h1.redb"
)]
struct Arguments {
    /// Where to listen for `greyhound`; for root and the group greyhound
    #[arg(long, value_name = "PATH", default_value = "/run/greyhound/agent.sock")]
    socket: PathBuf,
    /// Where greyhound-datapath listens
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/greyhound/datapath.sock"
    )]
    datapath: PathBuf,
    /// The file the programs are kept in; it is made if it is not there
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/var/lib/greyhound/programs.redb"
    )]
    store: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Starts the agent. One that was just killed may hold its socket and its store a moment longer.
fn start(options: &Options) -> Result<Agent, StartError> {
    let deadline = Instant::now() + DYING;
    loop {
        match Agent::start(options, UnixLink::new(options.datapath.clone(), LINK)) {
            Err(
                StartError::Store(StoreError::InUse(_)) | StartError::Socket(SocketError::Taken(_)),
            ) if Instant::now() < deadline => std::thread::sleep(DYING / 100),
            started => return started,
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals")?;
    for path in [&arguments.socket, &arguments.store] {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
    }
    let options = Options {
        socket: arguments.socket,
        datapath: arguments.datapath,
        store: arguments.store,
        limits: Limits::default(),
        follow: true,
        patience: APPLY,
    };
    let agent = start(&options)?;
    let signal = signals.forever().next();
    log::note(format_args!(
        "signal {}: ending",
        signal.unwrap_or_default()
    ));
    agent.stop();
    Ok(())
}
