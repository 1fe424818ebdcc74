//! What we stand on: under which licences, and from where.

use super::{Finding, Source};
use serde_json::Value;

/// Where every package must come from: what all can reach.
const ORIGIN: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Looks at the licence of every package, ours included, against the list in `deny`.
pub(super) fn check(metadata: &Value, deny: &str) -> Vec<Finding> {
    let allowed = allowed(deny);
    if allowed.is_empty() {
        return vec![Finding::new(
            "deny.toml",
            "there is no list `allow = [...]` of licences",
        )];
    }
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        let at = format!("{} {}", text("name"), text("version"));
        let licence = text("license");
        if licence.is_empty() {
            findings.push(Finding::new(at, "it names no licence; do not use it"));
        } else if !is_allowed(licence, &allowed) {
            let what =
                format!("{licence} is not in deny.toml; do without it, or decide and add it");
            findings.push(Finding::new(at, what));
        }
    }
    findings
}

/// Looks for packages and settings that point anywhere but to the public registry.
pub(super) fn check_origins(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let cargo = source.path.starts_with(".cargo/") || source.path.ends_with("Cargo.toml");
        let lock = source.path.ends_with("Cargo.lock");
        for (number, line) in source.text.lines().enumerate() {
            let found = |what: &str| Finding::in_line(&source.path, number, what);
            if lock && line.starts_with("source = ") && !line.contains(ORIGIN) {
                findings.push(found("this package is not from crates.io; all must be"));
            }
            let setting = [
                "[source.",
                "[source]",
                "[registries",
                "replace-with",
                "registry =",
            ];
            if cargo
                && setting
                    .iter()
                    .any(|word| line.trim_start().starts_with(word))
            {
                findings.push(found(
                    "a setting of this machine's registry; keep it in ~/.cargo",
                ));
            }
        }
    }
    findings
}

/// The list `allow` of deny.toml.
fn allowed(deny: &str) -> Vec<&str> {
    let list = deny.split("\nallow = [").nth(1).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether a licence expression (SPDX, or the old form with `/`) can be met with `allowed`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut good = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        good |= all(words, allowed);
    }
    good
}

fn all(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut good = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        good &= one(words, allowed);
    }
    good
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => any(words, allowed) && words.next() == Some(")"),
        Some(licence) if words.next_if_eq(&"WITH").is_some() => {
            let with = format!("{licence} WITH {}", words.next().unwrap_or_default());
            allowed.contains(&with.as_str())
        }
        Some(licence) => allowed.contains(&licence),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_expression_is_met_as_it_says() {
        let have = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"];
        let good = [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/MIT",
            "MIT AND Zlib",
            "(GPL-2.0 OR MIT) AND Zlib",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ];
        for expression in good {
            assert!(is_allowed(expression, &have), "{expression}");
        }
        for expression in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "(MIT",
            "",
            "MIT MIT",
        ] {
            assert!(!is_allowed(expression, &have), "{expression}");
        }
    }

    #[test]
    fn a_package_with_another_licence_or_none_is_named() {
        let deny = "[licenses]\nallow = [\n  \"MIT\", # short\n]\n";
        let package = |licence| json!({"name": "x", "version": "1.0.0", "license": licence});
        let metadata =
            json!({"packages": [package(Some("MIT")), package(Some("GPL-3.0")), package(None)]});
        let found = check(&metadata, deny);
        assert_eq!(found.len(), 2);
        assert!(
            found[0]
                .to_string()
                .starts_with("x 1.0.0: GPL-3.0 is not in deny.toml")
        );
        assert_eq!(check(&metadata, "").len(), 1);
    }

    #[test]
    fn what_comes_from_elsewhere_is_found() {
        let lock = format!("source = \"{ORIGIN}\"\nsource = \"git+https://example.org/x\"\n");
        let found = check_origins(&[Source::new("Cargo.lock", &lock)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, "Cargo.lock:2");
        let setting = "[source.crates-io]\nreplace-with = \"x\"\n";
        assert_eq!(
            check_origins(&[Source::new(".cargo/config.toml", setting)]).len(),
            2
        );
    }
}
