//! The settings of the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The level and the form of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A level for the worker, or several `target=level` separated by commas.
    pub level: Verbosity,
    /// Text for people, or JSON for programs.
    pub format: Format,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One readable line, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// The lowest severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// An operation failed.
    Error,
    /// An operator should look at it.
    Warn,
    /// Each transition.
    Info,
    /// Each decision.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    const ALL: [(&'static str, Self); 6] = [
        ("off", Self::Off),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl FromStr for Level {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let same = |(name, _): &&(&str, Self)| name.eq_ignore_ascii_case(word);
        let found = Self::ALL.iter().find(same).map(|(_, level)| *level);
        found.ok_or_else(|| {
            format!("expected `off`, `error`, `warn`, `info`, `debug` or `trace`, or `target=level` with commas between, found {word:?}")
        })
    }
}

/// A level, or levels by target, in the syntax of `RUST_LOG`.
///
/// A bare word must be a level. The usual parser takes any other word for a target, so that `AUXOT_LOG_LEVEL=inof`
/// would silence the whole log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Verbosity {
    /// The level of the worker's own crates.
    pub own: Level,
    /// Levels by prefix of the target, in the given order.
    pub targets: Vec<(String, Level)>,
    text: String,
}

impl Default for Verbosity {
    fn default() -> Self {
        Self { own: Level::Info, targets: Vec::new(), text: "info".to_owned() }
    }
}

impl FromStr for Verbosity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut verbosity = Self { text: text.to_owned(), ..Self::default() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((target, level)) => verbosity.targets.push((target.trim().to_owned(), level.trim().parse()?)),
                None => verbosity.own = part.parse()?,
            }
        }
        Ok(verbosity)
    }
}

impl TryFrom<String> for Verbosity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Verbosity> for String {
    fn from(verbosity: Verbosity) -> Self {
        verbosity.text
    }
}

impl fmt::Display for Verbosity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
