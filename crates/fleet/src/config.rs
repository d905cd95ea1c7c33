//! The `[fleet]` table of the settings.

mod check;
mod layers;
mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use auxot_catalog::Model;
use serde::{Deserialize, Serialize};

pub use check::{device_warning, table_warnings};
pub use layers::with_layers;
pub use model::ModelConfig;

/// Which models run, with which parameters, and how long a job may wait for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names of the models to load at start, the primary one first.
    pub autoload: Vec<String>,
    /// Jobs that may wait for a slot of one model; one more is refused.
    pub max_waiting: usize,
    /// How long a job may wait for a slot, a load included.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub max_wait: Duration,
    /// How long running jobs may go on once the worker or a model is stopped.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub drain_timeout: Duration,
    /// How often the models folders are scanned where changes in them can go unnoticed: on file systems that other hosts write
    /// too, in more folders than the system watches, and while a model of the list or of the router's policy is missing. Other
    /// changes are noticed as they happen. It is also the shortest time between two scans for an unknown name, and how often
    /// the files of a failed model are checked, the engine's among them.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub rescan_interval: Duration,
    /// Whether a job may name any model of the models folders, which is then loaded for it; else only those of the list and of
    /// the router's policy are served. Where none of those is here, a job that names no model gets the first of the folders
    /// until one comes.
    pub on_demand: bool,
    /// Whether a missing model of the list or of the router's policy is downloaded, if the table of models has its name. One at
    /// a time; a failed download is tried again, after `failed_retry` at first and up to sixteen times that. No file is removed
    /// for it.
    pub pull: bool,
    /// Whether a loaded model whose file is replaced is reloaded once it is idle. Otherwise its engine keeps the old file until
    /// the next load. A model whose file is deleted is unloaded in any case.
    pub reload_changed: bool,
    /// How long after a failure a model is retried, unless its file or its arguments are the cause.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub failed_retry: Duration,
    /// After how long without a job a model is unloaded; unset, or zero, is never.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub ttl: Option<Duration>,
    /// How long a loaded model is safe from eviction.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub min_loaded_time: Duration,
    /// How long a job waits for its model before a busy model may be evicted for it.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub preempt_after: Duration,
    /// How long to wait until the memory of an exited engine is seen free; after that the next load uses what is measured.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub release_timeout: Duration,
    /// Settings of single models, by any name that the catalog knows for them.
    pub models: BTreeMap<String, ModelConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            autoload: Vec::new(),
            max_waiting: 256,
            max_wait: Duration::from_secs(10 * 60),
            drain_timeout: Duration::from_secs(30),
            rescan_interval: Duration::from_secs(30),
            on_demand: true,
            pull: false,
            reload_changed: true,
            failed_retry: Duration::from_secs(5 * 60),
            ttl: None,
            min_loaded_time: Duration::from_secs(20),
            preempt_after: Duration::from_secs(15),
            release_timeout: Duration::from_secs(10),
            models: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The settings of one model, by any of its names.
    #[must_use]
    pub fn of<'a>(&self, model: &Model, resolve: impl Fn(&str) -> Option<&'a Model>) -> ModelConfig {
        let means = |name: &String| resolve(name).is_some_and(|found| found.file == model.file);
        self.models.iter().find(|(name, _)| means(name)).map(|(_, own)| own.clone()).unwrap_or_default()
    }

    /// After how long without a job a model is unloaded; `None` is never, as for each pinned model.
    #[must_use]
    pub fn ttl_of(&self, model: &ModelConfig) -> Option<Duration> {
        model.ttl.or(self.ttl).filter(|ttl| !model.pin && !ttl.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_s_own_ttl_wins_and_zero_is_never() {
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        let ttl = |of_all, own| {
            Config { ttl: of_all, ..Config::default() }.ttl_of(&ModelConfig { ttl: own, ..ModelConfig::default() })
        };
        assert_eq!(ttl(None, None), None);
        assert_eq!(ttl(minutes(5), None), minutes(5));
        assert_eq!(ttl(minutes(5), minutes(1)), minutes(1));
        assert_eq!(ttl(minutes(5), minutes(0)), None);
        assert_eq!(ttl(minutes(0), None), None);
        let pinned = ModelConfig { pin: true, ..ModelConfig::default() };
        assert_eq!(Config { ttl: minutes(5), ..Config::default() }.ttl_of(&pinned), None);
    }
}
