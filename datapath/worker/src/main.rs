//! `greyhound-datapath`: the workers and their supervisor, as one process.
//!
//! It starts empty. The agent connects to its socket and fills it; when it is restarted, the agent
//! fills it again. When it dies, for whatever reason, the kernel has its interfaces back at once.

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use core::sync::atomic::AtomicBool;
use core::time::Duration;
use frame::{CHUNK, FramePool, JUMBO};
use io::{BusyPoll, Memory, Preference};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use switch::{Counters, Limits, WorkerId};
use worker::kernel::Kernel;
use worker::server::Server;
use worker::supervisor::Post;
use worker::thread::{Bed, Bell, Clock, Pace, start};
use worker::{Gauges, Parts, Supervisor, Worker, hand_offs, mail_ends};

/// Greyhound's datapath: forwards between guests and GRE tunnels by AF_XDP, on pinned cores.
///
/// It starts with nothing in force and waits for the agent (`greyhound-agent`) at its socket.
/// It takes a guest's interface whole, and of the underlay's only GRE to this host's endpoint;
/// when it ends or is killed, the kernel has both back at once.
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "\
Examples:
  greyhound-datapath --cores 2                  one worker, on core 2
  greyhound-datapath --cores 2,3 --idle-after never
                                                two workers that never sleep
  greyhound-datapath --mode copy                no zero-copy, whatever the driver offers
  greyhound-datapath --jumbo 256                interfaces with an MTU of up to 9,962"
)]
struct Args {
    /// Where the agent reaches it: a unix socket, for its owner only.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/greyhound/datapath.sock"
    )]
    socket: PathBuf,

    /// The core of each worker, such as `2,3`; one worker a core. Without it there is one worker,
    /// on the last core.
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    cores: Vec<usize>,

    /// How long a worker goes on polling after its last packet before it sleeps, such as `500us`,
    /// `1ms`, `2s`, or `never`.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = idle_after)]
    idle_after: IdleAfter,

    /// Frame buffers of each worker, of 2,048 bytes.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().frames)]
    frames: usize,

    /// Jumbo buffers of each worker, of 10,240 bytes: 256 of them are 2.5 MiB. An interface with
    /// an MTU above 1,770 is refused without them, and wants Linux 6.6 with them. A frame in one
    /// is copied once where it comes in and once where it goes out; shorter frames never are.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    jumbo: usize,

    /// Stations each worker can remember.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().stations)]
    stations: usize,

    /// How frames cross between the kernel and us: auto, zero-copy, copy or generic. `auto` takes
    /// the best there is and says what it got (`greyhound show ports`).
    #[arg(long, value_name = "MODE", default_value = "auto")]
    mode: Preference,

    /// Has the driver's receive work done in our own calls (preferred busy polling). Wants
    /// `napi_defer_hard_irqs` and `gro_flush_timeout` set on the interface.
    #[arg(long)]
    busy_poll: bool,
}

/// When a worker sleeps; none is never.
#[derive(Clone, Copy, Debug)]
struct IdleAfter(Option<Duration>);

/// Reads a time such as `500us`, or `never`.
fn idle_after(text: &str) -> Result<IdleAfter, String> {
    if text == "never" {
        return Ok(IdleAfter(None));
    }
    let wrong = || format!("{text:?} is not a time: write it as 500us, 1ms, 2s, or never");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let time = match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(wrong()),
    };
    Ok(IdleAfter(Some(time)))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greyhound-datapath: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let limits = Limits {
        frames: args.frames,
        jumbo: args.jumbo,
        stations: args.stations,
        ..Limits::default()
    };
    ensure!(
        limits.frames >= 1024,
        "--frames {}: at least 1024 are needed",
        limits.frames
    );
    let cores = cores(&args.cores)?;
    io::raise_descriptor_limit().context("cannot raise the limit of open descriptors")?;
    let server = Server::listen(&args.socket)
        .with_context(|| format!("cannot listen at {}", args.socket.display()))?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone()).context("cannot catch signals")?;
    }
    let kernel = Kernel {
        preference: args.mode,
        busy_poll: args.busy_poll.then(BusyPoll::default),
        jumbo: args.jumbo > 0,
        workers: u16::try_from(cores.len()).unwrap_or(u16::MAX),
    };
    let clock = Clock::start();
    let (posts, threads, bells) = workers(&limits, &cores, args.idle_after.0, &stop)?;
    let mut supervisor = Supervisor::new(limits, posts, Box::new(kernel), instance());
    eprintln!(
        "greyhound-datapath: {} worker(s) on core(s) {cores:?}, {} MiB each, listening at {}",
        cores.len(),
        limits.bytes() >> 20,
        args.socket.display(),
    );

    let outcome = server.serve(&mut supervisor, &clock, &mut || meanwhile(&bells), &stop);
    // The steering programs go first, while their sockets are still there.
    drop(supervisor);
    outcome.context("the kernel has the interfaces back")?;
    stop.store(true, core::sync::atomic::Ordering::Relaxed);
    let mut retired = Vec::new();
    for thread in threads {
        meanwhile(&bells);
        let Ok(worker) = thread.join() else {
            bail!("a worker has panicked; its last words are above");
        };
        retired.push(worker);
    }
    worker::retire(retired);
    eprintln!("greyhound-datapath: stopped");
    Ok(())
}

/// Lets the workers read their mail.
fn meanwhile(bells: &[Bell]) {
    bells.iter().for_each(Bell::ring);
    std::thread::sleep(Duration::from_micros(20));
}

/// The cores to run on: those asked for, each once, or the last there is.
fn cores(asked: &[usize]) -> anyhow::Result<Vec<usize>> {
    let there = core_affinity::get_core_ids().unwrap_or_default();
    let there: Vec<usize> = there.into_iter().map(|core| core.id).collect();
    for (at, core) in asked.iter().enumerate() {
        ensure!(
            there.contains(core),
            "--cores: there is no core {core}; there are {there:?}"
        );
        ensure!(
            !asked[..at].contains(core),
            "--cores: core {core} is named twice"
        );
    }
    match (asked, there.last()) {
        ([], Some(last)) => Ok(vec![*last]),
        ([], None) => bail!("the kernel does not say which cores there are; name one by --cores"),
        _ => Ok(asked.to_vec()),
    }
}

type Started = (Vec<Post>, Vec<std::thread::JoinHandle<Worker>>, Vec<Bell>);

/// Makes the workers and starts their threads.
fn workers(
    limits: &Limits,
    cores: &[usize],
    idle_after: Option<Duration>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Started> {
    let count = u16::try_from(cores.len()).context("too many cores")?;
    let mut posts = Vec::new();
    let mut ready = Vec::new();
    for (number, (hand_offs, core)) in hand_offs(count).into_iter().zip(cores).enumerate() {
        let pool = pool(limits.frames, limits.jumbo)?;
        let (base, bytes) = pool.memory();
        let ends = mail_ends();
        let counters = Arc::new(Counters::new(limits));
        let gauges = Arc::new(Gauges::default());
        posts.push(Post {
            mail: ends.supervisor,
            gauges: gauges.clone(),
            counters: counters.clone(),
            memory: (base.as_ptr().expose_provenance(), bytes),
            core: Some(*core),
        });
        let bed = Bed::new(gauges.clone()).context("cannot make an event queue")?;
        let id = WorkerId(u16::try_from(number)?);
        let parts = Parts {
            id,
            workers: count,
            limits: *limits,
            pool,
            seed: instance(),
            mail: ends.worker,
            hand_offs,
            counters,
            gauges,
        };
        let pace = Pace {
            core: Some(*core),
            idle_after,
        };
        ready.push((Worker::new(parts), bed, pace));
    }
    let bells: Vec<Bell> = ready.iter().map(|(_, bed, _)| bed.bell()).collect();
    let threads = ready
        .into_iter()
        .map(|(worker, bed, pace)| start(worker, bed, bells.clone(), pace, stop.clone()));
    let threads = threads
        .collect::<Result<_, _>>()
        .context("cannot start a worker")?;
    Ok((posts, threads, bells))
}

/// A pool of so many chunks, and so many jumbo buffers.
fn pool(chunks: usize, jumbo: usize) -> anyhow::Result<FramePool> {
    let (region, _) = Memory::map(chunks, true)?;
    let pool = FramePool::new(region);
    if jumbo == 0 {
        return Ok(pool);
    }
    let long = jumbo.checked_mul(JUMBO / CHUNK);
    let long = long.with_context(|| format!("--jumbo {jumbo}: so many there cannot be"))?;
    Ok(pool.with_jumbo(Memory::map(long, true)?.0))
}

/// A number that differs at every call and every start, and that nobody can guess.
fn instance() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
