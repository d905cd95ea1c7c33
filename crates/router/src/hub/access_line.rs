//! The line of one job in the access log: ids, names, counts and times; no text and no key.

use std::sync::Arc;
use std::time::Duration;

use auxot_protocol::Complete;

use crate::failure::Failure;
use crate::metrics::{EndedJob, Metrics};

#[derive(Debug)]
pub(super) struct AccessLine {
    pub(super) job: Arc<str>,
    /// Name of the client's key.
    pub(super) key_name: Box<str>,
    pub(super) model: Option<String>,
    /// The provider that had it last.
    pub(super) provider: Option<Arc<str>>,
    pub(super) gpu_id: Option<Arc<str>>,
    pub(super) ending: &'static str,
    pub(super) stream: bool,
    pub(super) attempts: u32,
    pub(super) input: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) queued: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) total: Duration,
}

impl Default for AccessLine {
    fn default() -> Self {
        Self {
            job: "".into(),
            key_name: "".into(),
            model: None,
            provider: None,
            gpu_id: None,
            ending: "completed",
            stream: false,
            attempts: 0,
            input: None,
            cached: None,
            output: None,
            queued: None,
            first_byte: None,
            total: Duration::ZERO,
        }
    }
}

impl AccessLine {
    pub(super) fn counts(mut self, complete: &Complete<'_>) -> Self {
        self.input = complete.input_tokens;
        self.cached = complete.cache_tokens;
        self.output = complete.output_tokens;
        self
    }

    pub(super) fn failed(mut self, failure: &Failure) -> Self {
        self.ending = failure.label();
        self
    }

    pub(super) fn write(self, metrics: &Metrics) {
        metrics.ended(&EndedJob {
            provider: self.provider.as_deref().unwrap_or("none"),
            ending: self.ending,
            attempts: self.attempts,
            tokens: [("prompt", self.input), ("cached", self.cached), ("output", self.output)],
            queued: self.queued,
            first_byte: self.first_byte,
            total: self.total,
        });
        let milliseconds = |time: Duration| time.as_millis();
        tracing::info!(
            job = %self.job,
            key_name = %self.key_name,
            model = self.model.as_deref().unwrap_or("-"),
            provider = self.provider.as_deref().unwrap_or("-"),
            gpu_id = self.gpu_id.as_deref().unwrap_or("-"),
            ending = self.ending,
            stream = self.stream,
            attempts = self.attempts,
            input_tokens = self.input,
            cache_tokens = self.cached,
            output_tokens = self.output,
            queued_ms = self.queued.map(milliseconds),
            first_text_ms = self.first_byte.map(milliseconds),
            total_ms = milliseconds(self.total),
            "job ended"
        );
    }
}
