//! What a fresh Debian has to fetch, and what for. Said before it is done, and only if missing.
//!
//! Open Vswitch is the exception: its packages are unpacked below the target folder and not
//! installed, because installing them starts a switch on the machine. So is all that an emulated
//! machine is made of, a kernel among it.

use anyhow::{Context as _, Result, bail, ensure};
use netns::vm::MachineFiles;
use netns::{OvsFiles, run_bounded, target_dir};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A Debian package, and what it is for.
type Package = (&'static str, &'static str);

/// For every lab: what the namespaces are made with, and what runs in them.
const LAB: [Package; 4] = [
    ("iproute2", "network namespaces and their links"),
    ("ethtool", "switching guests' offloads off"),
    ("iputils-ping", "ping between guests"),
    ("iperf3", "TCP and UDP between guests"),
];

/// For the check only.
const CHECK: [Package; 4] = [
    ("iputils-tracepath", "what a guest learns of the MTU"),
    ("python3-scapy", "packets that we did not write"),
    (
        "clang-14",
        "building the XDP program again, to compare it with the committed object",
    ),
    ("g++", "linking libFuzzer"),
];

/// Lists of packages older than this are fetched again before anything is installed.
const LISTS_GOOD_FOR: Duration = Duration::from_hours(24);

const SMALL: Duration = Duration::from_secs(30);
const APT: Duration = Duration::from_mins(10);

/// Fetches what the demo needs.
pub(crate) fn for_demo() -> Result<()> {
    root_only()?;
    install(&LAB)
}

/// Fetches what the check needs.
pub(crate) fn for_check() -> Result<()> {
    root_only()?;
    components()?;
    install(&[&LAB[..], &CHECK[..]].concat())?;
    open_vswitch()
}

fn root_only() -> Result<()> {
    let uid = run_bounded(Command::new("id").arg("-u"), SMALL)?.stdout;
    ensure!(
        uid.trim() == "0",
        "this makes network namespaces and loads XDP programs: run it as root"
    );
    Ok(())
}

/// rustfmt and clippy, which a minimal toolchain has not got.
fn components() -> Result<()> {
    for (component, tool) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let works = || {
            let tried = run_bounded(Command::new("cargo").args([tool, "--version"]), SMALL);
            tried.is_ok_and(|finished| finished.status.success())
        };
        if works() {
            continue;
        }
        println!("needs: the toolchain has no {component}; asking rustup for it");
        let mut rustup = Command::new("rustup");
        let added = run_bounded(rustup.args(["component", "add", component]), APT);
        let why = || format!("there is no {component}, and rustup could not add it");
        let added = added.with_context(why)?;
        ensure!(works(), "{}: {}", why(), added.stderr.trim());
    }
    Ok(())
}

fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|(name, _)| !is_installed(name))
        .collect();
    if missing.is_empty() {
        println!("needs: all {} packages are there", packages.len());
        return Ok(());
    }
    println!("needs: installing {} Debian packages:", missing.len());
    for (name, why) in &missing {
        println!("  {name:<14} {why}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    update_lists()?;
    apt(&["install", "-y", "--no-install-recommends"], &names)?;
    let still: Vec<&str> = names
        .into_iter()
        .filter(|name| !is_installed(name))
        .collect();
    ensure!(
        still.is_empty(),
        "apt-get said yes, but these are not installed: {}",
        still.join(" ")
    );
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    let said = run_bounded(
        query.args(["-W", "-f", "${db:Status-Status}", package]),
        SMALL,
    );
    said.is_ok_and(|said| said.stdout == "installed")
}

/// Fetches the lists of packages if they are old or not there.
fn update_lists() -> Result<()> {
    let lists = fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten();
    let packages = lists.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    let changed = packages
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max();
    let age = changed.and_then(|at| SystemTime::now().duration_since(at).ok());
    if age.is_some_and(|age| age < LISTS_GOOD_FOR) {
        return Ok(());
    }
    println!("needs: fetching apt's lists of packages");
    apt(&["update"], &[])
}

fn apt(words: &[&str], packages: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-o", "Dpkg::Use-Pty=0"])
        .args(words)
        .args(packages);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    let finished = run_bounded(&mut apt, APT).context("this needs Debian's apt-get")?;
    if !finished.status.success() {
        let said = format!("{}{}", finished.stdout, finished.stderr);
        let wanted = if packages.is_empty() {
            String::new()
        } else {
            format!(" {}", packages.join(" "))
        };
        bail!(
            "apt-get {}{wanted} failed; is the machine online? It said:\n{said}",
            words[0]
        );
    }
    Ok(())
}

/// Debian's Open vSwitch, unpacked below the target folder.
fn open_vswitch() -> Result<()> {
    if OvsFiles::find().is_ok() {
        println!("needs: Open vSwitch is there");
        return Ok(());
    }
    let root = target_dir().join("peers/openvswitch");
    println!(
        "needs: unpacking Debian's openvswitch-switch into {}",
        root.display()
    );
    println!("  the other host of the interop tests; not installed: that would start it here");
    unpack_all(&["openvswitch-switch"], &root)?;
    ensure!(
        OvsFiles::unpacked(&root).works(),
        "Open vSwitch does not start from {}",
        root.display()
    );
    Ok(())
}

/// What an emulated machine is made of, unpacked below the target folder.
pub(crate) fn for_machine() -> Result<()> {
    root_only()?;
    install(&LAB)?;
    if MachineFiles::find().is_ok() {
        println!("needs: the machine is there");
        return Ok(());
    }
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the machine is an x86-64 one, and runs this machine's `ip` and `tc`: it needs x86-64"
    );
    let root = MachineFiles::folder();
    println!("needs: unpacking into {}:", root.display());
    println!("  {}", MachineFiles::PACKAGES.join(" "));
    println!("  not installed: a kernel would want to be booted");
    if root.exists() {
        fs::remove_dir_all(&root)?; // half of one, or an older one
    }
    unpack_all(&MachineFiles::PACKAGES, &root)?;
    MachineFiles::find().map(|_| ())
}

/// Fetches Debian `packages` and what of their dependencies is not installed, and unpacks all of
/// it below `root`.
fn unpack_all(packages: &[&str], root: &Path) -> Result<()> {
    let archives = root.with_extension("archives");
    fs::create_dir_all(archives.join("partial"))?;
    update_lists()?;
    let cache = format!("Dir::Cache::archives={}", archives.display());
    let words = [
        "install",
        "-y",
        "--no-install-recommends",
        "--download-only",
        "-o",
        &cache,
    ];
    apt(&words, packages)?;
    fs::create_dir_all(root)?;
    for entry in fs::read_dir(&archives)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack(&path, root)?;
        }
    }
    Ok(fs::remove_dir_all(&archives)?)
}

fn unpack(package: &Path, into: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb");
    unpack
        .arg("-x")
        .arg(package)
        .arg(into)
        .stdout(Stdio::null());
    let finished = run_bounded(&mut unpack, SMALL)?;
    ensure!(
        finished.status.success(),
        "{}: {}",
        package.display(),
        finished.stderr.trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_told_from_what_is_not() {
        assert!(is_installed("dpkg"));
        assert!(!is_installed("no-such-package-of-ours"));
    }

    #[test]
    fn no_package_is_asked_for_twice() {
        let mut names: Vec<_> = LAB.iter().chain(&CHECK).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LAB.len() + CHECK.len());
    }
}
