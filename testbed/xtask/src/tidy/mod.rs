//! The house rules, proved: what neither the compiler nor clippy looks at.
//!
//! - [`arrows`]: who may know whom, and what the pure crates must not touch;
//! - [`shape`]: sizes, words, `unsafe`, what stands at the top of the repository;
//! - [`drops`]: every reason to drop a packet is met in a test;
//! - [`licences`]: what we stand on may be used as we use it, and comes from where all can get it.
//!
//! A finding says where, and what to do.

mod arrows;
mod code;
mod drops;
mod licences;
mod shape;

use crate::root;
use anyhow::{Context as _, Result};
use netns::run_bounded;
use serde_json::Value;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Something that is not as the house rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// The file, and the line where there is one.
    at: String,
    /// What is wrong and what to do.
    what: String,
}

impl Finding {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            what: what.into(),
        }
    }

    /// `line` counts from 0, as iterators do.
    fn in_line(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{path}:{}", line + 1), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// One text file of the repository.
#[derive(Clone, Debug)]
struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }
}

/// Proves the house; whether it is as it should be.
pub(crate) fn run() -> Result<bool> {
    let root = root()?;
    let sources = sources(&root)?;
    let metadata = metadata(&root)?;
    let mut top: Vec<String> = fs::read_dir(&root)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    top.sort();
    let deny = fs::read_to_string(root.join("deny.toml")).unwrap_or_default();

    let mut findings = arrows::check(&metadata);
    findings.extend(arrows::check_sources(&sources));
    findings.extend(shape::check(&sources));
    findings.extend(shape::check_top(&top));
    findings.extend(drops::check(&sources));
    findings.extend(licences::check(&metadata, &deny));
    findings.extend(licences::check_origins(&sources));
    for finding in &findings {
        println!("{finding}");
    }
    let rust = sources.iter().filter(|source| source.is_rust()).count();
    println!(
        "tidy: {} findings in {} files, {rust} of them Rust",
        findings.len(),
        sources.len()
    );
    Ok(findings.is_empty())
}

/// Every text file that is committed, or would be.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = run_bounded(&mut git, Duration::from_secs(30))?;
    let mut sources = Vec::new();
    for path in listed.stdout.lines() {
        // What is no text is no source; what is listed and not there is just being deleted.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            sources.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    anyhow::ensure!(
        !sources.is_empty(),
        "git lists no files: {}",
        listed.stderr.trim()
    );
    Ok(sources)
}

fn metadata(root: &Path) -> Result<Value> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--quiet"]);
    let said = run_bounded(&mut cargo, Duration::from_mins(5))?;
    serde_json::from_str(&said.stdout).with_context(|| format!("cargo metadata: {}", said.stderr))
}
