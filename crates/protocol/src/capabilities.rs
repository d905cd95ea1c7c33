//! What a worker reports: in `hello`, in `config`, and in every heartbeat.

use serde::{Deserialize, Serialize};

use crate::lenient::{is_false, null_default};

/// The capabilities of a worker; every router reads the first block, an old one ignores the second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `llama.cpp`, or `pending` before a model is known.
    #[serde(default, deserialize_with = "null_default")]
    pub backend: String,
    /// Name of the primary model, without quantisation.
    #[serde(default, deserialize_with = "null_default")]
    pub model: String,
    /// Context of the primary model in tokens **per slot**.
    #[serde(default, deserialize_with = "null_default")]
    pub ctx_size: u32,
    /// Device memory in GiB; absent when it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_gb: Option<f64>,
    /// Size of the primary model, `30B` or `751M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// Jobs at once on this connection; absent or 0 lets the router choose, so it is always sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_slots: Option<u32>,
    /// `chat`, `vision`, `embedding`, `code`, `reasoning`; sent in `config` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub model_capabilities: Vec<String>,

    /// Every model of this host, the primary first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub models: Vec<ModelReport>,
    /// Every device of this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub devices: Vec<DeviceReport>,
    /// The parts of the router's policy that this host cannot honour, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub unmet: Vec<String>,
    /// The operator's aliases for models of this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub aliases: Vec<AliasReport>,
    /// The names of this host's models beside their canonical ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub names: Vec<NamesReport>,
    /// The extensions of the protocol that the worker has; see [`crate::extension`].
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub extensions: Vec<String>,
    /// The worker drains: it finishes its jobs and wants no more.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "null_default")]
    pub draining: bool,
}

/// An operator's alias for a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasReport {
    /// The alias, as a job uses it.
    #[serde(default, deserialize_with = "null_default")]
    pub name: String,
    /// The model, by any of its names.
    #[serde(default, deserialize_with = "null_default")]
    pub model: String,
}

/// The names of a model beside its canonical one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesReport {
    /// Its canonical name.
    #[serde(default, deserialize_with = "null_default")]
    pub model: String,
    /// Its quantisation, from its file's name or else from its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Names of its file and of links to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub files: Vec<String>,
    /// Names from its header and its folders; weaker than names of files.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub around: Vec<String>,
}

/// The state of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On disk, no process; a job loads it.
    Stopped,
    /// Its process loads.
    Starting,
    /// It takes jobs.
    Ready,
    /// It finishes its jobs and takes no new ones.
    Draining,
    /// Its process is being stopped.
    Stopping,
    /// It crashed and will be started again.
    BackingOff,
    /// It has failed; an operator or a changed file starts it again.
    Failed,
}

/// One model of this host at the time of sending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name and quantisation, for example `llama-3.3-70b-q4_k_m`.
    pub name: String,
    /// Its state.
    pub state: ModelState,
    /// Slots of its engine, or those that it will have when a job loads it; absent while neither is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Slots that hold a job now.
    #[serde(default)]
    pub slots_busy: u32,
    /// Jobs waiting for a slot.
    #[serde(default)]
    pub queued: u32,
    /// Context in tokens per slot, as for `slots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctx_size: Option<u32>,
    /// Memory of its process in bytes, device and host; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Whole-job latency over the last minute, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p50_ms: Option<f64>,
    /// See `latency_p50_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p95_ms: Option<f64>,
    /// Median time to the first token over the last minute, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_p50_ms: Option<f64>,
    /// Tokens generated per second over the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// How long its last load took, milliseconds, while it is not loaded; absent before the first load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<f64>,
    /// Whether other models have to be unloaded to load it, while it is not loaded; absent where that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_evicts: Option<bool>,
    /// Restarts of its engine since the worker started.
    #[serde(default)]
    pub restarts: u64,
    /// What it can do: `chat`, `vision`, `embedding`, `rerank`; empty when it is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub capabilities: Vec<String>,
}

/// One device of this host; a figure that could not be read is absent, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Stable id: UUID or PCI address; `host` for main memory.
    pub id: String,
    /// Its name in the driver.
    pub name: String,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Bytes used by all processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// The heartbeat. An old router reads only the type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Every model, the primary first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub models: Vec<ModelReport>,
    /// Every device.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub devices: Vec<DeviceReport>,
    /// Jobs this worker holds, running or waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// See [`Capabilities::draining`].
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "null_default")]
    pub draining: bool,
}
