//! Greyhound against GRE that Linux itself speaks: `gretap`, `ip6gretap` and Open vSwitch in a
//! stock Debian kernel, on an emulated machine.
//!
//! A row is a key or none, a checksum or none, a sequence number or none, an IP version, and who
//! is at the other end; [`rows`] has them. In each row a guest asks for echoes and the kernel at
//! the other end of the tunnel answers, in five variants of DF, DSCP, TTL and congestion; every
//! packet is read on the wire and behind the tunnel ([`look`]). A row has five cells: the GRE
//! itself (every frame arrives, whole, and in no other network), DF, TOS, ECN, TTL, each both ways.
//!
//! `cargo xtask check --vm` runs it; it is no test of `cargo test`, since a machine has to be
//! fetched first. It takes some minutes and ends with a sum in the form of `cargo test`.

#![forbid(unsafe_code)]

mod look;
mod packet;
mod rows;
mod stage;

use anyhow::{Result, bail, ensure};
use look::Cells;
use netns::RawPort;
use packet::Echo;
use rows::{Peer, Row, VARIANTS, Variant};
use stage::Stage;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The round of the echoes that are not counted.
const UNCOUNTED: u16 = u16::MAX / Echo::ROUND;

/// How long what is under way may take; a machine emulated on a busy one is slow.
const UNDER_WAY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            println!("test result: FAILED. 0 passed; 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// Runs every row, or those whose names have all the words given; whether all is well.
fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let wanted = |row: &Row| {
        words
            .iter()
            .all(|word| row.to_string().contains(word.as_str()))
    };
    let rows: Vec<Row> = Row::all().into_iter().filter(wanted).collect();
    ensure!(!rows.is_empty(), "no row has {words:?}");
    let mut stage = Stage::new()?;
    let kernel = stage.machine.run("uname -sr")?;
    println!(
        "{} is up after {:.1} s; each row is {} echoes in {} variants",
        kernel.trim(),
        began.elapsed().as_secs_f64(),
        Echo::ROUND,
        VARIANTS.len()
    );
    let (mut passed, mut failed, mut round) = (0, 0, 0);
    for row in rows {
        let began = Instant::now();
        let cells = try_row(&mut stage, &row, &mut round);
        println!("{row}  {cells}  {:.1} s", began.elapsed().as_secs_f64());
        for wrong in cells
            .all()
            .iter()
            .flat_map(|(_, wrong)| wrong.iter().take(3))
        {
            println!("    {wrong}");
        }
        let bad = cells
            .all()
            .iter()
            .filter(|(_, wrong)| !wrong.is_empty())
            .count();
        passed += cells.all().len() - bad;
        failed += bad;
    }
    let wrong = stage.close()?;
    println!("ledgers that do not balance, and programs that fell: {wrong:?}");
    failed += usize::from(!wrong.is_empty());
    passed += usize::from(wrong.is_empty());
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {passed} passed; {failed} failed; finished in {:.2}s",
        began.elapsed().as_secs_f64()
    );
    Ok(failed == 0)
}

/// All variants of one row.
fn try_row(stage: &mut Stage, row: &Row, round: &mut u16) -> Cells {
    let mut cells = Cells::default();
    for variant in &VARIANTS {
        *round += 1;
        if let Err(error) = try_one(stage, row, variant, *round, &mut cells) {
            cells.gre.push(format!("{}: {error:#}", variant.name));
        }
    }
    if row.checksum && !row.summed_there() {
        let (_, frame) = Echo::ask(UNCOUNTED, 1);
        if let Err(error) = stage.refuses_checksum(row, &VARIANTS[0].ours, &frame) {
            cells.gre.push(format!("left out for nothing: {error:#}"));
        }
    }
    cells
}

/// One variant of one row: asks, listens, and judges.
fn try_one(
    stage: &mut Stage,
    row: &Row,
    variant: &Variant,
    round: u16,
    cells: &mut Cells,
) -> Result<()> {
    stage.be(row, variant)?;
    if row.peer == Peer::OpenVswitch {
        first_packet(&mut stage.guests[row.network()])?;
    }
    let dropped = stage.dropped_for_ecn()?;
    stage.wire.received(0, Duration::ZERO);
    for guest in &stage.guests {
        guest.received(0, Duration::ZERO);
    }
    let asked: Vec<_> = (0..Echo::ROUND)
        .map(|number| Echo::ask(round, number))
        .collect();
    let guest = &mut stage.guests[row.network()];
    for (_, frame) in &asked {
        guest.send(frame)?;
    }
    let expected = look::expected(variant, Echo::ROUND);
    let answer = |frame: &[u8]| Echo::read(frame).is_some_and(|e| e.answer && e.round == round);
    let answers = guest.received_like(expected.here, UNDER_WAY, answer);
    let ours = |frame: &[u8]| {
        packet::Outer::read(frame)
            .and_then(|outer| Echo::read(&outer.inner))
            .is_some_and(|echo| echo.round == round)
    };
    let wire = stage.wire.received_like(expected.wire, UNDER_WAY, ours);
    let elsewhere = stage.guests.iter().enumerate();
    let elsewhere = elsewhere.filter(|(network, _)| *network != row.network());
    let strays = elsewhere.map(|(_, guest)| guest.received(0, Duration::ZERO).len());
    let heard = look::Heard {
        asked,
        wire,
        answers,
        strays: strays.sum(),
        dropped: stage.dropped_for_ecn()? - dropped,
    };
    look::judge(row, variant, &heard, cells);
    Ok(())
}

/// Sends echoes one by one until one is answered. Open vSwitch's kernel tracks connections, and of
/// the first packets of one it drops all but one if they come together.
fn first_packet(guest: &mut RawPort) -> Result<()> {
    // One that may be marked.
    let (_, frame) = Echo::ask(UNCOUNTED, 1);
    for _ in 0..3 {
        guest.send(&frame)?;
        let answer = |frame: &[u8]| Echo::read(frame).is_some_and(|echo| echo.answer);
        if !guest.received_like(1, UNDER_WAY, answer).is_empty() {
            return Ok(());
        }
    }
    bail!("no echo is answered")
}
