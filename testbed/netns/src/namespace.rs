//! One network namespace, and programs in it.

use crate::command::{Finished, SMALL, ip, must, run_bounded};
use crate::run::Run;
use crate::running::Running;
use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// One network namespace of a lab. Copies name the same one; the lab removes it.
#[derive(Clone)]
pub struct Namespace {
    run: Arc<Run>,
    node: String,
    name: String,
}

impl Namespace {
    /// Makes `gh-<run>-<node>`, its loopback up and IPv6 switched off: autoconfiguration would
    /// put frames on the wire that no test has sent.
    pub(crate) fn new(run: &Arc<Run>, node: &str) -> Result<Self> {
        let name = run.add_namespace(node)?;
        let this = Self {
            run: Arc::clone(run),
            node: node.to_owned(),
            name,
        };
        this.set("net/ipv6/conf/all/disable_ipv6", "1")?;
        this.set("net/ipv6/conf/default/disable_ipv6", "1")?;
        this.ip("link set lo up")?;
        Ok(this)
    }

    /// The node's name in its lab, such as `h1`.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The namespace's name, such as `gh-9x-0-h1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's own folder: sockets, stores, logs. Goes with the lab.
    pub fn folder(&self) -> PathBuf {
        self.run.folder().join(&self.node)
    }

    /// `program` as a command in this namespace; it dies with us.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.name])
            .arg(program);
        command
    }

    /// Runs a small command to its end and returns what it printed.
    ///
    /// # Errors
    ///
    /// If it fails, with what it said; if it is not done in 20 seconds.
    pub fn exec<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<String> {
        must(self.inside(program).args(args), SMALL)
    }

    /// Runs a command to its end, whatever that is.
    ///
    /// # Errors
    ///
    /// If it cannot be started or is not done within `limit`.
    pub fn try_exec<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        limit: Duration,
    ) -> Result<Finished> {
        run_bounded(self.inside(program).args(args), limit)
    }

    /// Starts a program that runs until it is stopped. `name` names its log files.
    ///
    /// # Errors
    ///
    /// If it cannot be started. That it ends at once is not seen here.
    pub fn start<S: AsRef<OsStr>>(
        &self,
        name: &str,
        program: impl AsRef<OsStr>,
        args: &[S],
    ) -> Result<Running> {
        let mut command = self.command(program);
        command.args(args);
        Running::start(name, command, &self.folder())
    }

    /// Runs `ip` here with the words of `line`, which must not need quoting.
    ///
    /// # Errors
    ///
    /// If `ip` fails, with what it said.
    pub fn ip(&self, line: &str) -> Result<String> {
        ip(&format!("-n {} {line}", self.name))
    }

    /// Writes a sysctl; `key` is its path under `/proc/sys`.
    ///
    /// # Errors
    ///
    /// If there is no such key, or it does not take the value.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let line = format!("echo {value} > /proc/sys/{key}");
        self.exec("sh", &["-c", &line]).map(|_| ())
    }

    /// A counter of an interface, as the kernel keeps it: `rx_packets`, `tx_dropped` and so on.
    ///
    /// # Errors
    ///
    /// If there is no such interface or counter.
    pub fn counter(&self, interface: &str, counter: &str) -> Result<u64> {
        let path = format!("/sys/class/net/{interface}/statistics/{counter}");
        let text = self.exec("cat", &[&path])?;
        text.trim()
            .parse()
            .with_context(|| format!("{path}: {text:?}"))
    }

    /// Without `setpriv`: what is waited for needs no second watcher.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}
