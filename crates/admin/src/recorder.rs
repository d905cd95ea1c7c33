//! The metrics recorder of the process.

use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::renamed::add_old_names;

/// How often histogram samples are folded into their buckets; without it they would pile up between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);
const INFO: &str = "auxot_worker_info";

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// A histogram has no buckets.
    #[error("cannot set the buckets of {name}: {reason}")]
    Buckets {
        /// The histogram.
        name: String,
        /// The error of the library.
        reason: String,
    },
    /// The process has a recorder already.
    #[error("cannot install the metrics recorder: {0}")]
    Installed(String),
}

/// A handle of the recorder: renders the metrics and folds samples.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Installs the recorder of the process; `histograms` are names with the upper bounds of their buckets.
    ///
    /// # Errors
    /// A histogram has no buckets, or the process has a recorder already.
    pub fn install(histograms: &[(&str, &[f64])]) -> Result<Self, RecorderError> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in histograms {
            builder = builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
                .map_err(|error| RecorderError::Buckets { name: (*name).to_owned(), reason: error.to_string() })?;
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|error| RecorderError::Installed(error.to_string()))?;
        metrics::describe_gauge!(INFO, "Always 1; the label says which version runs (labels: version)");
        gauge!(INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self { handle })
    }

    /// Folds samples forever; runs beside the server.
    pub async fn upkeep(&self) {
        let mut due = tokio::time::interval(UPKEEP);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.handle.run_upkeep();
        }
    }

    pub(crate) fn render(&self) -> String {
        let mut text = self.handle.render();
        add_old_names(&mut text);
        text
    }
}
