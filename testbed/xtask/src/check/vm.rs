//! The matrix of tunnels once more, against the kernel's own GRE: `netns`' `gh-kernel`.
//!
//! A step by itself, since it needs a machine: 60 MB of Debian packages, unpacked below the target
//! folder, and emulated. `check --vm` takes it in; without, nothing of it is fetched.

use super::{Tally, build, counted_from};
use crate::needs;
use anyhow::Result;
use netns::target_dir;
use std::process::Command;

/// Fetches the machine, builds what is tried against it, and runs every row.
pub(super) fn run() -> Result<Tally> {
    needs::for_machine()?;
    let built = build()?;
    if built.failed > 0 {
        return Ok(built);
    }
    let release = target_dir().join("release");
    let mut rows = Command::new(release.join("gh-kernel"));
    rows.env("GREYHOUND_BIN", release);
    counted_from(&mut rows)
}
