//! What an operator may set about the fleet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which models run from the start, and how long a job may wait for one.
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
    /// How long running jobs may go on once the worker or a model is told to stop.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub drain_timeout: Duration,
    /// How often the models folders are looked through where changes in them can go unnoticed: on file systems that other
    /// hosts write too, in more folders than the system watches, and while a model of the list or of the router's policy
    /// is missing. Other changes are noticed as they happen. It is also the shortest time between two looks for a name
    /// that is not there, and how often the files of a model that has failed are looked at, the engine's among them.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub rescan_interval: Duration,
    /// How long after it has failed for want of memory, or because its engine could not be started, a model is tried
    /// again.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub failed_retry: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            autoload: Vec::new(),
            max_waiting: 256,
            max_wait: Duration::from_secs(10 * 60),
            drain_timeout: Duration::from_secs(30),
            rescan_interval: Duration::from_secs(30),
            failed_retry: Duration::from_secs(5 * 60),
        }
    }
}
