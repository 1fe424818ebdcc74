//! One emulated machine, and its shell.

use super::files::MachineFiles;
use super::initramfs;
use crate::lab::Host;
use crate::running::Running;
use crate::wait::until;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a boot may take; 4 to 8 s are usual on an idle machine.
const BOOT: Duration = Duration::from_mins(2);

/// How long one line may take in its shell.
const LINE: Duration = Duration::from_mins(1);

/// What ends the answer to a line, with the status behind it.
const DONE: &str = "::done ";

/// The MTU of the machine's interface and of its way into the lab, in bytes.
const MTU: u32 = 1600;

/// A machine with a stock kernel in the place of a host. Dropped, it is switched off.
pub struct Machine {
    qemu: Running,
    shell: BufReader<UnixStream>,
    console: PathBuf,
}

impl Machine {
    /// Boots it behind `host`, which must be wired: the host's underlay becomes a port of a bridge
    /// whose other port is the machine's `eth0`. The host's own address is given up; the machine
    /// may have it.
    ///
    /// The machine finishes its checksums itself: what a card would do is switched off.
    ///
    /// # Errors
    ///
    /// If it does not boot in two minutes, with the last it said.
    pub fn boot(files: &MachineFiles, host: &Host) -> Result<Self> {
        let folder = host.folder();
        fs::create_dir_all(&folder)?;
        let [archive, console, socket] =
            ["root.cpio", "console", "shell.sock"].map(|name| folder.join(name));
        fs::write(&archive, initramfs::build(files)?)?;
        let under = Host::UNDERLAY;
        host.ip(&format!("addr flush dev {under}"))?;
        host.ip("link add br0 type bridge")?;
        host.ip(&format!("link set br0 up mtu {MTU}"))?;
        host.ip(&format!("link set {under} master br0"))?;

        let qemu = files.qemu()?;
        let mut command = host.command(qemu.get_program());
        for (name, value) in qemu.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.args(qemu.get_args());
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-machine",
            "pc,accel=tcg",
            "-m",
            "512",
            "-smp",
            "1",
        ]);
        command.arg("-kernel").arg(files.kernel()?.0);
        command.arg("-initrd").arg(&archive);
        // A kernel that panics reboots, and QEMU ends instead: that is seen.
        command.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]);
        command
            .arg("-serial")
            .arg(format!("file:{}", console.display()));
        let path = socket.display();
        command
            .arg("-chardev")
            .arg(format!("socket,id=shell,path={path},server=on,wait=off"));
        command.args(["-serial", "chardev:shell"]);
        // No vhost: this kernel may have none. No vnet_hdr: whole checksums, no frames of 64 KiB.
        let tap = "tap,id=net,ifname=vm0,script=no,downscript=no,vhost=off,vnet_hdr=off";
        command.args(["-netdev", tap]);
        let card =
            format!("virtio-net-pci,netdev=net,mac=02:77:00:00:00:02,romfile=,host_mtu={MTU}");
        command.args(["-device", &card]);

        let mut qemu = Running::start("qemu", command, &folder)?;
        until("qemu has made its tap and its socket", BOOT, || {
            !qemu.lives() || (socket.exists() && host.ip("link show vm0").is_ok())
        })?;
        if !qemu.lives() {
            return Err(qemu.complaint("it ended at its start"));
        }
        let shell = UnixStream::connect(&socket).context("qemu's socket")?;
        host.ip(&format!("link set vm0 master br0 up mtu {MTU}"))?;
        let mut this = Self {
            qemu,
            shell: BufReader::new(shell),
            console,
        };
        this.answer(BOOT).context("the machine has not booted")?;
        this.run(&format!(
            "ethtool -K eth0 tx off >/dev/null && ip link set eth0 up mtu {MTU}"
        ))?;
        Ok(this)
    }

    /// Gives its shell a line; returns what it printed.
    ///
    /// # Errors
    ///
    /// If it fails, with what it said; if it is not done in a minute; if the machine is gone.
    pub fn run(&mut self, line: &str) -> Result<String> {
        ensure!(!line.contains('\n'), "one line at a time: {line:?}");
        writeln!(self.shell.get_mut(), "{line}").context("the machine is gone")?;
        let (status, said) = self
            .answer(LINE)
            .with_context(|| format!("machine: {line}"))?;
        ensure!(
            status == 0,
            "machine: {line}: status {status}: {}",
            said.trim()
        );
        Ok(said)
    }

    /// What the kernel and the first program have said: for when something went wrong.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Reads on to the end of an answer: its status, and all that came before.
    fn answer(&mut self, limit: Duration) -> Result<(i32, String)> {
        let end = Instant::now() + limit;
        let (mut said, mut line) = (String::new(), Vec::new());
        self.shell
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(500)))?;
        loop {
            match self.shell.read_until(b'\n', &mut line) {
                Ok(0) => bail!("the machine is gone; {}", self.last_words()),
                Ok(_) if line.ends_with(b"\n") => {}
                Ok(_) => continue,
                // What has come of a line stays in `line`.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() > end || !self.qemu.lives() {
                        bail!("no end after {limit:?}: {said:?}; {}", self.last_words());
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if let Some(status) = text.strip_prefix(DONE) {
                return Ok((status.trim().parse()?, said));
            }
            said.push_str(&text);
        }
    }

    fn last_words(&self) -> String {
        let console = self.console();
        let from = console
            .char_indices()
            .rev()
            .nth(1500)
            .map_or(0, |(at, _)| at);
        self.qemu
            .complaint(&format!("its console ends {:?}", &console[from..]))
            .to_string()
    }
}
