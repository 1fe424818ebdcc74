//! Rust text with what is no code blanked out, line by line where it was.

/// What is left standing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Code,
    CodeAndStrings,
}

/// `text` with comments, and what stands in quotes, turned to spaces.
pub(super) fn code_only(text: &str) -> String {
    blank(text, Keep::Code)
}

/// `text` with comments turned to spaces.
pub(super) fn without_comments(text: &str) -> String {
    blank(text, Keep::CodeAndStrings)
}

fn blank(text: &str, keep: Keep) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let before = out.chars().next_back();
        let (length, is_string) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment(rest), false)
        } else if let Some(length) = string(rest, before) {
            (length, true)
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        if is_string && keep == Keep::CodeAndStrings {
            out.push_str(&rest[..length]);
        } else {
            out.extend(
                rest[..length]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
        }
        rest = &rest[length..];
    }
    out
}

/// The length of the comment at the front; comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// The length of the string or character literal at the front, if there is one.
fn string(text: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = text
        .strip_prefix('r')
        .filter(|_| !in_word || before == Some('b'))
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inner = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let inside = inner.find(&close).unwrap_or(inner.len());
        return Some((hashes + 2 + inside + close.len()).min(text.len()));
    }
    match text.as_bytes()[0] {
        b'"' => Some(quoted(text, '"')),
        // A quote that closes within a character is a literal; any other is a lifetime.
        b'\'' if text[1..].starts_with('\\') => Some(quoted(text, '\'')),
        b'\'' => {
            let mut chars = text[1..].chars();
            let inside = chars.next()?;
            (chars.next() == Some('\'')).then_some(inside.len_utf8() + 2)
        }
        _ => None,
    }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The part of a Rust file that is test code, given without comments; empty if there is none.
pub(super) fn test_part<'a>(path: &str, text: &'a str) -> &'a str {
    let whole = path.contains("/tests/") || path.ends_with("/tests.rs");
    let testbed = path.starts_with("testbed/") && !path.starts_with("testbed/xtask/");
    if whole || testbed {
        return text;
    }
    text.find("#[cfg(test)]").map_or("", |at| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "a // x \"y\"\nb /* c /* d */\n e */ f \"g\\\"h\" i 'j' 'k: r#\"l\"m\"# br\"n\"";
        let code = code_only(text);
        assert_eq!(code.lines().count(), text.lines().count());
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "f", "i", "'k:", "b"]);
    }

    #[test]
    fn escaped_quotes_and_backslashes_end_where_they_end() {
        assert_eq!(
            code_only(r"'\'' a '\\' b")
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(code_only(r#""\\" a"#).trim(), "a");
    }

    #[test]
    fn a_word_that_ends_in_r_opens_no_raw_string() {
        assert_eq!(
            code_only("for\"x\"y")
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["for", "y"]
        );
    }

    #[test]
    fn test_code_is_told_from_other_code() {
        assert_eq!(
            test_part("a/src/lib.rs", "x #[cfg(test)] y"),
            "#[cfg(test)] y"
        );
        assert_eq!(test_part("a/src/lib.rs", "x"), "");
        assert_eq!(test_part("a/tests/b.rs", "x"), "x");
        assert_eq!(test_part("testbed/scenarios/src/lib.rs", "x"), "x");
        assert_eq!(test_part("testbed/xtask/src/main.rs", "x"), "");
    }
}
