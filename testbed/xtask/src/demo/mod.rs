//! Greyhound at work: two hosts, four guests, two networks that overlap in every address.
//!
//! What is shown is measured here and now: by `ping` and `iperf3` in the guests, and for small
//! frames by the receiving guest's own interface counter. What is promised (two networks that
//! never meet, every ping answered) is checked, and the demo fails if it does not hold.
//!
//! Reading order: [`run`], then [`stage`] (what is laid out), [`live`] (the progress line).

mod live;
mod stage;
mod table;

use crate::stream::{leave_signals, stream};
use crate::{needs, root};
use anyhow::{Context as _, Result, ensure};
use live::watching;
use netns::measure::{Iperf, Ping, iperf3, ping};
use netns::{Flood, Guest, target_dir, use_binaries};
use stage::{Network, Stage};
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use table::Row;

const BUILD: Duration = Duration::from_mins(20);
const PINGS: u32 = 20;
const GAP: Duration = Duration::from_millis(20);

/// How long TCP runs each way, and how long small frames are sent, in seconds.
const TCP_S: u32 = 5;
const FLOOD_S: u32 = 5;

/// Frames a second at which loss is measured: well below what any machine carries.
const EASY_PACE: u32 = 10_000;

/// An address that only the second network has.
const ONLY_BLUE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

/// Runs the demo; it is true or an error.
pub(crate) fn run() -> Result<bool> {
    let began = Instant::now();
    title("packages");
    needs::for_demo()?;
    title("building as it is shipped");
    build()?;
    leave_signals();
    let built = Instant::now();

    title("two hosts, four guests, two networks with the same addresses and MACs");
    let mut stage = Stage::build()?;
    act(&stage).map_err(|error| stage.explain(error))?;
    let cleaning = Instant::now();
    stage.close()?;
    println!(
        "\nAll removed again in {:.1} s. {:.0} s in all, {:.0} s of them after the build.",
        cleaning.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64(),
        built.elapsed().as_secs_f64(),
    );
    println!("To look deeper: cargo run -p netns --bin gh-lab, and README.md, \"By hand\".");
    Ok(true)
}

/// All that is shown, from the first program to the table.
fn act(stage: &Stage) -> Result<()> {
    title("starting Greyhound on both hosts and applying its programs");
    stage.start_networks()?;
    let mut rows = Vec::new();
    for network in &stage.networks {
        rows.push(Row::new(network));
    }

    title("ping across the tunnel, in both networks");
    for (network, row) in stage.networks.iter().zip(&mut rows) {
        row.ping = Some(ping_all(network)?);
    }
    title("no network sees the other");
    isolation(stage)?;
    title("TCP across the tunnel, each way");
    for (network, row) in stage.networks.iter().zip(&mut rows) {
        row.out = Some(tcp(stage, network, &network.a, &network.b)?);
        row.back = Some(tcp(stage, network, &network.b, &network.a)?);
    }
    title("60-byte frames across the tunnel, as many as one sender makes");
    for (network, row) in stage.networks.iter().zip(&mut rows) {
        row.flood = Some(flood(stage, network, None)?);
    }
    title("and at an easy pace, to see whether any is lost");
    for (network, row) in stage.networks.iter().zip(&mut rows) {
        row.easy = Some(flood(stage, network, Some(EASY_PACE))?);
    }

    title("what was seen");
    table::print(&rows, stage)
}

fn title(text: &str) {
    println!("\n-- {text}");
}

fn build() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root()?)
        .args(["build", "--release", "--bins"]);
    cargo.args(["-p", "worker", "-p", "agent", "-p", "cli", "-p", "netns"]);
    let ended = stream(&mut cargo, BUILD, |line| println!("{line}"))?;
    ensure!(ended.status.success() && !ended.late, "the build failed");
    // What was just built, and not a newer build for debugging.
    use_binaries(&target_dir().join("release"))
}

fn ping_all(network: &Network) -> Result<Ping> {
    let Network { name, a, b, .. } = network;
    let seen = ping(a, b.address(), PINGS, GAP)?;
    println!(
        "   {name}: {} of {} answered, {:.3} ms there and back",
        seen.received,
        seen.sent,
        seen.rtt_ms.unwrap_or(f64::NAN)
    );
    ensure!(
        seen.is_clean(),
        "{name}: not every ping was answered once: {seen:?}"
    );
    Ok(seen)
}

/// Red and blue have the same addresses, so an answer alone proves nothing. Blue has one address
/// more: only blue may reach it. And while red speaks, blue's guest must not hear a single frame.
fn isolation(stage: &Stage) -> Result<()> {
    let [red, blue] = &stage.networks;
    blue.b.ip(&format!("addr add {ONLY_BLUE}/32 dev eth0"))?;
    let in_blue = ping(&blue.a, ONLY_BLUE, 3, GAP)?;
    ensure!(
        in_blue.is_clean(),
        "blue does not reach its own {ONLY_BLUE}: {in_blue:?}"
    );

    blue.a.knows_only(&blue.b)?;
    blue.b.knows_only(&blue.a)?;
    let heard = |guest: &Guest| guest.counter("eth0", "rx_packets");
    let before = (heard(&blue.a)?, heard(&blue.b)?);
    let in_red = ping(&red.a, ONLY_BLUE, 3, GAP)?; // asks for it by broadcast: nobody has it
    let beside = ping(&red.a, red.b.address(), PINGS, GAP)?;
    let after = (heard(&blue.a)?, heard(&blue.b)?);

    println!(
        "   {ONLY_BLUE} is in blue only: blue gets {} of 3 answers, red {}",
        in_blue.received, in_red.received
    );
    println!(
        "   frames blue's guests heard while red sent broadcasts and pings: {}",
        after.0 - before.0 + after.1 - before.1
    );
    ensure!(
        in_red.received == 0,
        "red reached an address that only blue has"
    );
    ensure!(beside.is_clean(), "red lost pings: {beside:?}");
    ensure!(after == before, "blue heard what red sent");
    Ok(())
}

fn tcp(stage: &Stage, network: &Network, from: &Guest, to: &Guest) -> Result<Iperf> {
    let what = format!("{} {} -> {}", network.name, from.node(), to.node());
    let seen = watching(stage, &what, || iperf3(to, to.address(), from, TCP_S, &[]))?;
    println!(
        "   {what}: {:.0} Mbit/s, {} segments sent again",
        seen.mbit, seen.retransmits
    );
    Ok(seen)
}

/// What became of small frames.
struct Small {
    /// Frames the sending guest gave its interface.
    sent: u64,
    /// Frames the receiving guest's interface counted.
    received: u64,
    /// How long it lasted, in seconds.
    seconds: f64,
}

impl Small {
    fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

fn flood(stage: &Stage, network: &Network, pace: Option<u32>) -> Result<Small> {
    let Network { name, a, b, .. } = network;
    let frame = network.small_frame()?;
    let before = b.counter("eth0", "rx_packets")?;
    let flood = watching(stage, &format!("{name} 60 bytes"), || {
        Flood::run(a, "eth0", &frame, FLOOD_S, pace)
    })?;
    thread::sleep(Duration::from_millis(200)); // what is under way arrives
    let received = b.counter("eth0", "rx_packets")?.checked_sub(before);
    let received = received.context("the receiver's counter went back")?;
    let small = Small {
        sent: flood.sent,
        received,
        seconds: flood.seconds,
    };
    println!(
        "   {name}: {} sent, {received} arrived, {} lost",
        small.sent,
        small.lost()
    );
    ensure!(received > 0, "{name}: no small frame arrived");
    Ok(small)
}
