//! The result of one check.

use serde::Serialize;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) area: &'static str,
    pub(super) verdict: Verdict,
    pub(super) text: String,
    /// What to do, where something is wrong.
    pub(super) remedy: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Good,
    /// The worker serves, perhaps less than it could.
    Warning,
    /// The worker cannot serve.
    Bad,
}

pub(super) fn good(area: &'static str, text: impl Into<String>) -> Finding {
    Finding { area, verdict: Verdict::Good, text: text.into(), remedy: None }
}

pub(super) fn warning(area: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { area, verdict: Verdict::Warning, text: text.into(), remedy: Some(remedy.into()) }
}

pub(super) fn bad(area: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Bad, ..warning(area, text, remedy) }
}
