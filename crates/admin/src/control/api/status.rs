//! The state of the worker, its devices and its models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a running worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The program.
    pub worker: WorkerStatus,
    /// The router; absent where none is configured.
    pub router: Option<RouterStatus>,
    /// The metrics endpoint.
    pub metrics: MetricsStatus,
    /// The devices, in their order on this host.
    pub devices: Vec<DeviceStatus>,
    /// The models that the list, the router's policy, a job or a command has named; the primary one first.
    pub models: Vec<ModelStatus>,
    /// Downloads of missing models, the running one first.
    pub downloads: Vec<DownloadStatus>,
    /// Models of the folders that nothing has named yet.
    pub other_models: usize,
    /// Settings and policies that this host cannot meet, one sentence each.
    pub unmet: Vec<String>,
}

/// A download of a model that the list or the router's policy names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DownloadStatus {
    /// The model, by the name of the list or of the policy.
    pub model: String,
    /// Its state: `queued`, `resolving`, `receiving`, `complete`, `failed`.
    pub state: String,
    /// Bytes that are here, while they arrive.
    pub bytes: Option<u64>,
    /// Bytes of all its files, while they arrive.
    pub total_bytes: Option<u64>,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// Seconds between that failure and the next attempt.
    pub pause_seconds: Option<f64>,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStatus {
    /// Its version, with the commit.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// It finishes its jobs and ends.
    pub draining: bool,
}

/// The router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterStatus {
    /// Its address, without credentials.
    pub url: String,
    /// Why it sends no jobs, while there is a reason.
    pub trouble: Option<String>,
}

/// The metrics endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsStatus {
    /// Its address and port, while it listens.
    pub address: Option<String>,
    /// Why it does not listen, while that is so.
    pub trouble: Option<String>,
}

/// All devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Devices {
    /// The devices, in their order on this host.
    pub devices: Vec<DeviceStatus>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceStatus {
    /// Its id, as in settings and metrics.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Bytes of memory, where known.
    pub total_bytes: Option<u64>,
    /// Bytes in use by all processes, where known.
    pub used_bytes: Option<u64>,
    /// Bytes that models of this worker hold, where known.
    pub models_bytes: Option<u64>,
    /// Whether the engine can use it.
    pub usable: bool,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// What it is for: chat, embedding or rerank.
    pub task: String,
    /// Its state: `on_disk`, `waiting_for_room`, `reserved`, `loading`, `ready`, `draining`, `backoff`, `unloading`, `failed`.
    pub state: String,
    /// How far its load is, from 0 to 1, where its engine reports it.
    pub load_progress: Option<f32>,
    /// Jobs that it can run at once, now or once loaded.
    pub slots: u32,
    /// Jobs that it runs.
    pub slots_busy: u32,
    /// Jobs that wait for it.
    pub waiting: usize,
    /// Tokens of context of one slot, now or once loaded.
    pub ctx_size: u32,
    /// Bytes that its process holds, where known.
    pub memory_bytes: Option<u64>,
    /// The devices of its place, with estimated bytes.
    pub place: Vec<(String, u64)>,
    /// Bytes by device that its process holds; empty where that is unknown.
    pub memory: Vec<(String, u64)>,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Starts of its engine that followed a failure.
    pub restarts: u64,
    /// It is never evicted.
    pub pinned: bool,
    /// The newest failure of its engine.
    pub last_error: Option<String>,
    /// Figures of its jobs of the last minutes.
    pub figures: Figures,
}

/// Figures of the completed jobs of the last five minutes; a figure without a measurement is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Their number.
    pub jobs: usize,
    /// Tokens of one job per second of its generation, median.
    pub tokens_per_second: Option<f64>,
    /// From a job's arrival to its first text, median.
    pub first_token_seconds: Option<f64>,
    /// From a job's arrival to its end, median.
    pub latency_seconds: Option<f64>,
}
