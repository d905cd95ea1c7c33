//! The router's metrics, in the text format of Prometheus.

use std::fmt;
use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::summary::Summary;

const INFO: &str = "auxot_router_info";
const WORKERS: &str = "auxot_router_workers";
const SLOTS: &str = "auxot_router_slots";
const RUNNING: &str = "auxot_router_jobs_running";
const WAITING: &str = "auxot_router_jobs_waiting";
const JOBS: &str = "auxot_router_jobs_total";
const REPEATED: &str = "auxot_router_job_repeats_total";
const TURNED_AWAY: &str = "auxot_router_requests_turned_away_total";
const TOKENS: &str = "auxot_router_tokens_total";
const REFUSALS: &str = "auxot_router_provider_refusals_total";
const AVAILABLE: &str = "auxot_router_provider_available";
const QUEUE: &str = "auxot_router_queue_seconds";
const FIRST_BYTE: &str = "auxot_router_first_byte_seconds";
const TOTAL: &str = "auxot_router_job_seconds";

const GAUGES: [(&str, &str); 6] = [
    (INFO, "Always 1; the label says which version runs (labels: version)"),
    (WORKERS, "Connections of workers: alive, or silent for longer than the threshold (labels: state)"),
    (SLOTS, "Jobs that the live workers can run at once"),
    (RUNNING, "Jobs that run now, on workers or at other providers (labels: at)"),
    (WAITING, "Jobs that wait for a provider"),
    (AVAILABLE, "Whether a provider gets requests: 0 while its circuit breaker is open (labels: provider)"),
];
const COUNTERS: [(&str, &str); 5] = [
    (JOBS, "Jobs that have ended, by the provider that had them last (labels: provider, ending)"),
    (REPEATED, "Runs of jobs beyond their first, after a lost worker or a refusal"),
    (TURNED_AWAY, "Requests that were not accepted as a job (labels: reason)"),
    (TOKENS, "Tokens of jobs, as far as their providers count them (labels: provider, kind)"),
    (REFUSALS, "Jobs that a provider has refused or broken off (labels: provider, reason)"),
];
const HISTOGRAMS: [(&str, &str); 3] = [
    (QUEUE, "Time from a request to the first provider (labels: provider)"),
    (FIRST_BYTE, "Time from a request to the first byte of its answer (labels: provider)"),
    (TOTAL, "Time from a request to the end of its answer (labels: provider)"),
];
/// Upper bounds in seconds: from a local first token to a long answer.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0];

/// The recorder of one router.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    /// They are read. Otherwise samples of histograms would pile up.
    is_read: bool,
}

/// What a job that has ended adds.
#[derive(Debug)]
pub(crate) struct EndedJob<'a> {
    pub(crate) provider: &'a str,
    pub(crate) ending: &'static str,
    pub(crate) attempts: u32,
    /// Tokens by kind, where they are known.
    pub(crate) tokens: [(&'static str, Option<u64>); 3],
    pub(crate) queued: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) total: Duration,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A recorder that is read, or one that is not.
    ///
    /// # Errors
    /// The buckets cannot be set.
    pub(crate) fn new(is_read: bool) -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for (name, _) in HISTOGRAMS {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &BUCKETS)?;
        }
        let recorder = builder.build_recorder();
        let describe =
            |(name, help): (&'static str, &'static str)| (KeyName::from_const_str(name), SharedString::const_str(help));
        for (name, help) in GAUGES.map(describe) {
            recorder.describe_gauge(name, None, help);
        }
        for (name, help) in COUNTERS.map(describe) {
            recorder.describe_counter(name, None, help);
        }
        for (name, help) in HISTOGRAMS.map(describe) {
            recorder.describe_histogram(name, Some(Unit::Seconds), help);
        }
        let metrics = Self { recorder, is_read };
        metrics.set(INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        Ok(metrics)
    }

    /// A job has ended.
    pub(crate) fn ended(&self, job: &EndedJob<'_>) {
        let provider = ("provider", job.provider);
        self.add(JOBS, &[provider, ("ending", job.ending)], 1);
        self.add(REPEATED, &[], u64::from(job.attempts.saturating_sub(1)));
        for (kind, count) in job.tokens {
            if let Some(count) = count {
                self.add(TOKENS, &[provider, ("kind", kind)], count);
            }
        }
        let times = [(QUEUE, job.queued), (FIRST_BYTE, job.first_byte), (TOTAL, Some(job.total))];
        for (name, time) in times {
            if let Some(time) = time.filter(|_| self.is_read) {
                let histogram = self.recorder.register_histogram(&key(name, &[provider]), &METADATA);
                histogram.record(time.as_secs_f64());
            }
        }
    }

    /// A request was not accepted.
    pub(crate) fn turned_away(&self, reason: &'static str) {
        self.add(TURNED_AWAY, &[("reason", reason)], 1);
    }

    /// A provider has refused a job, or broken off its answer.
    pub(crate) fn refused(&self, provider: &str, reason: &'static str) {
        self.add(REFUSALS, &[("provider", provider), ("reason", reason)], 1);
    }

    /// Whether a provider gets requests.
    pub(crate) fn available(&self, provider: &str, is_available: bool) {
        self.set(AVAILABLE, &[("provider", provider)], if is_available { 1.0 } else { 0.0 });
    }

    /// All of them as text, with the numbers of this moment.
    pub(crate) fn render(&self, now: Summary) -> String {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).into();
        self.set(WORKERS, &[("state", "alive")], count(now.workers));
        self.set(WORKERS, &[("state", "silent")], count(now.silent));
        self.set(SLOTS, &[], now.total_slots.into());
        self.set(RUNNING, &[("at", "workers")], now.active_jobs.into());
        self.set(RUNNING, &[("at", "providers")], now.provided.into());
        self.set(WAITING, &[], count(now.waiting));
        self.recorder.handle().render()
    }

    /// Folds the samples of histograms; without it they would pile up between scrapes.
    pub(crate) fn fold(&self) {
        self.recorder.handle().run_upkeep();
    }

    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(count);
    }

    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.recorder.register_gauge(&key(name, labels), &METADATA).set(value);
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_is_described_and_is_in_the_guide() {
        let metrics = Metrics::new(true).unwrap();
        metrics.ended(&EndedJob {
            provider: "gpu",
            ending: "completed",
            attempts: 3,
            tokens: [("prompt", Some(5)), ("cached", None), ("output", Some(7))],
            queued: None,
            first_byte: Some(Duration::from_millis(20)),
            total: Duration::from_secs(2),
        });
        metrics.refused("cloud", "silent");
        metrics.available("cloud", false);
        metrics.turned_away("queue_full");
        let text = metrics.render(Summary { workers: 2, provided: 4, ..Summary::default() });
        for line in [
            "auxot_router_jobs_total{provider=\"gpu\",ending=\"completed\"} 1",
            "auxot_router_job_repeats_total 2",
            "auxot_router_requests_turned_away_total{reason=\"queue_full\"} 1",
            "auxot_router_tokens_total{provider=\"gpu\",kind=\"output\"} 7",
            "auxot_router_provider_refusals_total{provider=\"cloud\",reason=\"silent\"} 1",
            "auxot_router_provider_available{provider=\"cloud\"} 0",
            "auxot_router_workers{state=\"alive\"} 2",
            "auxot_router_jobs_running{at=\"providers\"} 4",
            "auxot_router_first_byte_seconds_bucket{provider=\"gpu\",le=\"0.025\"} 1",
            "auxot_router_job_seconds_sum{provider=\"gpu\"} 2",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("auxot_router_queue_seconds_count"), "its time is unknown");
        let guide = include_str!("../../../docs/providers.md");
        for (name, _) in GAUGES.iter().chain(&COUNTERS).chain(&HISTOGRAMS) {
            assert!(
                guide.contains(&format!("| `{name}{{")) || guide.contains(&format!("| `{name}` |")),
                "docs/providers.md has no {name}"
            );
        }
        let described = text.lines().filter(|line| line.starts_with("# HELP auxot_router_")).count();
        assert_eq!(described, GAUGES.len() + COUNTERS.len() + HISTOGRAMS.len() - 1);
    }

    #[test]
    fn samples_that_no_one_reads_are_not_kept() {
        let metrics = Metrics::new(false).unwrap();
        metrics.ended(&EndedJob {
            provider: "gpu",
            ending: "completed",
            attempts: 1,
            tokens: [("prompt", None), ("cached", None), ("output", None)],
            queued: None,
            first_byte: None,
            total: Duration::from_secs(2),
        });
        assert!(!metrics.render(Summary::default()).contains("_seconds"));
    }
}
