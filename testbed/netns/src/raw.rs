//! Any frame whatever, in and out of an interface of a namespace.
//!
//! The work is done by `gh-frames` (pnet's `AF_PACKET` channel), which runs in the namespace and
//! speaks JSON lines; this side needs no socket of its own.

use crate::binaries::binary;
use crate::namespace::Namespace;
use crate::running::spawn;
use crate::wait::value_within;
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// An interface of a namespace, opened for whole Ethernet frames.
///
/// It also sees what the namespace's own kernel sends there (ARP, for one), as any `AF_PACKET`
/// socket does; not what it sends itself.
pub struct RawPort {
    child: Child,
    stdin: ChildStdin,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl RawPort {
    /// Opens `interface` in `namespace`.
    ///
    /// # Errors
    ///
    /// If `gh-frames` is not built, or cannot open the interface.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let mut command = namespace.command(binary("gh-frames")?);
        command
            .arg(interface)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(command).context("cannot start gh-frames")?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("gh-frames has no pipes");
        };
        let received = Arc::default();
        let ready = Arc::new(Mutex::new(false));
        let (into, tell) = (Arc::clone(&received), Arc::clone(&ready));
        thread::spawn(move || read_lines(stdout, &into, &tell));
        let this = Self {
            child,
            stdin,
            received,
        };
        let what = format!("gh-frames has opened {interface} in {}", namespace.node());
        value_within(&what, Duration::from_secs(10), || {
            lock(&ready).then_some(())
        })?;
        Ok(this)
    }

    /// Sends one frame, from the Ethernet header on, without the frame check sequence.
    ///
    /// # Errors
    ///
    /// If `gh-frames` is gone.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        writeln!(self.stdin, "{}", json!({"send": hex(frame)}))?;
        self.stdin.flush().context("gh-frames is gone")
    }

    /// What has come in since the last call, in order. Waits up to `limit` for `enough` frames,
    /// and returns what there is then.
    pub fn received(&self, enough: usize, limit: Duration) -> Vec<Vec<u8>> {
        let end = Instant::now() + limit;
        while lock(&self.received).len() < enough && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        std::mem::take(&mut *lock(&self.received))
    }

    /// As [`received`](Self::received), but looks only for frames that `wanted` says yes to;
    /// drops all others.
    pub fn received_like(
        &self,
        enough: usize,
        limit: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<Vec<u8>> {
        let end = Instant::now() + limit;
        let mut kept = Vec::new();
        loop {
            kept.extend(
                self.received(0, Duration::ZERO)
                    .into_iter()
                    .filter(|frame| wanted(frame)),
            );
            if kept.len() >= enough || Instant::now() > end {
                return kept;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for RawPort {
    fn drop(&mut self) {
        // That it is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a flood of one frame came to, at its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flood {
    /// Frames the kernel took.
    pub sent: u64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
}

impl Flood {
    /// Sends `frame` again and again from `namespace` for `seconds`: as fast as can be, or `pace`
    /// frames a second. Count what arrives where it should arrive.
    ///
    /// # Errors
    ///
    /// If `gh-frames` is not built or fails.
    pub fn run(
        namespace: &Namespace,
        interface: &str,
        frame: &[u8],
        seconds: u32,
        pace: Option<u32>,
    ) -> Result<Self> {
        Self::run_varied(namespace, interface, frame, seconds, pace, None)
    }

    /// The same, with two bytes of the frame, from byte `varies` on, that differ from one to the
    /// next.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); if the frame has no such bytes.
    pub fn run_varied(
        namespace: &Namespace,
        interface: &str,
        frame: &[u8],
        seconds: u32,
        pace: Option<u32>,
        varies: Option<usize>,
    ) -> Result<Self> {
        let program = binary("gh-frames")?.display().to_string();
        let (frame, time) = (hex(frame), seconds.to_string());
        let pace = pace.unwrap_or(0).to_string();
        let varies = varies.map(|at| at.to_string());
        let mut args = vec![interface, "flood", &frame, &time, &pace];
        args.extend(varies.as_deref());
        let limit = Duration::from_secs(u64::from(seconds) + 10);
        let finished = namespace.try_exec(&program, &args, limit)?;
        let said: Option<Value> = serde_json::from_str(&finished.stdout).ok();
        let flood = said.and_then(|said| {
            Some(Self {
                sent: said["sent"].as_u64()?,
                seconds: said["seconds"].as_f64()?,
            })
        });
        flood.ok_or_else(|| anyhow!("gh-frames: {}{}", finished.stdout, finished.stderr))
    }
}

fn read_lines(stdout: ChildStdout, into: &Mutex<Vec<Vec<u8>>>, ready: &Mutex<bool>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if said["ready"] == true {
            *lock(ready) = true;
        }
        if let Some(frame) = said["received"].as_str().and_then(unhex) {
            lock(into).push(frame);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // a String takes all
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_as_hex_are_read_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex("0x"), None);
    }
}
