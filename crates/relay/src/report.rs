//! What this worker reports: capabilities, heartbeats, and the metrics of jobs and connections.
//!
//! The figures of the last minute's jobs are exact quantiles over a bounded window.

pub(crate) mod capabilities;
mod heartbeat;
pub(crate) mod log_text;
pub(crate) mod metrics;
mod other_names;
pub(crate) mod warn_limit;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use auxot_llama::TokenCounts;

use crate::report::metrics::JobSeries;
use crate::report::warn_limit::WarnLimit;

/// The length of the window.
const WINDOW: Duration = Duration::from_secs(60);
/// The most jobs in the window; of a busier minute only the newest are used.
const CAPACITY: usize = 1024;

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
    pub(crate) tokens: TokenCounts,
}

impl EndedJob<'_> {
    /// Seconds between two tokens of a completed job, on average.
    pub(crate) fn token_gap(&self) -> Option<f64> {
        let gaps = self.tokens.generated?.checked_sub(1).filter(|gaps| *gaps > 0 && self.ending == "completed")?;
        let generated = self.took.saturating_sub(self.first_token?);
        Some(generated.as_secs_f64() / gaps as f64)
    }
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
                tokens: job.tokens.generated.unwrap_or_default(),
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

/// One completed job in the window.
#[derive(Debug, Clone, Copy)]
struct Sample {
    ended: Instant,
    latency: Duration,
    first_token: Option<Duration>,
    tokens: u64,
}

/// The completed jobs of one model in the last minute.
#[derive(Debug, Default)]
struct Window {
    samples: VecDeque<Sample>,
}

/// The figures of one window; `None` for a figure without a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Figures {
    latency_p50: Option<Duration>,
    latency_p95: Option<Duration>,
    first_token_p50: Option<Duration>,
    tokens_per_second: Option<f64>,
}

impl Window {
    fn add(&mut self, sample: Sample) {
        self.forget_before(sample.ended);
        if self.samples.len() == CAPACITY {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn figures(&mut self, now: Instant) -> Figures {
        self.forget_before(now);
        if self.samples.is_empty() {
            return Figures::default();
        }
        let latencies = sorted(self.samples.iter().map(|sample| sample.latency));
        let first_tokens = sorted(self.samples.iter().filter_map(|sample| sample.first_token));
        Figures {
            latency_p50: quantile(&latencies, 50),
            latency_p95: quantile(&latencies, 95),
            first_token_p50: quantile(&first_tokens, 50),
            tokens_per_second: throughput(&self.samples, now),
        }
    }

    fn forget_before(&mut self, now: Instant) {
        while self.samples.front().is_some_and(|sample| now.duration_since(sample.ended) > WINDOW) {
            self.samples.pop_front();
        }
    }
}

/// Tokens of the last minute per second in which at least one of these jobs generated; `None` if none did.
///
/// A job that began before the minute counts with the share of its tokens that falls into it.
fn throughput(samples: &VecDeque<Sample>, now: Instant) -> Option<f64> {
    let since = |at: Instant| now.saturating_duration_since(at).min(WINDOW).as_secs_f64();
    let mut tokens = 0.0;
    // Each job's time of generation, as seconds ago, from and to.
    let mut spans = Vec::with_capacity(samples.len());
    for sample in samples {
        let began = sample.ended.checked_sub(sample.latency.saturating_sub(sample.first_token.unwrap_or_default()));
        let (from, to) = (since(began.unwrap_or(sample.ended)), since(sample.ended));
        let whole = sample.latency.saturating_sub(sample.first_token.unwrap_or_default()).as_secs_f64();
        tokens += sample.tokens as f64 * if whole > 0.0 { ((from - to) / whole).min(1.0) } else { 1.0 };
        spans.push((from, to));
    }
    spans.sort_by(|one, other| other.0.total_cmp(&one.0));
    let (mut busy, mut reached) = (0.0, f64::INFINITY);
    for (from, to) in spans {
        let from = from.min(reached);
        if from > to {
            busy += from - to;
            reached = to;
        }
    }
    (busy > 0.0).then(|| tokens / busy)
}

fn sorted(values: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut values: Vec<Duration> = values.collect();
    values.sort_unstable();
    values
}

/// Nearest rank: the smallest value that at least `percent` of the values do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_and_old_jobs_are_dropped() {
        let start = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.figures(start), Figures::default());
        for job in 1..=100_u32 {
            window.add(Sample {
                ended: start,
                latency: Duration::from_millis(u64::from(job)),
                first_token: (job % 2 == 0).then(|| Duration::from_millis(u64::from(job))),
                tokens: 10,
            });
        }
        let figures = window.figures(start + Duration::from_secs(10));
        assert_eq!(figures.latency_p50, Some(Duration::from_millis(50)));
        assert_eq!(figures.latency_p95, Some(Duration::from_millis(95)));
        assert_eq!(figures.first_token_p50, Some(Duration::from_millis(50)));
        assert_eq!(window.figures(start + Duration::from_secs(61)), Figures::default());
    }

    #[test]
    fn throughput_is_that_of_the_time_of_generation() {
        let start = Instant::now() + Duration::from_secs(600);
        let job = |ago: u64, took: u64, first: u64, tokens| Sample {
            ended: start - Duration::from_secs(ago),
            latency: Duration::from_secs(took),
            first_token: Some(Duration::from_secs(first)),
            tokens,
        };
        let of = |jobs: &[Sample]| {
            let mut window = Window::default();
            jobs.iter().for_each(|job| window.add(*job));
            window.figures(start).tokens_per_second
        };
        assert_eq!(of(&[job(30, 12, 2, 100)]), Some(10.0), "waiting is not generating");
        assert_eq!(of(&[job(0, 120, 0, 1200)]), Some(10.0), "of a long job only the last minute counts");
        assert_eq!(of(&[job(10, 10, 0, 100), job(10, 10, 0, 100)]), Some(20.0), "two at once");
        assert_eq!(of(&[job(40, 10, 0, 100), job(0, 10, 0, 200)]), Some(15.0), "the pause between them is none");
        assert_eq!(of(&[job(10, 10, 10, 1)]), None, "no time that could be measured");
    }

    #[test]
    fn the_window_is_bounded() {
        let start = Instant::now();
        let mut window = Window::default();
        for _ in 0..CAPACITY * 2 {
            window.add(Sample { ended: start, latency: Duration::ZERO, first_token: None, tokens: 0 });
        }
        assert_eq!(window.samples.len(), CAPACITY);
    }
}
