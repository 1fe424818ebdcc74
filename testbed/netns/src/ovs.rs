//! Debian's Open vSwitch on a host, with its userspace datapath: the second opinion.
//!
//! Each instance has its own `ovsdb-server` and `ovs-vswitchd`, in the host's namespace and with
//! files in the host's folder, so several run side by side and none is the machine's own.
//!
//! The underlay address moves from the interface to `br-phy`: the userspace tunnel takes its route
//! from the namespace's kernel table, and asks for the peer's MAC on the bridge by itself. So the
//! first packet after a start pays for that question, about a second.

use crate::binaries::target_dir;
use crate::command::{must, run_bounded};
use crate::lab::Host;
use crate::running::Running;
use crate::wait::until;
use anyhow::{Context as _, Result, bail};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Where an Open vSwitch lies: the machine's own, or Debian's packages unpacked into a folder.
#[derive(Clone, Debug)]
pub struct OvsFiles {
    root: PathBuf,
}

impl OvsFiles {
    /// Finds one that runs: the machine's own, or `$GREYHOUND_OVS` or `<target>/peers/openvswitch`
    /// if the packages were unpacked there. Debian's packages start a switch on the machine when
    /// they are installed; unpacked, they change nothing on it.
    ///
    /// # Errors
    ///
    /// If there is none: `cargo xtask check --only needs` fetches one.
    pub fn find() -> Result<Self> {
        let unpacked = env::var_os("GREYHOUND_OVS").map(PathBuf::from);
        let unpacked = unpacked.unwrap_or_else(|| target_dir().join("peers/openvswitch"));
        let candidates = [PathBuf::from("/"), unpacked];
        let found = candidates
            .iter()
            .map(|root| Self { root: root.clone() })
            .find(Self::works);
        found.with_context(|| {
            format!("no Open vSwitch in {candidates:?}; cargo xtask check --only needs fetches it")
        })
    }

    /// One whose packages were unpacked under `root`.
    pub fn unpacked(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Whether its switch starts at all.
    pub fn works(&self) -> bool {
        let mut version = self.command("usr/lib/openvswitch-switch/ovs-vswitchd");
        let finished = run_bounded(version.arg("--version"), LIMIT);
        finished.is_ok_and(|finished| finished.status.success())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join(program));
        self.add_libraries(&mut command);
        command
    }

    /// Its libraries lie with it if the machine has not got them.
    fn add_libraries(&self, command: &mut Command) {
        let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
        let present = libraries.map(|folder| self.root.join(folder));
        let present = present.into_iter().filter(|folder| folder.is_dir());
        let present: Vec<PathBuf> = present.collect();
        if self.root != Path::new("/")
            && let Ok(path) = env::join_paths(&present)
            && path != OsString::new()
        {
            command.env("LD_LIBRARY_PATH", path);
            // libxdp reads its XDP programs from files, when a port is of type afxdp.
            command.env("LIBXDP_OBJECT_PATH", present[0].join("bpf"));
        }
    }
}

/// Open vSwitch on one host. Dropped, it is killed.
pub struct Ovs {
    host: Host,
    files: OvsFiles,
    folder: PathBuf,
    tunnels: u32,
    _database: Running,
    switch: Running,
}

impl Ovs {
    /// Starts it on `host`, which must be wired, and moves the host's underlay to `br-phy`.
    ///
    /// # Errors
    ///
    /// If there is no Open vSwitch, or it does not come up.
    pub fn start(host: &Host) -> Result<Self> {
        let files = OvsFiles::find()?;
        let folder = host.folder().join("ovs");
        fs::create_dir_all(&folder)?;
        let at = |file: &str| folder.join(file).display().to_string();
        let schema = files.root.join("usr/share/openvswitch/vswitch.ovsschema");
        must(
            files
                .command("usr/bin/ovsdb-tool")
                .arg("create")
                .arg(at("conf.db"))
                .arg(schema),
            LIMIT,
        )?;

        let database = daemon(
            host,
            &files,
            &folder,
            "usr/sbin/ovsdb-server",
            &[
                at("conf.db"),
                format!("--remote=punix:{}", at("db.sock")),
                format!("--unixctl={}", at("db.ctl")),
            ],
        )?;
        let socket = folder.join("db.sock");
        until("ovsdb-server listens", LIMIT, || socket.exists())
            .map_err(|error| database.complaint(&error.to_string()))?;
        let switch = daemon(
            host,
            &files,
            &folder,
            "usr/lib/openvswitch-switch/ovs-vswitchd",
            &[
                format!("unix:{}", at("db.sock")),
                format!("--unixctl={}", at("vs.ctl")),
            ],
        )?;
        let host = host.clone();
        let mut this = Self {
            host,
            files,
            folder,
            tunnels: 0,
            _database: database,
            switch,
        };
        this.vsctl("--no-wait init")?;
        this.underlay()
            .map_err(|error| this.switch.complaint(&format!("{error:#}")))?;
        Ok(this)
    }

    /// Makes `bridge` a network with the ports `interfaces`.
    ///
    /// # Errors
    ///
    /// If Open vSwitch does not take it.
    pub fn bridge(&self, bridge: &str, interfaces: &[&str]) -> Result<()> {
        self.vsctl(&format!(
            "add-br {bridge} -- set bridge {bridge} datapath_type=netdev"
        ))?;
        for interface in interfaces {
            self.add_port(bridge, interface)?;
        }
        Ok(())
    }

    /// Adds a guest's port to `bridge`.
    ///
    /// # Errors
    ///
    /// If Open vSwitch does not take it.
    pub fn add_port(&self, bridge: &str, interface: &str) -> Result<()> {
        self.vsctl(&format!("add-port {bridge} {interface}"))
            .map(|_| ())
    }

    /// Adds a GRE tunnel with `key` to `remote`; returns the port's name.
    ///
    /// # Errors
    ///
    /// If Open vSwitch does not take it.
    pub fn tunnel(&mut self, bridge: &str, key: u32, remote: Ipv4Addr) -> Result<String> {
        self.tunnels += 1;
        let (name, local) = (format!("gre{}", self.tunnels), self.host.address());
        self.vsctl(&format!(
            "add-port {bridge} {name} -- set interface {name} type=gre \
             options:remote_ip={remote} options:local_ip={local} options:key={key}"
        ))?;
        Ok(name)
    }

    /// Runs `ovs-vsctl` with the words of `line`.
    ///
    /// # Errors
    ///
    /// If it fails, with what it said.
    pub fn vsctl(&self, line: &str) -> Result<String> {
        let mut command = self.files.command("usr/bin/ovs-vsctl");
        command.arg(format!(
            "--db=unix:{}",
            self.folder.join("db.sock").display()
        ));
        must(
            command.arg("--timeout=15").args(line.split_whitespace()),
            LIMIT,
        )
    }

    /// Runs `ovs-appctl` on the switch with the words of `line`: `fdb/show br1`, for one.
    ///
    /// # Errors
    ///
    /// If it fails, with what it said.
    pub fn appctl(&self, line: &str) -> Result<String> {
        let mut command = self.files.command("usr/bin/ovs-appctl");
        command.arg("-t").arg(self.folder.join("vs.ctl"));
        must(command.args(line.split_whitespace()), LIMIT)
    }

    fn underlay(&mut self) -> Result<()> {
        let (host, interface) = (&self.host, Host::UNDERLAY);
        let address = host.address();
        host.ip(&format!("addr flush dev {interface}"))?;
        self.bridge("br-phy", &[interface])?;
        host.ip(&format!("addr add {address}/24 dev br-phy"))?;
        host.ip("link set br-phy up mtu 1600")?;
        if !self.switch.lives() {
            bail!("ovs-vswitchd ended");
        }
        Ok(())
    }
}

fn daemon(
    host: &Host,
    files: &OvsFiles,
    folder: &Path,
    program: &str,
    args: &[String],
) -> Result<Running> {
    let name = Path::new(program)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut command = host.command(files.root.join(program));
    files.add_libraries(&mut command);
    command
        .env("OVS_RUNDIR", folder)
        .env("OVS_LOGDIR", folder)
        .args(args);
    command.arg(format!(
        "--pidfile={}",
        folder.join(format!("{name}.pid")).display()
    ));
    Running::start(&name, command, folder)
}
