//! Sizes, words, what is not left in, and what stands at the top of the repository.

use super::code::code_only;
use super::{Finding, Source};

/// Lines a file may have.
const LINES: usize = 600;

/// Files that are longer, with the lines they may have: each number may only go down.
const RATCHET: [(&str, usize); 0] = [];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["datapath/frame/", "datapath/io/"];

/// Single files that need it besides, and why.
const UNSAFE_FILES: [(&str, &str); 0] = [];

/// What says nothing in the name of a type or module.
const WORDS: [&str; 10] = [
    "manager", "handler", "helper", "util", "utils", "common", "context", "info", "data", "engine",
];

/// All that stands at the top.
const TOP: [&str; 16] = [
    "Cargo.toml",
    "datapath",
    "control",
    "ebpf",
    "bench",
    "testbed",
    "README.md",
    "Cargo.lock",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
    ".cargo",
    ".ci",
    ".gitignore",
    "LICENSE",
    "ARCHITECTURE.md",
];

/// What may stand there besides, and is not committed.
const NOT_COMMITTED: [&str; 2] = [".git", "target"];

/// Looks at every source by itself.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let code = code_only(&source.text);
        findings.extend(size(source));
        for (number, line) in code.lines().enumerate() {
            let found = |what: String| Finding::in_line(&source.path, number, what);
            findings.extend(left_in(line).map(found));
            findings.extend(bad_name(line).map(found));
            if has_word(line, "unsafe") && !may_be_unsafe(&source.path) {
                let what = "`unsafe` is for frame and io; let them do what needs it";
                findings.push(found(what.to_owned()));
            }
        }
        findings.extend(bad_file_name(&source.path));
    }
    findings
}

/// Looks at the names at the top of the repository.
pub(super) fn check_top(names: &[String]) -> Vec<Finding> {
    let known = |name: &str| TOP.contains(&name) || NOT_COMMITTED.contains(&name);
    let more = names.iter().filter(|name| !known(name));
    let more =
        more.map(|name| Finding::new(name, "does not belong at the top; move it or remove it"));
    let missing = TOP
        .iter()
        .filter(|name| !names.iter().any(|there| there == *name));
    let missing = missing.map(|name| Finding::new(*name, "belongs at the top and is not there"));
    more.chain(missing).collect()
}

fn size(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let ratchet = RATCHET.iter().find(|(path, _)| *path == source.path);
    let limit = ratchet.map_or(LINES, |(_, lines)| *lines);
    let what = format!("{lines} lines; {limit} are good. Find the two things it is about");
    (lines > limit).then(|| Finding::new(&source.path, what))
}

fn left_in(line: &str) -> Option<String> {
    let word = ["#[ignore", "todo!(", "unimplemented!(", "dbg!("]
        .into_iter()
        .find(|word| line.contains(*word))?;
    Some(format!("{word} must not stay: finish it, or leave it out"))
}

/// The line's type or module, if its name has a word that says nothing.
fn bad_name(line: &str) -> Option<String> {
    let mut words = line
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty());
    let defines =
        |word: &str| matches!(word, "struct" | "enum" | "trait" | "type" | "mod" | "union");
    words.by_ref().find(|word| defines(word))?;
    let name = words.next()?;
    let bad = words_of(name)
        .into_iter()
        .find(|word| WORDS.contains(&word.as_str()))?;
    Some(format!(
        "{name}: \"{bad}\" does not say what it is; name it after its one job"
    ))
}

fn bad_file_name(path: &str) -> Option<Finding> {
    let name = path.rsplit('/').next()?.strip_suffix(".rs")?;
    let bad = words_of(name)
        .into_iter()
        .find(|word| WORDS.contains(&word.as_str()))?;
    Some(Finding::new(
        path,
        format!("\"{bad}\" does not say what is in it; rename the file"),
    ))
}

/// The words of `snake_case`, `kebab-case` and `CamelCase` names, in small letters.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && c.is_alphanumeric()
        {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

fn may_be_unsafe(path: &str) -> bool {
    UNSAFE.iter().any(|folder| path.starts_with(folder))
        || UNSAFE_FILES.iter().any(|(file, _)| *file == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let found = check(&[Source::new(path, text)]);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unsafe_is_found_outside_frame_and_io_only() {
        let text = "// unsafe\nunsafe { x() }\n#![forbid(unsafe_code)]\n";
        let found = findings("datapath/switch/src/a.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("datapath/switch/src/a.rs:2: "));
        assert_eq!(findings("datapath/io/src/a.rs", text), [""; 0]);
    }

    #[test]
    fn a_file_is_long_from_601_lines_on() {
        assert_eq!(findings("a.rs", &"x\n".repeat(600)), [""; 0]);
        assert_eq!(findings("a.rs", &"x\n".repeat(601)).len(), 1);
    }

    #[test]
    fn what_was_to_be_finished_is_found_in_code_and_not_in_words_about_it() {
        assert_eq!(
            findings("a.rs", "todo!();\n#[ignore]\n#[ignore = \"x\"]").len(),
            3
        );
        assert_eq!(
            findings("a.rs", "// todo!() #[ignore]\nlet x = \"todo!()\";"),
            [""; 0]
        );
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let bad = [
            "pub struct PortManager;",
            "mod util;",
            "enum DataKind {}",
            "type A_Info = ();",
        ];
        for text in bad {
            assert_eq!(findings("a.rs", text).len(), 1, "{text}");
        }
        let good = [
            "struct Database;",
            "use anyhow::Context as _;",
            "fn context() {}",
            "mod inform;",
        ];
        for text in good {
            assert_eq!(findings("a.rs", text), [""; 0], "{text}");
        }
        assert_eq!(findings("src/string_utils.rs", "").len(), 1);
    }

    #[test]
    fn what_stands_at_the_top_is_exactly_what_should() {
        let all: Vec<String> = TOP
            .iter()
            .chain(&NOT_COMMITTED)
            .map(ToString::to_string)
            .collect();
        assert_eq!(check_top(&all), []);
        let mut odd = all[1..].to_vec();
        odd.push("notes.txt".to_owned());
        let found: Vec<_> = check_top(&odd)
            .into_iter()
            .map(|finding| finding.at)
            .collect();
        assert_eq!(found, ["notes.txt", "Cargo.toml"]);
    }
}
