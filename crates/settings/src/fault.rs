//! A fault in the settings: which key, where its value came from, what is wrong and what to do.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from, in the words that an operator can search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file; line and column (both from 1) where one place can be named.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line and column of the key.
        place: Option<(usize, usize)>,
    },
    /// An environment variable, by its exact name.
    Variable(String),
    /// A flag of the command line, without its dashes.
    Flag(String),
    /// A word of the command line that is no flag and no value of one.
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

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the value came from.
    pub origin: Origin,
    /// The dotted key; empty where no key is concerned (an unknown flag, an unreadable file).
    pub key: String,
    /// What is wrong and what to do. Never quotes the value of a secret.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(out, "{}: {}", self.origin, self.text),
            key => write!(out, "{}: `{key}`: {}", self.origin, self.text),
        }
    }
}

/// Everything that is wrong, in the order file, environment, command line, own rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `Ok` when there is nothing to report.
    ///
    /// # Errors
    /// Itself, when it holds a fault.
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
