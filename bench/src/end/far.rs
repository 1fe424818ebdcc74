//! The far ends of a forwarder's veths: one process that sends and counts.
//!
//! It is started inside their namespace. A line of its input is one [`Order`]; one line of its
//! output is what came of it.

use crate::end::{SinkWork, Way};
use anyhow::{Context as _, Result, ensure};
use bench::load::{OUTER, experiment, tunnelled_between};
use io::Facts;
use io::generator::{Generator, Sink};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The far end of the guest's port.
pub(crate) const GUEST: &str = "eth0";
/// The far end of the underlay.
pub(crate) const UNDER: &str = netns::Host::UNDERLAY;
/// The core that sends.
pub(crate) const CORE: usize = 1;

/// Frames sent in one call, when it is not paced.
const GULP: u32 = 1024;
/// Frames sent in one call, when it is: no more than what a packet socket of the usual size takes
/// at once, in pages of their own.
const SIP: u32 = 32;
/// How long frames may be under way after the last was sent.
const SETTLE: Duration = Duration::from_millis(40);

/// How it is started.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct FarArgs {
    /// The address of the forwarder's underlay interface.
    #[arg(long)]
    mac: String,
    /// The forwarder's underlay IP address.
    #[arg(long)]
    to: Ipv4Addr,
    /// Our underlay IP address.
    #[arg(long)]
    from: Ipv4Addr,
    /// Where the sinks' work is done.
    #[arg(long)]
    sink: SinkWork,
}

impl FarArgs {
    /// As the command line it is read from.
    pub(crate) fn words(mac: &str, to: Ipv4Addr, from: Ipv4Addr, sink: SinkWork) -> Vec<String> {
        let words = [
            "far",
            "--mac",
            mac,
            "--to",
            &to.to_string(),
            "--from",
            &from.to_string(),
        ];
        let sink = ["--sink".to_owned(), sink.to_string()];
        words.map(str::to_owned).into_iter().chain(sink).collect()
    }
}

/// What is to be sent, and what is to arrive.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Which way.
    pub(crate) way: Way,
    /// Length of the inner frame, in bytes.
    pub(crate) length: usize,
    /// For how long.
    pub(crate) seconds: f64,
    /// Frames a second each way; 0 is as fast as it goes.
    pub(crate) rate: u64,
    /// Whether frames arrive as they were sent: the forwarder is bare.
    pub(crate) bare: bool,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Frames sent, all ways together.
    pub(crate) sent: u64,
    /// Of them, those that arrived in their due length.
    pub(crate) arrived: u64,
    /// Arrivals a second, the beginning left out.
    pub(crate) per_second: f64,
}

/// One way: what is sent by whom, and who counts what.
struct Flow<'a> {
    /// The number of the interface it leaves by.
    by: u32,
    frame: Vec<u8>,
    sink: &'a Sink,
    length: usize,
}

/// Does what it is told until its input ends.
pub(crate) fn run(args: &FarArgs) -> Result<()> {
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: CORE });
    ensure!(pinned, "this process may not run on core {CORE}");
    let mac = mac_of(&args.mac)?;
    let ours = mac_of(fs::read_to_string(format!("/sys/class/net/{UNDER}/address"))?.trim())?;
    let [guest_sink, under_sink] = [GUEST, UNDER].map(|name| attach(name, args.sink));
    let (guest_sink, under_sink) = (guest_sink?, under_sink?);
    let generator = Generator::new().context("a generator")?;
    let (guest, under) = (Facts::of(GUEST)?.index, Facts::of(UNDER)?.index);
    say(&"ready")?;

    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let tunnelled = |inner: &[u8]| tunnelled_between(inner, (ours, args.from), (mac, args.to));
        let added = if order.bare { 0 } else { OUTER };
        let encap = || Flow {
            by: guest,
            frame: experiment(order.length, true),
            sink: &under_sink,
            length: order.length + added,
        };
        let decap = || Flow {
            by: under,
            frame: tunnelled(&experiment(order.length, false)),
            sink: &guest_sink,
            length: order.length + OUTER - added,
        };
        let flows = match order.way {
            Way::Encap => vec![encap()],
            Way::Decap => vec![decap()],
            Way::Both => vec![encap(), decap()],
        };
        say(&obey(&order, &generator, &flows)?)?;
    }
    Ok(())
}

fn obey(order: &Order, generator: &Generator, flows: &[Flow<'_>]) -> Result<Seen> {
    let arrived = || -> Result<u64> {
        let counts = flows.iter().map(|flow| flow.sink.count(flow.length));
        Ok(counts.sum::<std::io::Result<u64>>()?)
    };
    let before = arrived()?;
    let began = Instant::now();
    let lasts = Duration::from_secs_f64(order.seconds);
    let mut sent = 0;
    let mut warm = (began, before);
    loop {
        let elapsed = began.elapsed();
        if elapsed >= lasts {
            break;
        }
        if warm.0 == began && elapsed * 5 >= lasts {
            warm = (Instant::now(), arrived()?);
        }
        let each = sent / flows.len() as u64;
        if order.rate > 0 && each > due(elapsed, order.rate) {
            std::hint::spin_loop();
            continue;
        }
        let count = if order.rate > 0 { SIP } else { GULP };
        for flow in flows {
            generator.send(flow.by, &flow.frame, count)?;
            sent += u64::from(count);
        }
    }
    let end = (Instant::now(), arrived()?);
    thread::sleep(SETTLE);
    #[allow(clippy::cast_precision_loss)] // counts of a second or so
    Ok(Seen {
        sent,
        arrived: arrived()? - before,
        per_second: (end.1 - warm.1) as f64 / (end.0 - warm.0).as_secs_f64(),
    })
}

/// How many frames should have been sent after `elapsed`.
fn due(elapsed: Duration, rate: u64) -> u64 {
    let due = elapsed.as_micros() * u128::from(rate) / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// Attaches a sink; with its receive work in a kernel thread on our core, if that is wished for.
fn attach(interface: &str, work: SinkWork) -> Result<Sink> {
    let sink = Sink::attach(interface).with_context(|| format!("counting at {interface}"))?;
    if work == SinkWork::Threaded {
        // Only now is there receive work to be put into a thread.
        let before = pollers(interface);
        let switch = format!("/sys/class/net/{interface}/threaded");
        fs::write(&switch, "1").with_context(|| switch)?;
        let fresh: BTreeSet<String> = pollers(interface).difference(&before).cloned().collect();
        ensure!(
            !fresh.is_empty(),
            "{interface} has no thread for its receive work"
        );
        for pid in fresh {
            let pinned = Command::new("taskset")
                .args(["-pc", &CORE.to_string(), &pid])
                .output()?;
            ensure!(pinned.status.success(), "taskset: {pinned:?}");
        }
    }
    Ok(sink)
}

/// The kernel threads that do the receive work of interfaces of this name, in any namespace.
fn pollers(interface: &str) -> BTreeSet<String> {
    let wanted = format!("napi/{interface}-");
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = all.filter(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        name.starts_with(&wanted)
    });
    named
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn mac_of(text: &str) -> Result<[u8; 6]> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|pair| u8::from_str_radix(pair, 16))
        .collect::<Result<_, _>>()?;
    let mac = bytes.try_into().ok();
    mac.with_context(|| format!("{text:?} is no MAC address"))
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    writeln!(out)?;
    out.flush().context("nobody reads")
}
