//! Whole Ethernet frames between an interface of this namespace and pipes. A tool of the testbed;
//! see `netns::RawPort` and `netns::Flood`, which start it.
//!
//! `gh-frames IF` prints `{"ready":true}`, then `{"received":HEX}` for each frame that comes in,
//! and sends the frame of each line `{"send":HEX}` it is given; it ends with its input.
//!
//! `gh-frames IF flood HEX SECONDS PACE [VARIES]` sends one frame again and again, PACE times a second
//! or, for 0, as fast as it can, and prints `{"sent":N,"seconds":T}`. The two bytes at VARIES count
//! the frames, so that each is another.

#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail, ensure};
use pnet::datalink::{self, Channel, Config, DataLinkReceiver, DataLinkSender, NetworkInterface};
use serde_json::{Value, json};
use std::env;
use std::io::{self, BufRead as _, ErrorKind, Write as _};
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

/// The largest frame read or sent, in bytes.
const LARGEST: usize = 64 << 10;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [name] => relay(name),
        [name, "flood", frame, seconds, pace] => {
            flood(name, &bytes(frame)?, seconds.parse()?, pace.parse()?, None)
        }
        [name, "flood", frame, seconds, pace, varies] => {
            let varies = Some(varies.parse()?);
            flood(
                name,
                &bytes(frame)?,
                seconds.parse()?,
                pace.parse()?,
                varies,
            )
        }
        _ => bail!("gh-frames IF, or gh-frames IF flood HEX SECONDS PACE [VARIES]"),
    }
}

fn relay(name: &str) -> Result<()> {
    let (mut sender, mut receiver) = open(name)?;
    say(&json!({"ready": true}))?;
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Err(error) = send_line(&mut *sender, &line) {
                eprintln!("gh-frames: {error:#}");
            }
        }
        exit(0) // our user is gone
    });
    loop {
        match receiver.next() {
            Ok(frame) => say(&json!({"received": hex(frame)}))?,
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error).context("cannot receive"),
        }
    }
}

fn send_line(sender: &mut dyn DataLinkSender, line: &str) -> Result<()> {
    let said: Value = serde_json::from_str(line)?;
    let frame = bytes(said["send"].as_str().context("a line without \"send\"")?)?;
    sender
        .send_to(&frame, None)
        .context("no room to send")?
        .context("cannot send")
}

fn flood(name: &str, frame: &[u8], seconds: u32, pace: u32, varies: Option<usize>) -> Result<()> {
    let (mut sender, _) = open(name)?;
    let mut frame = frame.to_vec();
    if let Some(at) = varies {
        ensure!(at + 2 <= frame.len(), "the frame ends before byte {at}");
    }
    let began = Instant::now();
    let lasts = Duration::from_secs(seconds.into());
    let mut sent = 0_u64;
    while began.elapsed() < lasts {
        if let Some(at) = varies {
            let [.., high, low] = sent.to_be_bytes();
            frame[at..at + 2].copy_from_slice(&[high, low]);
        }
        // A full queue refuses a frame: that is the speed of the way, and no error.
        sent += u64::from(matches!(sender.send_to(&frame, None), Some(Ok(()))));
        while pace > 0 && sent > due(began.elapsed(), pace) && began.elapsed() < lasts {
            thread::sleep(Duration::from_micros(200));
        }
    }
    say(&json!({"sent": sent, "seconds": began.elapsed().as_secs_f64()}))
}

/// How many frames should have been sent after `elapsed`.
fn due(elapsed: Duration, pace: u32) -> u64 {
    let due = elapsed.as_micros() * u128::from(pace) / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

fn open(name: &str) -> Result<(Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>)> {
    let by_name = |interface: &NetworkInterface| interface.name == name;
    let found = datalink::interfaces().into_iter().find(by_name);
    let interface = found.with_context(|| format!("there is no interface {name}"))?;
    let config = Config {
        read_buffer_size: LARGEST,
        write_buffer_size: LARGEST,
        read_timeout: Some(Duration::from_millis(100)),
        ..Config::default()
    };
    match datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, receiver) => Ok((sender, receiver)),
        _ => bail!("{name} carries no Ethernet"),
    }
}

fn say(line: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush().context("nobody reads")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes all
        text
    })
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    ensure!(
        hex.len().is_multiple_of(2) && hex.is_ascii(),
        "not hex: {hex}"
    );
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).context("not hex");
    (0..hex.len()).step_by(2).map(pair).collect()
}
