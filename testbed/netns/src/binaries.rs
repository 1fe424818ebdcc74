//! Where the programs under test lie.

use anyhow::{Context as _, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// From now on programs are taken from `folder` and nowhere else.
///
/// # Errors
///
/// If another folder was chosen before.
pub fn use_binaries(folder: &Path) -> Result<()> {
    if CHOSEN.get_or_init(|| folder.to_owned()) != folder {
        bail!("programs are taken from another folder already");
    }
    Ok(())
}

/// The program called `name`: from the [chosen](use_binaries) folder or the one `GREYHOUND_BIN`
/// names, or else the one built last of those in the target folder this program was built into.
///
/// # Errors
///
/// If there is none.
pub fn binary(name: &str) -> Result<PathBuf> {
    let chosen = CHOSEN.get().cloned();
    let folders = match chosen.or_else(|| env::var_os("GREYHOUND_BIN").map(PathBuf::from)) {
        Some(folder) => vec![folder],
        None => ["release", "debug"]
            .map(|profile| target_dir().join(profile))
            .to_vec(),
    };
    let built = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .filter(|path| path.is_file());
    let Some(newest) = found.max_by_key(built) else {
        bail!("{name} is not built; looked in {folders:?}. Build it, or set GREYHOUND_BIN");
    };
    newest
        .canonicalize()
        .with_context(|| format!("{}", newest.display()))
}

/// Cargo's target folder, as seen from the running program: `target/<profile>/[deps/]program`.
pub fn target_dir() -> PathBuf {
    let mut path = env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.pop();
    path
}
