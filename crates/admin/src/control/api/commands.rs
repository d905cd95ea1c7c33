//! Answers to commands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to a command for models. It does not wait for a load: the model's state shows how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The models that it was for.
    pub models: Vec<String>,
}

/// The answer to a drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Draining {
    /// Jobs that run and may finish.
    pub jobs: usize,
}

/// The answer to a reload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// The configuration file, where there is one.
    pub file: Option<String>,
    /// Keys whose new values are in use.
    pub applied: Vec<String>,
    /// Keys whose new values are used from the next start on.
    pub at_next_start: Vec<String>,
    /// Failed models that may be loaded again.
    pub reset: usize,
}

/// How much is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// As `log.level` in the settings: a level, or several `target=level`.
    pub level: String,
}
