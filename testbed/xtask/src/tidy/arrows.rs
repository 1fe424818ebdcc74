//! Who may know whom. Cargo knows every arrow; the table says which may be.

use super::code::code_only;
use super::{Finding, Source};
use serde_json::Value;

/// A crate of ours, and the crates of ours it may use.
type Row = (&'static str, &'static [&'static str]);

const TABLE: [Row; 15] = [
    ("frame", &[]),
    ("wire", &[]),
    ("ebpf", &[]),
    ("program", &["wire"]),
    ("tables", &["wire", "program"]),
    ("switch", &["frame", "wire", "program", "tables"]),
    ("io", &["frame", "ebpf"]),
    (
        "worker",
        &["frame", "wire", "program", "tables", "switch", "io"],
    ),
    ("agent", &["program"]),
    ("cli", &["program", "agent"]),
    (
        "sim",
        &[
            "frame", "wire", "program", "tables", "switch", "io", "worker",
        ],
    ),
    (
        "scenarios",
        &[
            "frame", "wire", "program", "tables", "switch", "io", "worker", "sim",
        ],
    ),
    ("netns", &[]),
    ("judge", &["netns", "program", "wire"]),
    ("xtask", &["netns"]),
];

/// May use anything.
const FREE: [&str; 1] = ["bench"];

/// May be used by anyone's tests.
const TESTBEDS: [&str; 2] = ["sim", "netns"];

/// What must not be named in a crate outside its tests: time, chance and the world are arguments.
const PURE: [(&str, &[&str]); 4] = [
    (
        "datapath/frame/",
        &["std::net", "std::fs", "std::time", "thread::spawn", "Mutex"],
    ),
    ("datapath/wire/", &["std::"]),
    ("datapath/tables/", &WORLD),
    ("datapath/switch/", &WORLD),
];

const WORLD: [&str; 9] = [
    "std::time::Instant",
    "SystemTime",
    "Instant::now",
    "std::fs",
    "std::thread",
    "std::process",
    "Mutex",
    "RwLock",
    "UdpSocket",
];

/// Looks at every arrow between crates of ours.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members: Vec<String> = list(&metadata["workspace_members"])
        .iter()
        .map(text)
        .collect();
    let packages = list(&metadata["packages"]);
    let ours: Vec<&Value> = packages
        .iter()
        .filter(|package| members.contains(&text(&package["id"])))
        .collect();
    let names: Vec<String> = ours.iter().map(|package| text(&package["name"])).collect();

    let mut findings = Vec::new();
    for (package, name) in ours.iter().zip(&names) {
        let manifest = text(&package["manifest_path"]);
        let may = TABLE
            .iter()
            .find(|(row, _)| row == name)
            .map(|(_, may)| *may);
        if may.is_none() && !FREE.contains(&name.as_str()) {
            let what =
                format!("the table of arrows does not know {name}; say there what it may use");
            findings.push(Finding::new(manifest, what));
            continue;
        }
        for dependency in list(&package["dependencies"]) {
            let (to, kind) = (text(&dependency["name"]), text(&dependency["kind"]));
            let in_tests = kind == "dev" && TESTBEDS.contains(&to.as_str());
            let allowed = may.is_none_or(|may| may.contains(&to.as_str()));
            if names.contains(&to) && !allowed && !in_tests && to != *name {
                let what = format!("{name} must not use {to}; move what it needs, not the arrow");
                findings.push(Finding::new(&manifest, what));
            }
        }
    }
    findings
}

/// Looks for clocks, threads and the like where they must not be, and for manifests without lints.
pub(super) fn check_sources(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if source.path.ends_with("/Cargo.toml")
            && !source.path.starts_with("testbed/fuzz/")
            && !source.text.contains("[lints]\nworkspace = true")
        {
            let what = "the workspace's lints are not on; add `[lints]` with `workspace = true`";
            findings.push(Finding::new(&source.path, what));
        }
        let Some((_, never)) = PURE
            .iter()
            .find(|(folder, _)| source.path.starts_with(folder))
        else {
            continue;
        };
        if !source.is_rust() || source.path.contains("/tests/") || source.path.ends_with("tests.rs")
        {
            continue;
        }
        let code = code_only(&source.text);
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            if let Some(word) = never.iter().find(|word| line.contains(**word)) {
                let what = format!("{word} is not for this crate; take it as an argument");
                findings.push(Finding::in_line(&source.path, number, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace(name: &str, uses: &str, kind: Option<&str>) -> Value {
        let package = |name: &str, uses: &[&str]| {
            let uses: Vec<_> = uses
                .iter()
                .map(|to| json!({"name": to, "kind": kind}))
                .collect();
            json!({"id": name, "name": name, "manifest_path": format!("{name}/Cargo.toml"),
                   "dependencies": uses})
        };
        json!({"workspace_members": [name, uses],
               "packages": [package(name, &[uses, "libc"]), package(uses, &[])]})
    }

    #[test]
    fn an_arrow_of_the_table_is_good_and_its_reverse_is_not() {
        assert_eq!(check(&workspace("switch", "tables", None)), []);
        let findings = check(&workspace("tables", "switch", None));
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0]
                .to_string()
                .starts_with("tables/Cargo.toml: tables must not use switch")
        );
    }

    #[test]
    fn tests_may_use_the_testbed_and_nothing_else_that_is_above() {
        assert_eq!(check(&workspace("worker", "sim", Some("dev"))), []);
        assert_eq!(check(&workspace("worker", "sim", None)).len(), 1);
        assert_eq!(check(&workspace("io", "wire", Some("dev"))).len(), 1);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_named() {
        let findings = check(&workspace("helper", "frame", None));
        assert!(findings[0].what.contains("does not know helper"));
    }

    #[test]
    fn the_table_has_no_circle() {
        // Each row uses only rows above it, save those whose use is listed later by nature.
        for (at, (name, may)) in TABLE.iter().enumerate() {
            for to in *may {
                let above = TABLE[..at].iter().any(|(row, _)| row == to);
                assert!(above, "{name} uses {to}, which is not above it");
            }
        }
    }

    #[test]
    fn a_clock_in_the_switch_is_found_and_one_in_its_tests_is_not() {
        let text = "fn a() {}\nlet now = Instant::now(); // Mutex\n#[cfg(test)]\nInstant::now()";
        let findings = check_sources(&[Source::new("datapath/switch/src/a.rs", text)]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].at, "datapath/switch/src/a.rs:2");
        let in_worker = Source::new("datapath/worker/src/a.rs", text);
        assert_eq!(check_sources(&[in_worker]), []);
    }

    #[test]
    fn a_manifest_without_lints_is_found() {
        let bare = Source::new("a/Cargo.toml", "[package]\n");
        assert_eq!(check_sources(&[bare]).len(), 1);
        let good = Source::new("a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n");
        assert_eq!(check_sources(&[good]), []);
    }
}
