//! The line of one job in the access log: ids, counts and times; no text and no key.

use std::sync::Arc;

use auxot_protocol::Complete;

use crate::failure::Failure;
use crate::metrics::Metrics;

#[derive(Debug)]
pub(super) struct AccessLine {
    pub(super) job: Arc<str>,
    pub(super) model: Option<String>,
    /// The provider that had it last.
    pub(super) provider: Option<Arc<str>>,
    pub(super) gpu_id: Option<Arc<str>>,
    pub(super) ending: &'static str,
    pub(super) stream: bool,
    pub(super) attempts: u32,
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
    pub(super) queued_ms: Option<u128>,
    pub(super) first_ms: Option<u128>,
    pub(super) total_ms: u128,
}

impl Default for AccessLine {
    fn default() -> Self {
        Self {
            job: "".into(),
            model: None,
            provider: None,
            gpu_id: None,
            ending: "completed",
            stream: false,
            attempts: 0,
            input: 0,
            cached: 0,
            output: 0,
            queued_ms: None,
            first_ms: None,
            total_ms: 0,
        }
    }
}

impl AccessLine {
    pub(super) fn counts(mut self, complete: &Complete<'_>) -> Self {
        self.input = complete.input_tokens.unwrap_or(0);
        self.cached = complete.cache_tokens.unwrap_or(0);
        self.output = complete.output_tokens.unwrap_or(0);
        self
    }

    pub(super) fn failed(mut self, failure: &Failure) -> Self {
        self.ending = failure.label();
        self
    }

    pub(super) fn write(self, metrics: &Metrics) {
        metrics.ended(self.provider.as_deref().unwrap_or("none"), self.ending);
        tracing::info!(
            job = %self.job,
            model = self.model.as_deref().unwrap_or("-"),
            provider = self.provider.as_deref().unwrap_or("-"),
            gpu_id = self.gpu_id.as_deref().unwrap_or("-"),
            ending = self.ending,
            stream = self.stream,
            attempts = self.attempts,
            input_tokens = self.input,
            cache_tokens = self.cached,
            output_tokens = self.output,
            queued_ms = self.queued_ms,
            first_text_ms = self.first_ms,
            total_ms = self.total_ms,
            "job ended"
        );
    }
}
