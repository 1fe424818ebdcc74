//! Open vSwitch as a function from frames to frames.
//!
//! ```text
//!            int-br: g1, g2, …          br0: p0
//!  guest ──▶ g1 ─┐                      ┌─ p0 ◀──▶ underlay
//!                ├─ NORMAL ─ gre1, … ───┤
//!  guest ◀── g2 ─┘   (tnl_push, tnl_pop)└─ br0, which has the endpoint's addresses
//! ```
//!
//! `ovs-vswitchd --enable-dummy` has devices that are nothing but queues: frames are put in by
//! `netdev-dummy/receive` and written to a pcap file when they are sent. All between the two is the
//! userspace datapath as it is in production. Its flow table is given no room, so that each
//! frame is translated anew: what was learned from one frame holds for the next.

use crate::control::ask;
use crate::files::Files;
use crate::hex;
use crate::pcap::Growing;
use anyhow::{Context as _, Result, bail, ensure};
use netns::{run_bounded, until};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long its programs may take to start, or to do what they are told.
const LIMIT: Duration = Duration::from_secs(20);

/// The bridge of the guests, the underlay's bridge, and its device.
const GUESTS: &str = "int-br";
const UNDERLAY: &str = "br0";
const DEVICE: &str = "p0";

/// A frame that left, and the port it left by: a guest's, or `p0`.
pub type Output = (String, Vec<u8>);

/// What one Open vSwitch is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The address of its underlay bridge.
    pub mac: [u8; 6],
    /// Its end of every tunnel: one for each IP version it is to speak, with the prefix's length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Whom it need not ask for: addresses on the underlay, and where they are.
    pub neighbours: Vec<(IpAddr, [u8; 6])>,
    /// The names of its guests' ports.
    pub guests: Vec<String>,
    /// MTU of the underlay's device, in bytes.
    pub mtu: u32,
}

/// What the key of a tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keyed {
    /// There is none: the K bit is not set.
    No,
    /// This one, both ways.
    By(u32),
}

/// A GRE tunnel, in the words of `ovs-vswitchd.conf.db(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The peer.
    pub remote: IpAddr,
    /// `key`.
    pub key: Keyed,
    /// `csum`: whether sent packets carry a checksum.
    pub checksum: bool,
    /// `seq`: whether sent packets carry a sequence number.
    pub sequence: bool,
    /// `df_default`: whether sent packets must not be fragmented.
    pub dont_fragment: bool,
    /// `tos`: of sent packets, its ECN bits 0; none means that the inner packet's is copied.
    pub tos: Option<u8>,
    /// `ttl` of sent packets.
    pub ttl: u8,
}

impl Tunnel {
    /// A tunnel to `remote` with `key`, and as few options as there can be.
    pub fn new(remote: IpAddr, key: Keyed) -> Self {
        Self {
            remote,
            key,
            checksum: false,
            sequence: false,
            dont_fragment: true,
            tos: Some(0),
            ttl: 64,
        }
    }

    /// As `ovs-vsctl set interface` takes it.
    fn words(&self) -> String {
        let mut words = format!(
            "options:remote_ip=\"{}\" options:csum={} options:seq={} options:df_default={}",
            self.remote, self.checksum, self.sequence, self.dont_fragment
        );
        let tos = self.tos.map_or("inherit".to_owned(), |tos| tos.to_string());
        // Writing to a string does not fail.
        let _ = write!(words, " options:tos={tos} options:ttl={}", self.ttl);
        if let Keyed::By(key) = self.key {
            let _ = write!(words, " options:key={key}");
        }
        words
    }
}

/// One running Open vSwitch. Dropped, it is killed, and its files are removed.
///
/// It does not outlive the thread that started it.
pub struct Dummy {
    // Dropped in this order: the switch before its database, and its folder last.
    switch: Daemon,
    _database: Daemon,
    files: Files,
    ports: Vec<(String, Growing)>,
    tunnels: u32,
    folder: TempDir,
}

impl Dummy {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// If there is no Open vSwitch, or it does not come up.
    pub fn start(setup: &Setup) -> Result<Self> {
        let files = Files::find()?;
        let folder = tempfile::Builder::new().prefix("gh-judge-").tempdir()?;
        let at = |file: &str| folder.path().join(file).display().to_string();
        let schema = files.path("usr/share/openvswitch/vswitch.ovsschema");
        let mut create = files.command("usr/bin/ovsdb-tool", folder.path());
        must(create.arg("create").arg(at("conf.db")).arg(schema))?;

        let mut database = files.command("usr/sbin/ovsdb-server", folder.path());
        database
            .arg(at("conf.db"))
            .arg(format!("--remote=punix:{}", at("db.sock")))
            .arg(format!("--unixctl={}", at("db.ctl")));
        let mut database = Daemon::start("ovsdb-server", database, folder.path())?;
        database.listens(&folder.path().join("db.sock"))?;

        // `system`: only the kernel's own device types are replaced by dummies, so that `gre` is
        // still GRE. No route of this machine's is taken over.
        let mut switch = files.command("usr/lib/openvswitch-switch/ovs-vswitchd", folder.path());
        switch
            .arg(format!("unix:{}", at("db.sock")))
            .arg(format!("--unixctl={}", at("vs.ctl")))
            .args([
                "--enable-dummy=system",
                "--disable-system",
                "--disable-system-route",
            ]);
        let mut switch = Daemon::start("ovs-vswitchd", switch, folder.path())?;
        switch.listens(&folder.path().join("vs.ctl"))?;

        let mut this = Self {
            switch,
            _database: database,
            files,
            ports: Vec::new(),
            tunnels: 0,
            folder,
        };
        this.wire(setup)?;
        Ok(this)
    }

    /// Makes the bridges, the devices and the addresses.
    fn wire(&mut self, setup: &Setup) -> Result<()> {
        let bridge = |name: &str| {
            format!("add-br {name} -- set bridge {name} datapath_type=dummy fail-mode=standalone")
        };
        let mac = shown(setup.mac);
        let mut lines = vec![
            // No flow is kept: each frame is looked at as if it were the first. Two VLAN tags.
            "init -- set Open_vSwitch . other_config:flow-limit=0 other_config:vlan-limit=2"
                .to_owned(),
            format!("{} other-config:hwaddr={mac}", bridge(UNDERLAY)),
            bridge(GUESTS),
            self.device(UNDERLAY, DEVICE, setup.mtu),
        ];
        for guest in &setup.guests {
            lines.push(self.device(GUESTS, guest, 1500));
        }
        self.vsctl(&lines.join(" -- "))?;
        for port in std::iter::once(DEVICE).chain(setup.guests.iter().map(String::as_str)) {
            let recorded = Growing::open(&self.pcap(port))
                .with_context(|| format!("{port} was not made: {}", self.switch.said()))?;
            self.ports.push((port.to_owned(), recorded));
        }
        for (address, prefix) in &setup.addresses {
            let command = if address.is_ipv4() {
                "ip4addr"
            } else {
                "ip6addr"
            };
            let (command, network) = (
                format!("netdev-dummy/{command}"),
                format!("{address}/{prefix}"),
            );
            self.appctl(&command, &[UNDERLAY, &network])?;
            self.appctl("ovs/route/add", &[&network, UNDERLAY])?;
        }
        for (address, mac) in &setup.neighbours {
            let words = [UNDERLAY, &address.to_string(), &shown(*mac)];
            self.appctl("tnl/neigh/set", &words)?;
        }
        Ok(())
    }

    /// The words that make a dummy device with its pcap file.
    fn device(&self, bridge: &str, name: &str, mtu: u32) -> String {
        format!(
            "add-port {bridge} {name} -- set interface {name} type=dummy mtu_request={mtu} \
             options:tx_pcap={}",
            self.pcap(name).display()
        )
    }

    fn pcap(&self, port: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{port}.pcap"))
    }

    /// Adds a tunnel to the guests' network; returns its port's name.
    ///
    /// # Errors
    ///
    /// If it is not taken, and what is said to that.
    pub fn tunnel(&mut self, tunnel: &Tunnel) -> Result<String> {
        self.tunnels += 1;
        let name = format!("gre{}", self.tunnels);
        let words = tunnel.words();
        self.vsctl(&format!(
            "add-port {GUESTS} {name} -- set interface {name} type=gre {words}"
        ))?;
        let error = self.vsctl(&format!("get interface {name} error"))?;
        ensure!(error.trim() == "[]", "{name}: {}", error.trim());
        Ok(name)
    }

    /// Makes the tunnel called `name` another one, and forgets who was behind it.
    ///
    /// # Errors
    ///
    /// If the switch is gone.
    pub fn change(&mut self, name: &str, tunnel: &Tunnel) -> Result<()> {
        let words = tunnel.words();
        self.vsctl(&format!(
            "clear interface {name} options -- set interface {name} {words}"
        ))?;
        self.forget()
    }

    /// Forgets every station.
    ///
    /// # Errors
    ///
    /// If the switch is gone.
    pub fn forget(&mut self) -> Result<()> {
        self.appctl("fdb/flush", &[]).map(|_| ())
    }

    /// Where its files lie, until it is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `frame` arrives from the underlay; returns all that leaves.
    ///
    /// # Errors
    ///
    /// If `frame` is shorter than an Ethernet header, which no dummy takes; if the switch is gone.
    pub fn underlay(&mut self, frame: &[u8]) -> Result<Vec<Output>> {
        self.feed(DEVICE, frame)
    }

    /// A guest sends `frame`; returns all that leaves.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn guest(&mut self, port: &str, frame: &[u8]) -> Result<Vec<Output>> {
        self.feed(port, frame)
    }

    fn feed(&mut self, port: &str, frame: &[u8]) -> Result<Vec<Output>> {
        ensure!(frame.len() >= 14, "no dummy takes {} bytes", frame.len());
        self.appctl("netdev-dummy/receive", &[port, &hex(frame)])?;
        // Answered a round later, when the frame has been through: see `ask`.
        self.appctl("version", &[])?;
        let mut left = Vec::new();
        for (name, recorded) in &mut self.ports {
            let frames = recorded.frames()?.into_iter();
            left.extend(frames.map(|frame| (name.clone(), frame)));
        }
        Ok(left)
    }

    /// Runs `ovs-vsctl` with the words of `line`, and waits until the switch has done it.
    ///
    /// # Errors
    ///
    /// If it fails, with what it said.
    pub fn vsctl(&self, line: &str) -> Result<String> {
        let mut command = self.files.command("usr/bin/ovs-vsctl", self.folder.path());
        let socket = self.folder.path().join("db.sock");
        command.arg(format!("--db=unix:{}", socket.display()));
        must(command.arg("--timeout=15").args(line.split_whitespace()))
    }

    /// Asks the switch, as `ovs-appctl` would.
    ///
    /// # Errors
    ///
    /// If it says no, or says nothing in time.
    pub fn appctl(&self, method: &str, words: &[&str]) -> Result<String> {
        ask(&self.folder.path().join("vs.ctl"), method, words).with_context(|| self.switch.said())
    }
}

/// A program that runs until it is dropped.
struct Daemon {
    child: Child,
    log: std::path::PathBuf,
}

impl Daemon {
    fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let said = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, log })
    }

    /// Waits until there is a socket.
    fn listens(&mut self, socket: &Path) -> Result<()> {
        let what = format!("{} is there", socket.display());
        until(&what, LIMIT, || {
            socket.exists() || !matches!(self.child.try_wait(), Ok(None))
        })?;
        if !socket.exists() {
            bail!("it ended at once: {}", self.said());
        }
        Ok(())
    }

    /// What it said last.
    fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let last = bytes.len().saturating_sub(2000);
        format!("it said: …{}", String::from_utf8_lossy(&bytes[last..]))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // That it is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn must(command: &mut Command) -> Result<String> {
    let finished = run_bounded(command, LIMIT)?;
    let (said, complained) = (finished.stdout, finished.stderr);
    ensure!(
        finished.status.success(),
        "{command:?}: {}: {said}{complained}",
        finished.status
    );
    Ok(said)
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
