//! What an operator asks for.

/// How frames should cross between the kernel and us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The best that is there: zero-copy, else copy; native XDP, else generic.
    #[default]
    Auto,
    /// Zero-copy under native XDP, or a refusal.
    ZeroCopy,
    /// Copy; native XDP, else generic.
    Copy,
    /// Copy under generic XDP: works on every interface, and is the slowest.
    Generic,
}

impl Preference {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Copy, Self::Generic, Self::ZeroCopy];

    /// What an operator writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
        }
    }
}

impl core::fmt::Display for Preference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// What was written is no preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of auto, copy, generic, zero-copy")]
pub struct NoPreference;

impl core::str::FromStr for Preference {
    type Err = NoPreference;

    fn from_str(text: &str) -> Result<Self, NoPreference> {
        let named = |p: &Self| p.name() == text;
        Self::ALL.into_iter().find(named).ok_or(NoPreference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_what_it_names_and_nothing_else_does() {
        for preference in Preference::ALL {
            assert_eq!(preference.to_string().parse(), Ok(preference));
        }
        assert_eq!("Copy".parse::<Preference>(), Err(NoPreference));
    }
}
