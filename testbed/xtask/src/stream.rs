//! Programs whose output is shown while they run.

use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio, exit};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

/// The process group that runs now; 0 if none does.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// Whether someone else ends this process when it is told to stop.
static LEFT: AtomicBool = AtomicBool::new(false);

/// From now on a lab's own watch ends this process: it has more to remove than we know of.
pub(crate) fn leave_signals() {
    LEFT.store(true, Ordering::SeqCst);
}

/// How a program ended.
pub(crate) struct Ended {
    /// What it returned.
    pub(crate) status: ExitStatus,
    /// Whether it was stopped because its time was over.
    pub(crate) late: bool,
}

/// Runs `command`, gives `line` each line it prints, and stops it with all it has started when
/// `limit` is over. What it writes to stderr is shown as it comes.
pub(crate) fn stream(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<Ended> {
    forward_signals();
    // A group of its own, so that all of it can be stopped: cargo, and the test it has started.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0);
    let shown = command.get_program().display().to_string();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let group = child.id();
    RUNNING.store(group, Ordering::SeqCst);
    let late = Arc::new(AtomicU32::new(0));
    let (done, over) = channel::<()>();
    let was_late = Arc::clone(&late);
    let watch = thread::spawn(move || {
        for (wait, signal) in [(limit, "TERM"), (Duration::from_secs(15), "KILL")] {
            if over.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            was_late.store(1, Ordering::SeqCst);
            kill_group(signal, group);
        }
    });
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).lines().map_while(Result::ok) {
            line(&text);
        }
    }
    let status = child.wait()?;
    RUNNING.store(0, Ordering::SeqCst);
    drop(done);
    // It has nothing to return, and it cannot panic.
    let _ = watch.join();
    Ok(Ended {
        status,
        late: late.load(Ordering::SeqCst) == 1,
    })
}

/// Stops what runs when we are stopped: it is not in our own group.
fn forward_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
            return; // then ^C ends us, and what runs ends when its output breaks
        };
        thread::spawn(move || {
            for signal in signals.forever() {
                let group = RUNNING.load(Ordering::SeqCst);
                if group != 0 {
                    kill_group("TERM", group);
                }
                if !LEFT.load(Ordering::SeqCst) {
                    exit(128 + signal);
                }
            }
        });
    });
}

fn kill_group(signal: &str, group: u32) {
    let line = format!("kill -{signal} -{group}");
    // That it is gone already is fine.
    let _ = Command::new("sh")
        .args(["-c", &line])
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_takes_too_long_is_stopped_with_all_it_has_started() {
        let began = Instant::now();
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo started; wait"]);
        let limit = Duration::from_millis(200);
        let ended = stream(&mut command, limit, |line| seen.push(line.to_owned())).unwrap();
        // Its output is at its end only when the sleeper is gone too.
        assert!(ended.late && !ended.status.success());
        assert_eq!(seen, ["started"]);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn lines_come_in_order_and_the_status_with_them() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two; exit 4"]);
        let limit = Duration::from_secs(20);
        let ended = stream(&mut command, limit, |line| seen.push(line.to_owned())).unwrap();
        assert_eq!((ended.status.code(), ended.late), (Some(4), false));
        assert_eq!(seen, ["one", "two"]);
    }
}
