//! Commands that end: run one, with a limit, and read all it said.

use anyhow::{Context as _, Result, bail};
use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a small command such as `ip` may take.
pub(crate) const SMALL: Duration = Duration::from_secs(20);

/// A command that has ended by itself.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs `command` to its end, without input, and reads all it says.
///
/// # Errors
///
/// If it cannot be started, or is not done within `limit`: it is killed then.
pub fn run_bounded(command: &mut Command, limit: Duration) -> Result<Finished> {
    let shown = shown(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start: {shown}"))?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("not done after {limit:?}, killed: {shown}");
        }
        thread::sleep(Duration::from_millis(2));
    };
    Ok(Finished {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Runs `command` and returns what it printed; that it fails is an error with what it said.
pub(crate) fn must(command: &mut Command, limit: Duration) -> Result<String> {
    let finished = run_bounded(command, limit)?;
    if !finished.status.success() {
        let shown = shown(command);
        bail!(
            "{shown}: {}: {}",
            finished.status,
            (finished.stdout + &finished.stderr).trim()
        );
    }
    Ok(finished.stdout)
}

/// Runs `ip` with the words of `line`, which must not need quoting.
pub(crate) fn ip(line: &str) -> Result<String> {
    must(Command::new("ip").args(line.split_whitespace()), SMALL)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads to the end beside the one who waits, so that a full pipe stops nobody.
fn reader<R: Read + Send + 'static>(from: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // What could be read before an error is still worth showing.
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_killed_and_named() {
        let began = Instant::now();
        let error = run_bounded(Command::new("sleep").arg("60"), Duration::from_millis(50));
        assert!(error.unwrap_err().to_string().contains("sleep 60"));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn more_than_a_pipe_holds_is_read_whole() {
        let out = must(Command::new("seq").arg("100000"), SMALL).unwrap();
        assert_eq!(out.lines().count(), 100_000);
    }

    #[test]
    fn what_a_failing_command_said_is_in_the_error() {
        let error = must(
            Command::new("sh").args(["-c", "echo so >&2; exit 3"]),
            SMALL,
        );
        let text = error.unwrap_err().to_string();
        assert!(text.contains("so") && text.contains('3'), "{text}");
    }
}
