//! Who owns what is in the kernel, so that nothing outlives its owner.
//!
//! A run is one [`Lab`](crate::Lab). Before it makes its first namespace it has a folder under
//! [`ROOT`] with its owner's pid, that process's start time and this boot's id: a pid alone may
//! have been given to another. The folder goes last. So a namespace `gh-<run>-…` always has an
//! owner record, and a record whose owner is dead names all there is to remove.

use crate::command::{SMALL, ip, run_bounded};
use crate::wait::until;
use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit, id};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Where runs keep their owner records, sockets and logs.
pub(crate) const ROOT: &str = "/run/greyhound-lab";

/// Every namespace of ours starts with this.
pub(crate) const PREFIX: &str = "gh-";

/// One lab's folder and namespaces.
pub(crate) struct Run {
    id: String,
    folder: PathBuf,
    namespaces: Mutex<Vec<String>>,
    removed: AtomicBool,
}

impl Run {
    /// Makes the folder and the owner record.
    pub(crate) fn new(name: &str) -> Result<Arc<Self>> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        watch_signals()?;
        let record = format!(
            "{} {} {} {name}\n",
            id(),
            start_of(id()).unwrap_or(0),
            boot()
        );
        for _ in 0..1000 {
            let run = format!("{}-{}", base36(id()), MADE.fetch_add(1, Ordering::Relaxed));
            let folder = Path::new(ROOT).join(&run);
            if !folder.exists() && claim(&run, &folder, &record)? {
                let namespaces = Mutex::default();
                let run = Self {
                    id: run,
                    folder,
                    namespaces,
                    removed: AtomicBool::new(false),
                };
                let run = Arc::new(run);
                lock(living()).push(Arc::downgrade(&run));
                return Ok(run);
            }
        }
        bail!("no free run name under {ROOT}")
    }

    /// The run's name: short, and unique on this machine.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The run's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the namespace `gh-<run>-<node>` and returns its name.
    pub(crate) fn add_namespace(&self, node: &str) -> Result<String> {
        let name = format!("{PREFIX}{}-{node}", self.id);
        // Held until the name is noted: a signal must find it, or stop it from being made.
        let mut namespaces = lock(&self.namespaces);
        if self.removed.load(Ordering::SeqCst) {
            bail!("lab {} is being removed", self.id);
        }
        ip(&format!("netns add {name}"))
            .context("a lab needs root and a kernel with network namespaces")?;
        namespaces.push(name.clone());
        Ok(name)
    }

    /// Removes all that the run made. Once; later calls do nothing.
    pub(crate) fn remove(&self) -> Result<()> {
        let namespaces = lock(&self.namespaces);
        if self.removed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        remove(&self.folder, &namespaces).map(|_| ())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("lab {}: {error:#}; the next run will try again", self.id);
        }
    }
}

/// What a killed run had left, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The run.
    pub run: String,
    /// What the run was for.
    pub name: String,
    /// Its namespaces, now removed.
    pub namespaces: Vec<String>,
    /// How many processes were still in them, now killed.
    pub processes: usize,
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            run,
            name,
            namespaces,
            processes,
        } = self;
        write!(
            f,
            "run {run} ({name}) was killed and left {} namespaces",
            namespaces.len()
        )?;
        write!(f, " and {processes} processes; removed")
    }
}

/// Finds what killed runs left, and removes it. Runs that are alive are not touched.
///
/// # Errors
///
/// If something cannot be removed.
pub fn sweep() -> Result<Vec<Swept>> {
    let mut swept = Vec::new();
    let Ok(entries) = fs::read_dir(ROOT) else {
        return Ok(swept); // nobody ever ran here
    };
    for entry in entries.flatten() {
        let folder = entry.path();
        let run = entry.file_name().to_string_lossy().into_owned();
        let Ok(record) = fs::read_to_string(folder.join("owner")) else {
            continue; // its owner is just making or removing it
        };
        let mut words = record.splitn(4, [' ', '\n']);
        let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let start = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let same_boot = words.next().is_some_and(|word| word == boot());
        if same_boot && start_of(pid) == Some(start) {
            continue;
        }
        let name = words.next().unwrap_or_default().trim().to_owned();
        let namespaces = namespaces_of(&run);
        let processes = remove(&folder, &namespaces)?;
        // A run killed while it made its folder has left nothing worth a word.
        if !run.starts_with('.') {
            swept.push(Swept {
                run,
                name,
                namespaces,
                processes,
            });
        }
    }
    Ok(swept)
}

/// Gives the folder its final name only when the owner record is in it.
fn claim(run: &str, folder: &Path, record: &str) -> Result<bool> {
    let making = Path::new(ROOT).join(format!(".{run}"));
    fs::create_dir_all(&making)
        .and_then(|()| fs::write(making.join("owner"), record))
        .with_context(|| format!("cannot write under {ROOT}; a lab needs root"))?;
    Ok(fs::rename(&making, folder).is_ok())
}

/// Kills what runs in `namespaces`, deletes them, then `folder`. Says how many were killed.
fn remove(folder: &Path, namespaces: &[String]) -> Result<usize> {
    let mut killed = 0;
    for namespace in namespaces {
        killed += kill_all_in(namespace)?;
    }
    for namespace in namespaces {
        if Path::new("/run/netns").join(namespace).exists() {
            ip(&format!("netns del {namespace}"))?;
        }
    }
    if let Err(error) = fs::remove_dir_all(folder)
        && folder.exists()
    {
        return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
    }
    let _ = fs::remove_dir(ROOT); // stays while another run is in it
    Ok(killed)
}

/// Kills every process in a namespace of ours; says how many there were.
fn kill_all_in(namespace: &str) -> Result<usize> {
    let mut known = Vec::new();
    until(
        &format!("all processes in {namespace} are gone"),
        SMALL,
        || {
            let pids = pids_in(namespace);
            for pid in &pids {
                send_signal("KILL", pid);
                if !known.contains(pid) {
                    known.push(pid.clone());
                }
            }
            pids.is_empty()
        },
    )?;
    Ok(known.len())
}

fn pids_in(namespace: &str) -> Vec<String> {
    let pids = ip(&format!("netns pids {namespace}")).unwrap_or_default();
    pids.split_whitespace().map(str::to_owned).collect()
}

/// Sends a signal by its name; that the process is gone already is fine.
pub(crate) fn send_signal(signal: &str, pid: &str) {
    // The shell's own `kill`: the program of that name is not on every machine.
    let line = format!("kill -{signal} {pid}");
    let _ = run_bounded(
        Command::new("sh").args(["-c", &line]),
        Duration::from_secs(5),
    );
}

fn namespaces_of(run: &str) -> Vec<String> {
    let prefix = format!("{PREFIX}{run}-");
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut ours: Vec<_> = names.filter(|name| name.starts_with(&prefix)).collect();
    ours.sort();
    ours
}

/// When `pid` was started, in ticks since boot; none if there is no such process.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may hold spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.extend(char::from_digit(number % 36, 36));
        number /= 36;
    }
    digits.iter().rev().collect()
}

fn living() -> &'static Mutex<Vec<Weak<Run>>> {
    static LIVING: Mutex<Vec<Weak<Run>>> = Mutex::new(Vec::new());
    &LIVING
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From the first run on, SIGINT, SIGTERM and SIGHUP remove all runs before the process ends.
fn watch_signals() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    static WATCHED: OnceLock<Result<(), String>> = OnceLock::new();
    let watched = WATCHED.get_or_init(|| {
        let signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]);
        let mut signals = signals.map_err(|error| error.to_string())?;
        let watch = move || {
            let Some(signal) = signals.forever().next() else {
                return;
            };
            eprintln!("\nstopped by signal {signal}: removing the lab");
            let runs: Vec<_> = lock(living()).iter().filter_map(Weak::upgrade).collect();
            for run in runs {
                if let Err(error) = run.remove() {
                    eprintln!("lab {}: {error:#}", run.id);
                }
            }
            exit(128 + signal);
        };
        let spawned = std::thread::Builder::new()
            .name("signals".into())
            .spawn(watch);
        spawned.map(|_| ()).map_err(|error| error.to_string())
    });
    watched
        .clone()
        .map_err(anyhow::Error::msg)
        .context("cannot watch for signals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_base_36() {
        assert_eq!(
            ["0", "z", "10", "1ekf"],
            [0, 35, 36, 65_535].map(base36).each_ref().map(|s| &s[..])
        );
    }

    #[test]
    fn a_process_that_lives_has_a_start_and_one_that_does_not_has_none() {
        assert!(start_of(id()).is_some_and(|start| start > 0));
        assert_eq!(start_of(0), None);
    }
}
