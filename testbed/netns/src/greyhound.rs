//! Greyhound on a host: its datapath, its agent, and the command people use.

use crate::Finished;
use crate::binaries::binary;
use crate::lab::Host;
use crate::running::Running;
use crate::wait::until;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const READY: Duration = Duration::from_secs(15);

/// How the datapath is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--cores`: one worker on each.
    pub cores: String,
    /// Whatever else `greyhound-datapath` takes.
    pub more: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cores: "0".into(),
            more: Vec::new(),
        }
    }
}

/// Greyhound on one host. Sockets, store and logs are in the host's folder. Dropped, it is killed.
pub struct Greyhound {
    host: Host,
    options: Options,
    datapath: Running,
    agent: Running,
}

impl Greyhound {
    /// Starts the datapath on core 0, and the agent; returns when both answer.
    ///
    /// # Errors
    ///
    /// As [`start_with`](Self::start_with).
    pub fn start(host: &Host) -> Result<Self> {
        Self::start_with(host, &Options::default())
    }

    /// Starts the datapath and the agent; returns when both answer.
    ///
    /// # Errors
    ///
    /// If they are not built, end, or do not answer in 15 seconds, with what they said.
    pub fn start_with(host: &Host, options: &Options) -> Result<Self> {
        let datapath = start_datapath(host, options)?;
        let agent = start_agent(host)?;
        let mut this = Self {
            host: host.clone(),
            options: options.clone(),
            datapath,
            agent,
        };
        this.wait_ready()?;
        Ok(this)
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The datapath's process.
    pub fn datapath(&mut self) -> &mut Running {
        &mut self.datapath
    }

    /// The agent's process.
    pub fn agent(&mut self) -> &mut Running {
        &mut self.agent
    }

    /// Which of its two processes have ended, with what they said last.
    pub fn fallen(&mut self) -> Vec<String> {
        let node = self.host.node().to_owned();
        let parts = [&mut self.datapath, &mut self.agent].into_iter();
        let fallen =
            parts.filter_map(|part| (!part.lives()).then(|| part.complaint("it has ended")));
        fallen
            .map(|complaint| format!("{node}: {complaint}"))
            .collect()
    }

    /// Starts a datapath that was killed again. The agent fills it by itself.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn restart_datapath(&mut self) -> Result<()> {
        self.datapath.kill()?;
        self.datapath = start_datapath(&self.host, &self.options)?;
        Ok(())
    }

    /// Starts an agent that was killed again, with the same store.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or does not answer in 15 seconds.
    pub fn restart_agent(&mut self) -> Result<()> {
        self.agent.kill()?;
        self.agent = start_agent(&self.host)?;
        self.wait_ready()
    }

    /// `greyhound apply`: all of `documents`.
    ///
    /// # Errors
    ///
    /// If one is refused, or applying fails in any other way, with what the command said.
    pub fn apply(&self, documents: &[Value]) -> Result<()> {
        let finished = self.try_apply(&Value::from(documents).to_string())?;
        if !finished.status.success() {
            bail!("greyhound apply: {}{}", finished.stdout, finished.stderr);
        }
        Ok(())
    }

    /// `greyhound apply` of any text, whatever comes of it.
    ///
    /// # Errors
    ///
    /// If the command cannot be run, or is not done in 20 seconds.
    pub fn try_apply(&self, document: &str) -> Result<Finished> {
        let file = self.host.folder().join("apply.json");
        fs::write(&file, document)?;
        self.command(&["apply", "-f", &file.display().to_string()])
    }

    /// `greyhound show SUBJECT --json`.
    ///
    /// # Errors
    ///
    /// If the command fails, or does not print JSON.
    pub fn show(&self, subject: &str) -> Result<Value> {
        let finished = self.command(&["show", subject, "--json"])?;
        if !finished.status.success() {
            bail!(
                "greyhound show {subject}: {}{}",
                finished.stdout,
                finished.stderr
            );
        }
        let text = &finished.stdout;
        serde_json::from_str(text).with_context(|| format!("greyhound show {subject}: {text}"))
    }

    /// Runs `greyhound` with `args`, whatever comes of it.
    ///
    /// # Errors
    ///
    /// If it cannot be run, or is not done in 20 seconds.
    pub fn command(&self, args: &[&str]) -> Result<Finished> {
        let program = binary("greyhound")?.display().to_string();
        let socket = agent_socket(&self.host).display().to_string();
        let all: Vec<&str> = ["--socket", &socket].iter().chain(args).copied().collect();
        self.host.try_exec(&program, &all, Duration::from_secs(20))
    }

    /// The state of every port by its name: `up`, or what it waits for.
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show).
    pub fn port_states(&self) -> Result<Vec<(String, String)>> {
        self.states("ports")
    }

    /// Every ledger that does not balance, in words. Packets under way do not balance yet: call
    /// it when all is quiet.
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show).
    pub fn unbalanced(&self) -> Result<Vec<String>> {
        let ledgers = self.ledgers()?;
        let off = ledgers.iter().filter(|(_, ledger)| missing(ledger) != 0);
        Ok(off
            .map(|(name, ledger)| format!("{name}: {} of {ledger}", missing(ledger)))
            .collect())
    }

    /// Packets dropped for `reason`, over all vnets and ports as `name` says: `vnet 1001`, `port a`.
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show).
    pub fn dropped(&self, name: &str, reason: &str) -> Result<u64> {
        let ledgers = self.ledgers()?;
        let ledger = ledgers
            .iter()
            .find(|(ledger, _)| ledger == name)
            .map(|(_, ledger)| ledger);
        Ok(ledger
            .and_then(|ledger| ledger["dropped"][reason].as_u64())
            .unwrap_or(0))
    }

    /// Every ledger by its name, such as `port a` and `vnet 1001`.
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show).
    pub fn ledgers(&self) -> Result<Vec<(String, Value)>> {
        let shown = self.show("counters")?;
        let counters = shown.get("counters").unwrap_or(&shown);
        let mut ledgers = Vec::new();
        for (kind, field) in [("port", "ports"), ("vnet", "vnets")] {
            let all = counters[field].as_object();
            let all = all.with_context(|| format!("counters without {field}: {shown}"))?;
            ledgers.extend(
                all.iter()
                    .map(|(key, ledger)| (format!("{kind} {key}"), ledger.clone())),
            );
        }
        Ok(ledgers)
    }

    /// Waits until every port and every tunnel is up.
    ///
    /// # Errors
    ///
    /// If they are not within `limit`, with what each one waits for.
    pub fn wait_up(&self, limit: Duration) -> Result<()> {
        let mut last = Vec::new();
        let up = until("all ports and tunnels are up", limit, || {
            let states = |subject| self.states(subject).unwrap_or_default();
            let ports = states("ports");
            let some = !ports.is_empty();
            last = ports;
            last.extend(states("tunnels"));
            some && last.iter().all(|(_, state)| state == "up")
        });
        up.with_context(|| format!("on {}: {last:?}", self.host.node()))
    }

    fn states(&self, subject: &str) -> Result<Vec<(String, String)>> {
        let shown = self.show(subject)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = rows(&shown).into_iter();
        Ok(rows
            .map(|row| (text(&row["name"]), text(&row["state"])))
            .collect())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let Self {
            datapath, agent, ..
        } = self;
        for (part, socket) in [
            (datapath, datapath_socket(&self.host)),
            (agent, agent_socket(&self.host)),
        ] {
            until("its socket is there", READY, || {
                socket.exists() || !part.lives()
            })
            .map_err(|error| part.complaint(&error.to_string()))?;
            if !part.lives() {
                return Err(part.complaint("it ended at its start"));
            }
        }
        let answered = until("greyhound answers", READY, || self.show("ports").is_ok());
        answered.map_err(|error| self.agent.complaint(&error.to_string()))
    }
}

/// The rows of a report, whether it is a bare list or one under the subject's name.
pub(crate) fn rows(report: &Value) -> Vec<&Value> {
    let list = report
        .as_array()
        .or_else(|| report.as_object()?.values().next()?.as_array());
    list.map(|rows| rows.iter().collect()).unwrap_or_default()
}

/// What came in less what is accounted for.
fn missing(ledger: &Value) -> i128 {
    let count = |field: &str| i128::from(ledger[field].as_u64().unwrap_or(0));
    let dropped = ledger["dropped"].as_object().into_iter().flatten();
    let dropped: i128 = dropped
        .map(|(_, count)| i128::from(count.as_u64().unwrap_or(0)))
        .sum();
    count("received") + count("copied") - count("sent") - count("answered") - dropped
}

fn datapath_socket(host: &Host) -> PathBuf {
    host.folder().join("datapath.sock")
}

fn agent_socket(host: &Host) -> PathBuf {
    host.folder().join("agent.sock")
}

fn start_datapath(host: &Host, options: &Options) -> Result<Running> {
    let socket = datapath_socket(host).display().to_string();
    let own = ["--socket", &socket, "--cores", &options.cores];
    let args: Vec<&str> = own
        .into_iter()
        .chain(options.more.iter().map(String::as_str))
        .collect();
    host.start("datapath", binary("greyhound-datapath")?, &args)
}

fn start_agent(host: &Host) -> Result<Running> {
    let (socket, datapath) = (agent_socket(host), datapath_socket(host));
    let store = host.folder().join("programs.redb");
    let [socket, datapath, store] = [socket, datapath, store].map(|p| p.display().to_string());
    let args = [
        "--socket",
        &socket,
        "--datapath",
        &datapath,
        "--store",
        &store,
    ];
    host.start("agent", binary("greyhound-agent")?, &args)
}
