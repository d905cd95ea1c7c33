//! Jobs that run, and jobs that have ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The jobs of all front ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Jobs {
    /// Jobs that run or wait, oldest first.
    pub running: Vec<JobStatus>,
    /// The newest jobs that have ended, newest first.
    pub ended: Vec<JobStatus>,
}

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    /// Its number since the worker's start.
    pub number: u64,
    /// By which front end it came: `router`, `gateway` or `page`.
    pub front_end: String,
    /// The router's id of it.
    pub id: Option<String>,
    /// The model that runs it; absent before it has a slot.
    pub model: Option<String>,
    /// When it arrived.
    pub arrived_ms: u64,
    /// Seconds from its arrival to its slot.
    pub waited_seconds: Option<f64>,
    /// Seconds from its arrival to its first text.
    pub first_token_seconds: Option<f64>,
    /// Seconds from its arrival to its end, or until now.
    pub took_seconds: f64,
    /// How it ended, as in the metrics; absent while it runs.
    pub ending: Option<String>,
    /// The trace that it is a part of, where there is one.
    pub trace: Option<String>,
    /// Tokens that were generated, where they were counted.
    pub tokens: Option<u64>,
}

/// No engine generates one answer faster, in tokens per second.
const FASTEST: f64 = 20_000.0;

impl JobStatus {
    /// Tokens per second of its generation, where both are known. The text of an answer that is no stream comes all at once: how
    /// long it was generated is unknown.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f64> {
        let generated = self.took_seconds - self.first_token_seconds?;
        let tokens = self.tokens.filter(|tokens| *tokens > 1)?;
        let speed = tokens as f64 / generated;
        (self.ending.is_some() && generated > 0.0 && speed < FASTEST).then_some(speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_all_at_once_has_no_speed() {
        let job = |first: f64| JobStatus {
            first_token_seconds: Some(first),
            took_seconds: 3.0,
            ending: Some("completed".to_owned()),
            tokens: Some(24),
            ..JobStatus::default()
        };
        assert_eq!(job(1.0).tokens_per_second(), Some(12.0));
        assert_eq!(job(2.999_95).tokens_per_second(), None);
        assert_eq!(job(3.0).tokens_per_second(), None);
    }
}
