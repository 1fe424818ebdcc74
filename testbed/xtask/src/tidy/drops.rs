//! Every reason to drop a packet is met in a test, by its variant or by its counter's name.

use super::code::{code_only, test_part, without_comments};
use super::{Finding, Source};

/// The switch's list of reasons, in which each has its variant and its counter's name:
/// `NoRoom = "no_room",`.
const LIST: &str = "reasons! {";

/// Looks for each reason in all test code.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let in_switch = |source: &&Source| source.path.starts_with("datapath/switch/src/");
    let lists = sources
        .iter()
        .filter(in_switch)
        .filter(|source| source.text.contains(LIST));
    let reasons: Vec<Reason> = lists.flat_map(reasons).collect();
    if reasons.is_empty() {
        let what =
            "no list of drop reasons was found; tidy looks for it as `reasons! { A = \"a\", }`";
        return vec![Finding::new("datapath/switch/src", what)];
    }
    let rust = sources.iter().filter(|source| source.is_rust());
    let tests: Vec<String> = rust
        .map(|source| test_part(&source.path, &without_comments(&source.text)).to_owned())
        .filter(|text| !text.is_empty())
        .collect();
    let unmet = reasons
        .into_iter()
        .filter(|reason| !tests.iter().any(|test| reason.is_met_in(test)));
    let finding = |reason: Reason| {
        let Reason {
            variant,
            path,
            line,
            ..
        } = reason;
        let what = format!("no test meets DropReason::{variant}; write the one that does");
        Finding::in_line(&path, line, what)
    };
    unmet.map(finding).collect()
}

struct Reason {
    variant: String,
    name: String,
    path: String,
    line: usize,
}

impl Reason {
    /// By `DropReason::NoRoom`, by `"no_room"`, or as a story says it: `no_room 3`.
    fn is_met_in(&self, test: &str) -> bool {
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let found = |what: &str, good: &dyn Fn(&str, &str) -> bool| {
            let places = test.match_indices(what);
            let around = |at: usize| (&test[..at], &test[at + what.len()..]);
            places
                .map(|(at, _)| around(at))
                .any(|(before, after)| good(before, after))
        };
        let variant = format!("DropReason::{}", self.variant);
        let told = |before: &str, after: &str| {
            let quoted = before.ends_with('"') && after.starts_with('"');
            let number = after.strip_prefix(' ').and_then(|rest| rest.chars().next());
            let counted = number.is_some_and(|c| c.is_ascii_digit() || c == '{');
            quoted || (counted && !before.ends_with(in_word))
        };
        found(&variant, &|_, after| !after.starts_with(in_word)) || found(&self.name, &told)
    }
}

fn reasons(source: &Source) -> Vec<Reason> {
    let (text, code) = (without_comments(&source.text), code_only(&source.text));
    // The macro's own definition has the list's shape too, but no names in quotes.
    let mut inside = false;
    let mut reasons = Vec::new();
    for (number, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        if code.trim_end().ends_with(LIST) {
            inside = true;
        } else if code.starts_with('}') {
            inside = false;
        }
        let parts = line.trim().trim_end_matches(',').split_once(" = \"");
        if let (true, Some((variant, name))) = (inside, parts) {
            let (variant, name) = (variant.to_owned(), name.trim_end_matches('"').to_owned());
            reasons.push(Reason {
                variant,
                name,
                path: source.path.clone(),
                line: number,
            });
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICT: &str =
        "reasons! {\n    /// Why.\n    NoPort = \"no_port\",\n    NoPortAtAll = \"none\",\n}\n";

    fn unmet(test: &str) -> Vec<String> {
        let sources = [
            Source::new("datapath/switch/src/verdict.rs", VERDICT),
            Source::new("datapath/switch/tests/a.rs", test),
        ];
        check(&sources)
            .into_iter()
            .map(|finding| finding.at)
            .collect()
    }

    #[test]
    fn a_reason_that_no_test_names_is_found() {
        let at = |line| format!("datapath/switch/src/verdict.rs:{line}");
        assert_eq!(unmet(""), [at(3), at(4)]);
        assert_eq!(unmet("DropReason::NoPortAtAll"), [at(3)]);
        assert_eq!(
            unmet("// DropReason::NoPort\nDropReason::NoPortAtAll"),
            [at(3)]
        );
    }

    #[test]
    fn a_reason_is_met_by_its_variant_or_its_counter() {
        assert_eq!(unmet("DropReason::NoPort, drops[\"none\"]"), [""; 0]);
        assert_eq!(unmet("\"received 3, no_port 1, none 2\""), [""; 0]);
        assert_eq!(unmet("\"no_port_1, anone 2\"").len(), 2);
    }

    #[test]
    fn no_list_at_all_is_a_finding() {
        assert_eq!(check(&[]).len(), 1);
    }
}
