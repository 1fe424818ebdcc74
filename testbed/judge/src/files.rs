//! Where an Open vSwitch lies, and how its programs are run from there.

use anyhow::{Context as _, Result};
use netns::{OvsFiles, target_dir};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An Open vSwitch that runs.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
    libraries: Option<PathBuf>,
}

impl Files {
    /// Looks where `netns` looks: on the machine, in `$GREYHOUND_OVS`, and where xtask unpacks it.
    pub(crate) fn find() -> Result<Self> {
        let unpacked = env::var_os("GREYHOUND_OVS").map(PathBuf::from);
        let unpacked = unpacked.unwrap_or_else(|| target_dir().join("peers/openvswitch"));
        let candidates = [PathBuf::from("/"), unpacked];
        let found = candidates
            .iter()
            .find(|root| OvsFiles::unpacked(root).works());
        let root = found.with_context(|| {
            format!("no Open vSwitch in {candidates:?}; cargo xtask check --only needs fetches it")
        })?;
        let folders = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
        let mut folders = folders.iter().map(|folder| root.join(folder));
        let libraries = folders.find(|folder| root != Path::new("/") && folder.is_dir());
        Ok(Self {
            root: root.clone(),
            libraries,
        })
    }

    /// A file that came with it.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// One of its programs, with all that it writes in `folder`. It ends with the thread that
    /// starts it, however that ends.
    pub(crate) fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        command.arg(self.path(program));
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(name, folder);
        }
        command
    }
}
