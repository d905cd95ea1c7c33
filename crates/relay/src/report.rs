//! What this worker reports: capabilities, heartbeats, and the metrics of jobs and connections.

pub(crate) mod capabilities;
mod heartbeat;
pub(crate) mod log_text;
pub(crate) mod metrics;
mod other_names;
pub(crate) mod stats;
pub(crate) mod warn_limit;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::metrics::JobSeries;
use crate::report::stats::{Figures, Sample, Window};
use crate::report::warn_limit::WarnLimit;

/// Statistics of ended jobs by model, and what all connections share for reporting.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    models: Mutex<HashMap<String, PerModel>>,
    /// Limits the log lines of a repeated fault.
    pub(crate) warnings: WarnLimit,
    /// The worker drains and wants no more jobs.
    pub(crate) draining: AtomicBool,
}

#[derive(Debug)]
struct PerModel {
    window: Window,
    series: JobSeries,
}

/// One job that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedJob<'a> {
    pub(crate) model: &'a str,
    /// The label of its ending.
    pub(crate) ending: &'static str,
    /// From its arrival to its end.
    pub(crate) took: Duration,
    /// From its arrival to its slot; `None` if it got none.
    pub(crate) waited: Option<Duration>,
    /// From its arrival to its first text.
    pub(crate) first_token: Option<Duration>,
    pub(crate) tokens: u64,
}

impl Telemetry {
    /// Records the outcome of a job.
    pub(crate) fn ended(&self, job: &EndedJob<'_>) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if !models.contains_key(job.model) {
            let fresh = PerModel { window: Window::default(), series: JobSeries::new(job.model) };
            models.insert(job.model.to_owned(), fresh);
        }
        let Some(per_model) = models.get_mut(job.model) else { return };
        per_model.series.ended(job);
        if job.ending == "completed" {
            per_model.window.add(Sample {
                ended: Instant::now(),
                latency: job.took,
                first_token: job.first_token,
                tokens: job.tokens,
            });
        }
    }

    /// A job goes to another engine because the first one went away before the first token.
    pub(crate) fn retried(&self) {
        crate::report::metrics::job_retried();
    }

    fn figures(&self, model: &str) -> Figures {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.get_mut(model).map(|per_model| per_model.window.figures(Instant::now())).unwrap_or_default()
    }
}
