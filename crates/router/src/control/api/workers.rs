//! The workers, their devices and their models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::hub::Times;
pub use auxot_protocol::ModelState;

/// All workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workers {
    /// The connected workers, in the order in which they came.
    pub workers: Vec<WorkerStatus>,
}

/// A connected worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStatus {
    /// The id of its connection.
    pub id: String,
    /// Where it has connected from.
    pub address: String,
    /// What it calls itself, with its version; absent where it does not say.
    pub program: Option<String>,
    /// The name of its key.
    pub key: String,
    /// Whether it gets jobs.
    pub health: Health,
    /// Seconds since it has connected.
    pub connected_seconds: f64,
    /// Seconds since its last heartbeat; absent before the first.
    pub heartbeat_seconds: Option<f64>,
    /// Its backend: `llama.cpp`, or `pending` before it knows its model.
    pub backend: String,
    /// Its devices.
    pub devices: Vec<DeviceStatus>,
    /// Its models, the primary one first.
    pub models: Vec<ModelStatus>,
    /// Jobs of this router that it runs.
    pub slots_used: usize,
    /// Jobs that it can run at once, with the models that are loaded.
    pub slots: u32,
    /// Times of its jobs.
    pub times: Times,
    /// Parts of the router's policy that it cannot meet, one sentence each.
    pub unmet: Vec<String>,
}

/// Whether a worker gets jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It gets jobs.
    Alive,
    /// It finishes its jobs and wants no more.
    Draining,
    /// It has sent no heartbeat for the threshold: it gets no jobs, and its jobs went to others.
    Dead,
}

/// A device of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceStatus {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Bytes of memory, where known.
    pub total_bytes: Option<u64>,
    /// Bytes in use by all processes, where known.
    pub used_bytes: Option<u64>,
    /// Bytes that are free, where known.
    pub free_bytes: Option<u64>,
}

/// A model of a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// Its state; absent where the worker does not report it.
    pub state: Option<ModelState>,
    /// What it can do: chat, vision, embedding, rerank; empty where that is unknown.
    pub capabilities: Vec<String>,
    /// Jobs of this router that it runs.
    pub slots_used: usize,
    /// Jobs that it can run at once, now or once loaded, where known.
    pub slots: Option<u32>,
    /// Jobs that wait for a slot at the worker, those of others included.
    pub queued: u32,
    /// Tokens of context of one slot, where known.
    pub ctx_size: Option<u32>,
    /// Bytes that it holds, where known.
    pub memory_bytes: Option<u64>,
    /// Tokens generated per second over the last minute, where known.
    pub tokens_per_second: Option<f64>,
    /// Seconds that its last load took, where known.
    pub load_seconds: Option<f64>,
    /// Whether other models have to be unloaded to load it, where known.
    pub load_evicts: Option<bool>,
    /// Restarts of its engine.
    pub restarts: u64,
}
