//! Lines for the journal: to standard error, the level first.

use core::fmt::Display;

/// Something happened that an operator may want to know.
pub fn note(line: impl Display) {
    eprintln!("info: {line}");
}

/// Something is not as it should be.
pub fn warn(line: impl Display) {
    eprintln!("warning: {line}");
}

/// It cannot go on.
pub fn error(line: impl Display) {
    eprintln!("error: {line}");
}
