//! Programs that run until they are stopped.

use crate::run::send_signal;
use crate::wait::value_within;
use anyhow::{Context as _, Result, anyhow};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// A program that runs in a namespace. Dropped, it is killed.
///
/// It dies with this process too, even if this process is killed by SIGKILL.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts `command` without input; what it says goes to files named after `name` in `folder`.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        folder: &std::path::Path,
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.err"));
        command.stdin(Stdio::null());
        command
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?);
        let child = spawn(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        text_of(&self.stdout)
    }

    /// What it has complained of so far.
    pub fn stderr(&self) -> String {
        text_of(&self.stderr)
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        if self.lives() {
            self.child
                .kill()
                .with_context(|| format!("cannot kill {}", self.name))?;
        }
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    ///
    /// If it has not ended within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        if self.lives() {
            send_signal("TERM", &self.pid().to_string());
        }
        self.wait(limit)
    }

    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// If it has not ended within `limit`; it still runs then.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} (pid {}) has ended", self.name, self.pid());
        value_within(&what, limit, || self.child.try_wait().ok().flatten())
    }

    /// An error that holds what the program said last: for when it ended and should not have.
    pub fn complaint(&self, what: &str) -> anyhow::Error {
        let said = self.stdout() + &self.stderr();
        let from = said.char_indices().rev().nth(2000).map_or(0, |(at, _)| at);
        anyhow!("{}: {what}; it said: {}", self.name, said[from..].trim())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // That it is gone already is what we want.
        let _ = self.kill();
    }
}

fn text_of(file: &std::path::Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a command from a thread that lives as long as this process.
///
/// The kernel sends the signal of `setpriv --pdeathsig` when the *thread* that started the program
/// ends; a test's thread may end before the test's programs should.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken): (_, Receiver<Order>) = channel();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                // Nobody waits for the answer only if the one who asked has panicked.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let gone = || io::Error::other("the thread that starts programs is gone");
    let (answer, answered) = channel();
    let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
    orders.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}
