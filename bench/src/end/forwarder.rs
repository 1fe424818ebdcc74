//! Whoever forwards: started, made to take turns, and measured.

use crate::Options;
use crate::end::far::{FarArgs, GUEST, Order, Seen, UNDER};
use crate::end::{Kind, Way};
use anyhow::{Context as _, Result, bail, ensure};
use netns::{Greyhound, Host, Lab, Ovs, OvsFiles, Running, program, until};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The core that forwards.
pub(crate) const CORE: usize = 0;
/// The forwarder's end of the guest's veth.
const PORT: &str = "p-guest";
const VNET: u32 = bench::load::VNET.0;
const LIMIT: Duration = Duration::from_secs(20);

/// One forwarder on its own veths. It stands still but for its turns.
pub(crate) struct Forwarder {
    kind: Kind,
    /// Why its programs run: they end with it.
    part: Part,
    pid: u32,
    far: Far,
    facts: Value,
}

enum Part {
    Greyhound(Box<Greyhound>),
    Bare(Running),
    Ovs(Box<Ovs>),
}

/// The process at the far ends.
struct Far {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Those that run, and each that could not be run with the reason.
type Started = (Vec<Forwarder>, Vec<(Kind, String)>);

/// Starts all that are asked for.
pub(crate) fn start_all(lab: &mut Lab, options: &Options) -> Result<Started> {
    let (mut forwarders, mut missing) = (Vec::new(), Vec::new());
    for (number, kind) in Kind::ALL.iter().enumerate() {
        if !options.only.is_empty() && !options.only.contains(kind) {
            continue;
        }
        match Forwarder::start(lab, *kind, number, options) {
            Ok(forwarder) => {
                println!("{kind}: ready; {}", forwarder.facts);
                forwarders.push(forwarder);
            }
            Err(error) => {
                println!("{kind}: cannot be run: {error:#}");
                missing.push((*kind, format!("{error:#}")));
            }
        }
    }
    ensure!(!forwarders.is_empty(), "nobody is left to be measured");
    Ok((forwarders, missing))
}

impl Forwarder {
    fn start(lab: &mut Lab, kind: Kind, number: usize, options: &Options) -> Result<Self> {
        if matches!(kind, Kind::OvsAfxdp | Kind::OvsSystem) {
            OvsFiles::find()?;
        }
        let (here, there) = (
            lab.host(&format!("d{number}"))?,
            lab.host(&format!("f{number}"))?,
        );
        lab.wire(&[&here, &there])?;
        let guest = "02:00:00:00:00:01";
        here.ip(&format!(
            "link add {PORT} type veth peer name {GUEST} address {guest} netns {}",
            there.name()
        ))?;
        here.ip(&format!("link set {PORT} up"))?;
        there.ip(&format!("link set {GUEST} up"))?;
        let (part, pid, facts) = match kind {
            Kind::Greyhound => greyhound(&here, &there, guest)?,
            Kind::Bare => bare(&here)?,
            Kind::OvsAfxdp | Kind::OvsSystem => ovs(&here, &there, kind)?,
        };
        // Open vSwitch has the underlay's address on a bridge of its own.
        let bearer = match part {
            Part::Ovs(_) => "br-phy",
            Part::Greyhound(_) | Part::Bare(_) => UNDER,
        };
        let mac = here.exec("cat", &[format!("/sys/class/net/{bearer}/address")])?;
        let words = FarArgs::words(mac.trim(), here.address(), there.address(), options.sink);
        let far = Far::start(&there, &words)?;
        let mut this = Self {
            kind,
            part,
            pid,
            far,
            facts,
        };
        this.warm_up()?;
        Ok(this)
    }

    /// Who it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Versions and modes.
    pub(crate) fn facts(&self) -> &Value {
        &self.facts
    }

    /// Its turn.
    pub(crate) fn measure(&mut self, order: &Order) -> Result<Seen> {
        signal("CONT", self.pid)?;
        let bare = self.kind == Kind::Bare;
        let seen = self.far.ask(&Order { bare, ..*order });
        signal("STOP", self.pid)?;
        seen.with_context(|| format!("{}: {order:?}", self.kind))
    }

    /// Sends a little both ways until it arrives: stations are learned, addresses resolved. Then
    /// it stands still.
    fn warm_up(&mut self) -> Result<()> {
        for way in [Way::Encap, Way::Decap, Way::Encap] {
            let order = Order {
                way,
                length: 64,
                seconds: 0.05,
                rate: 5000,
                bare: false,
            };
            let mut last = None;
            until("what is sent arrives", LIMIT, || {
                let seen = self.measure(&order);
                let whole = matches!(&seen, Ok(seen) if seen.arrived == seen.sent);
                last = Some(seen);
                whole
            })
            .with_context(|| format!("{} {way}: {last:?}", self.kind))?;
        }
        self.alive()
    }

    fn alive(&mut self) -> Result<()> {
        let part: &mut Running = match &mut self.part {
            Part::Greyhound(greyhound) => greyhound.datapath(),
            Part::Bare(running) => running,
            Part::Ovs(_) => return Ok(()),
        };
        ensure!(part.lives(), "{}", part.complaint("it ended"));
        Ok(())
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // One that stands still does not hear a polite word.
        let _ = signal("CONT", self.pid);
        if let Part::Ovs(ovs) = &self.part {
            let _ = ovs.appctl("exit");
        }
    }
}

impl Far {
    fn start(there: &Host, words: &[String]) -> Result<Self> {
        let mut command = there.command(std::env::current_exe()?);
        command.args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the far ends")?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let (orders, answers) = orders.zip(answers).context("pipes were asked for")?;
        let mut this = Self {
            child,
            orders,
            answers: BufReader::new(answers),
        };
        let ready: String = this.answer()?;
        ensure!(ready == "ready", "{ready}");
        Ok(this)
    }

    fn ask(&mut self, order: &Order) -> Result<Seen> {
        let text = serde_json::to_string(order)?;
        writeln!(self.orders, "{text}").context("the far end is gone")?;
        self.answer()
    }

    fn answer<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "the far end has ended; its last words are above"
        );
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // That it is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn greyhound(here: &Host, there: &Host, mac: &str) -> Result<(Part, u32, Value)> {
    let mut greyhound = Greyhound::start_with(
        here,
        &netns::Options {
            cores: CORE.to_string(),
            more: vec!["--idle-after".into(), "never".into()],
        },
    )?;
    greyhound.apply(&[
        program::underlay(here.address()),
        program::network("bench", VNET),
        program::tunnel("bench-peer", VNET, there.address()),
        program::port("guest", VNET, PORT, mac),
    ])?;
    greyhound.wait_up(LIMIT)?;
    let facts = json!({
        "version": greyhound.command(&["--version"])?.stdout.trim(),
        "ports": greyhound.show("ports")?,
    });
    let pid = greyhound.datapath().pid();
    Ok((Part::Greyhound(Box::new(greyhound)), pid, facts))
}

fn bare(here: &Host) -> Result<(Part, u32, Value)> {
    let core = CORE.to_string();
    let args = ["bare", "--core", &core, PORT, UNDER];
    let mut running = here.start("bare", std::env::current_exe()?, &args)?;
    until("it forwards", LIMIT, || {
        !running.stdout().is_empty() || !running.lives()
    })?;
    if !running.lives() {
        bail!(running.complaint("it ended at its start"));
    }
    let facts = json!({"mode": running.stdout().trim().trim_matches('"')});
    let pid = running.pid();
    Ok((Part::Bare(running), pid, facts))
}

fn ovs(here: &Host, there: &Host, kind: Kind) -> Result<(Part, u32, Value)> {
    let mut ovs = Ovs::start(here)?;
    let pidfile = here.folder().join("ovs/ovs-vswitchd.pid");
    let mut pid = None;
    until("ovs-vswitchd says its number", LIMIT, || {
        let text = fs::read_to_string(&pidfile).unwrap_or_default();
        pid = text.trim().parse().ok();
        pid.is_some()
    })?;
    let pid: u32 = pid.context("it was there")?;
    ovs.bridge("br1", &[])?;
    if kind == Kind::OvsAfxdp {
        let mask = format!("{:#x}", 1 << CORE);
        ovs.vsctl(&format!(
            "set Open_vSwitch . other_config:pmd-cpu-mask={mask}"
        ))?;
        let afxdp = "type=afxdp options:n_rxq=1 options:xdp-mode=best-effort";
        ovs.vsctl(&format!("set interface {UNDER} {afxdp}"))?;
        ovs.vsctl(&format!(
            "add-port br1 {PORT} -- set interface {PORT} {afxdp}"
        ))?;
    } else {
        // Frames that are redirected to an interface are taken up by its NAPI, which runs for
        // XDP or for GRO, and here is no XDP.
        for interface in [PORT, UNDER] {
            here.exec("ethtool", &["-K", interface, "gro", "on"])?;
        }
        ovs.add_port("br1", PORT)?;
        run("taskset", &["-apc", &CORE.to_string(), &pid.to_string()])?;
    }
    ovs.tunnel("br1", VNET, there.address())?;
    let status = |interface: &str| -> Result<Value> {
        let error = ovs.vsctl(&format!("get interface {interface} error"))?;
        ensure!(error.trim() == "[]", "{interface}: {}", error.trim());
        let status = ovs.vsctl(&format!("get interface {interface} status"))?;
        Ok(json!(status.trim()))
    };
    let facts = json!({
        "version": ovs.appctl("version")?.lines().next(),
        "underlay": status(UNDER)?,
        "port": status(PORT)?,
    });
    Ok((Part::Ovs(Box::new(ovs)), pid, facts))
}

fn signal(name: &str, pid: u32) -> Result<()> {
    run("kill", &["-s", name, &pid.to_string()])
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    let finished = netns::run_bounded(command.args(args), LIMIT)?;
    ensure!(
        finished.status.success(),
        "{program} {args:?}: {}",
        finished.stderr.trim()
    );
    Ok(())
}
