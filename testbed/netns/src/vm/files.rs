//! What a machine is made of: Debian's packages, unpacked and not installed.

use crate::binaries::target_dir;
use crate::command::run_bounded;
use anyhow::{Context as _, Result, bail, ensure};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// QEMU, a kernel with its modules, a busybox, and Open vSwitch: below one folder, or the
/// machine's own where it has them.
///
/// Installed, a kernel would want to be booted, and a switch would start.
#[derive(Clone, Debug)]
pub struct MachineFiles {
    root: PathBuf,
}

impl MachineFiles {
    /// The Debian packages whose files these are.
    pub const PACKAGES: [&str; 4] = [
        "qemu-system-x86",
        "linux-image-cloud-amd64",
        "busybox-static",
        "openvswitch-switch",
    ];

    /// Where they are looked for: `<target>/peers/machine`.
    pub fn folder() -> PathBuf {
        target_dir().join("peers/machine")
    }

    /// Finds them.
    ///
    /// # Errors
    ///
    /// If they are not whole: `cargo xtask check --only vm` fetches them.
    pub fn find() -> Result<Self> {
        let this = Self {
            root: Self::folder(),
        };
        this.check().with_context(|| {
            let root = this.root.display();
            format!("no machine in {root}; cargo xtask check --only vm fetches one")
        })?;
        Ok(this)
    }

    fn check(&self) -> Result<()> {
        for file in [
            "bin/busybox",
            "usr/sbin/ovsdb-server",
            "usr/share/openvswitch/vswitch.ovsschema",
        ] {
            self.file(file)?;
        }
        let (kernel, _) = self.kernel()?;
        ensure!(kernel.is_file(), "no {}", kernel.display());
        let said = run_bounded(self.qemu()?.arg("--version"), LIMIT)?;
        ensure!(said.status.success(), "qemu: {}", said.stderr.trim());
        Ok(())
    }

    /// QEMU, that finds its libraries and firmware.
    pub(super) fn qemu(&self) -> Result<Command> {
        let mut command = Command::new(self.file("usr/bin/qemu-system-x86_64")?);
        self.add_libraries(&mut command);
        for folder in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(folder));
        }
        Ok(command)
    }

    /// The kernel, and the folder of its modules: the newest of those whose package this is.
    pub(super) fn kernel(&self) -> Result<(PathBuf, PathBuf)> {
        for root in self.places() {
            let modules = root.join("lib/modules");
            let names = fs::read_dir(&modules).into_iter().flatten().flatten();
            let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            if let Some(name) = names.filter(|name| name.ends_with("-cloud-amd64")).max() {
                let kernel = root.join(format!("boot/vmlinuz-{name}"));
                return Ok((kernel, modules.join(name)));
            }
        }
        bail!("no *-cloud-amd64 in lib/modules of {:?}", self.places())
    }

    /// A file by its path below the root: unpacked, or the machine's own.
    pub(super) fn file(&self, path: &str) -> Result<PathBuf> {
        let places = self.places().map(|root| root.join(path));
        let found = places.iter().find(|place| place.is_file());
        Ok(found
            .with_context(|| format!("no file {places:?}"))?
            .clone())
    }

    /// Shared libraries that `program` needs, by `ldd`.
    pub(super) fn libraries(&self, program: &Path) -> Result<Vec<PathBuf>> {
        let mut ldd = Command::new("ldd");
        self.add_libraries(&mut ldd);
        let said = run_bounded(ldd.arg(program), LIMIT)?;
        ensure!(
            said.status.success() && !said.stdout.contains("not found"),
            "ldd {}: {}{}",
            program.display(),
            said.stdout,
            said.stderr
        );
        let words = said.stdout.split_whitespace();
        Ok(words
            .filter(|word| word.starts_with('/'))
            .map(PathBuf::from)
            .collect())
    }

    /// What was not unpacked was installed already.
    fn places(&self) -> [&Path; 2] {
        [&self.root, Path::new("/")]
    }

    fn add_libraries(&self, command: &mut Command) {
        let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        let path = env::join_paths(folders.map(|folder| self.root.join(folder)));
        command.env("LD_LIBRARY_PATH", path.unwrap_or_else(|_| OsString::new()));
    }
}
