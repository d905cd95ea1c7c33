//! The messages of the control socket.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`Status`] |
//! | `POST /v1/models/VERB` with [`ModelCommand`], VERB one of `load`, `unload`, `pin`, `unpin`, `reset` | [`CommandDone`] |
//!
//! An error has a 4xx or 5xx status and the body [`CommandFailed`].

use serde::{Deserialize, Serialize};

/// The state of a running worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program.
    pub worker: WorkerStatus,
    /// The router; `None` where none is configured.
    pub router: Option<RouterStatus>,
    /// The devices, in their order on this host.
    pub devices: Vec<DeviceStatus>,
    /// The models that the list, the router's policy, a job or a command has named; the primary one first.
    pub models: Vec<ModelStatus>,
    /// Models of the folders that nothing has named yet.
    pub other_models: usize,
    /// Settings and policies that this host cannot meet, one sentence each.
    pub unmet: Vec<String>,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its version, with the commit.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
}

/// The router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Its address, without credentials.
    pub url: String,
    /// Why it sends no jobs, while there is a reason.
    pub trouble: Option<String>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// What it is for: chat, embedding or rerank.
    pub task: String,
    /// Its state: `on_disk`, `waiting_for_room`, `reserved`, `loading`, `ready`, `draining`, `backoff`, `unloading`, `failed`.
    pub state: String,
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
    /// The devices of its place, with bytes.
    pub place: Vec<(String, u64)>,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Starts of its engine that followed a failure.
    pub restarts: u64,
    /// It is never evicted.
    pub pinned: bool,
    /// The newest failure of its engine.
    pub last_error: Option<String>,
}

/// A command for one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCommand {
    /// Any name of the model. `reset` without one is for all models.
    pub model: Option<String>,
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDone {
    /// The models that it was for.
    pub models: Vec<String>,
}

/// The answer to a command that was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFailed {
    /// Why not.
    pub error: String,
}
