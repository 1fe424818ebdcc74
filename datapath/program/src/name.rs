//! Names: of programs, and of the kernel's interfaces.

use crate::ProgramError;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a program is called: 1 to 64 of `A-Z a-z 0-9 . _ : -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The name of a network interface, as the kernel allows it: 1 to 15 bytes, no `/`, no space,
/// not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface(String);

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Interface {
    /// The longest name, in bytes: the kernel's `IFNAMSIZ` less the closing zero.
    pub const MAX: usize = 15;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = ProgramError;

    fn try_from(text: String) -> Result<Self, ProgramError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text))
        } else {
            Err(ProgramError::NotAName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Interface {
    type Error = ProgramError;

    fn try_from(text: String) -> Result<Self, ProgramError> {
        let good = |b: u8| b.is_ascii_graphic() && b != b'/';
        let length = (1..=Self::MAX).contains(&text.len());
        if length && text.bytes().all(good) && text != "." && text != ".." {
            Ok(Self(text))
        } else {
            Err(ProgramError::NotAnInterface(
                text.chars().take(80).collect(),
            ))
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl From<Interface> for String {
    fn from(name: Interface) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
