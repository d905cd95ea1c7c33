//! The state of the router.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::KeyStatus;
use super::providers::ProviderStatus;
use super::workers::WorkerStatus;

/// The state of a running router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// What is wrong, each with what to do.
    pub faults: Vec<String>,
    /// The program.
    pub router: RouterStatus,
    /// Jobs that run and wait.
    pub queue: QueueStatus,
    /// The connected workers, in the order in which they came.
    pub workers: Vec<WorkerStatus>,
    /// The providers beside the workers, in the order in which they are asked.
    pub providers: Vec<ProviderStatus>,
    /// The keys; of many, the newest.
    pub keys: Vec<KeyStatus>,
    /// Keys that are not listed here.
    pub other_keys: usize,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterStatus {
    /// Its version, with the commit.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// The address that it listens on.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// It finishes its jobs and ends.
    pub stopping: bool,
}

/// Jobs that run and wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    /// Jobs that run on workers.
    pub running: u32,
    /// Jobs that the live workers can run at once.
    pub slots: u32,
    /// Jobs that other providers have.
    pub provided: u32,
    /// Jobs that wait for a provider.
    pub waiting: usize,
    /// Jobs that may wait.
    pub most_waiting: usize,
    /// How long the oldest of them has waited.
    pub oldest_seconds: Option<f64>,
}
