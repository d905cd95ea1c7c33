//! The router's metrics, in the text format of Prometheus.

use std::fmt;

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

const JOBS: &str = "auxot_router_jobs_total";
const REFUSALS: &str = "auxot_router_provider_refusals_total";
const AVAILABLE: &str = "auxot_router_provider_available";

/// The recorder of one router.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let text = |text: &'static str| SharedString::const_str(text);
        recorder.describe_counter(
            KeyName::from_const_str(JOBS),
            None,
            text("Jobs that have ended, by the provider that had them last (labels: provider, ending)"),
        );
        recorder.describe_counter(
            KeyName::from_const_str(REFUSALS),
            None,
            text("Jobs that a provider has refused or broken off (labels: provider, reason)"),
        );
        recorder.describe_gauge(
            KeyName::from_const_str(AVAILABLE),
            None,
            text("Whether a provider gets requests: 0 while its circuit breaker is open (labels: provider)"),
        );
        Self { recorder }
    }
}

impl Metrics {
    /// A job has ended.
    pub(crate) fn ended(&self, provider: &str, ending: &'static str) {
        self.counter(JOBS, &[("provider", provider), ("ending", ending)]).increment(1);
    }

    /// A provider has refused a job, or broken off its answer.
    pub(crate) fn refused(&self, provider: &str, reason: &'static str) {
        self.counter(REFUSALS, &[("provider", provider), ("reason", reason)]).increment(1);
    }

    /// Whether a provider gets requests.
    pub(crate) fn available(&self, provider: &str, is_available: bool) {
        self.gauge(AVAILABLE, &[("provider", provider)]).set(if is_available { 1.0 } else { 0.0 });
    }

    /// All of them as text.
    pub(crate) fn render(&self) -> String {
        self.recorder.handle().render()
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
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
    fn each_series_is_described_and_has_its_labels() {
        let metrics = Metrics::default();
        metrics.ended("gpu", "completed");
        metrics.ended("gpu", "completed");
        metrics.refused("cloud", "silent");
        metrics.available("cloud", false);
        let text = metrics.render();
        for line in [
            "auxot_router_jobs_total{provider=\"gpu\",ending=\"completed\"} 2",
            "auxot_router_provider_refusals_total{provider=\"cloud\",reason=\"silent\"} 1",
            "auxot_router_provider_available{provider=\"cloud\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(text.matches("# HELP").count(), 3, "{text}");
    }
}
