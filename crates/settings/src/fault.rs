//! A fault in the settings: the key, the source of its value, what is wrong and what to do.

use std::fmt;
use std::path::PathBuf;

/// The source of a value, in a form that an operator can search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No source sets it.
    Default,
    /// The configuration file; line and column (both from 1) where one place is known.
    File {
        /// The file as it is named.
        path: PathBuf,
        /// Line and column of the key.
        place: Option<(usize, usize)>,
    },
    /// An environment variable, by its exact name.
    Variable(String),
    /// A flag of the command line, without its dashes.
    Flag(String),
    /// An argument that is neither a flag nor the value of one.
    Word(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(out, "settings"),
            Self::File { path, place: Some((line, column)) } => write!(out, "{}:{line}:{column}", path.display()),
            Self::File { path, place: None } => write!(out, "{}", path.display()),
            Self::Variable(name) => write!(out, "environment variable {name}"),
            Self::Flag(name) => write!(out, "flag --{name}"),
            Self::Word(word) => write!(out, "argument `{word}`"),
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFault {
    /// The source of the value.
    pub origin: Origin,
    /// The dotted key; empty where no key is involved (an unknown flag, an unreadable file).
    pub key: String,
    /// What is wrong and what to do. Never contains the value of a secret.
    pub text: String,
}

impl fmt::Display for SettingFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(out, "{}: {}", self.origin, self.text),
            key => write!(out, "{}: `{key}`: {}", self.origin, self.text),
        }
    }
}

/// All faults, in the order file, environment, command line, rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Faults(pub Vec<SettingFault>);

impl Faults {
    /// `Ok` when there is no fault.
    ///
    /// # Errors
    /// The faults themselves, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(out, "cannot use the settings, 1 fault:")?,
            count => write!(out, "cannot use the settings, {count} faults:")?,
        }
        self.0.iter().try_for_each(|fault| write!(out, "\n  {fault}"))
    }
}
