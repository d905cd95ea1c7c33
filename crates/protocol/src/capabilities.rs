//! What a worker tells about itself: in `hello`, in `config`, and with every heartbeat.

use serde::{Deserialize, Serialize};

use crate::lenient::{is_false, null_default};

/// What a worker can do; the first block is what every router reads, the second an old one ignores.
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
    /// Jobs at once on this link; absent or 0 lets the router choose, so we always say it.
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
    /// What of the router's policy this host cannot honour, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub unmet: Vec<String>,
    /// The operator's own names for models of this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub aliases: Vec<AliasReport>,
    /// What models of this host are called besides their canonical names.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub names: Vec<NamesReport>,
    /// The extensions of the protocol that the worker has; see [`crate::extension`].
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub extensions: Vec<String>,
    /// The worker ends: it finishes what it has begun and wants no more jobs.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "null_default")]
    pub draining: bool,
}

/// A name of an operator's own for a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasReport {
    /// What a job may say.
    #[serde(default, deserialize_with = "null_default")]
    pub name: String,
    /// The model that it means, by any name that finds it.
    #[serde(default, deserialize_with = "null_default")]
    pub model: String,
}

/// What a model is called besides its canonical name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesReport {
    /// Its canonical name.
    #[serde(default, deserialize_with = "null_default")]
    pub model: String,
    /// Its quantisation, as its file's name or else its header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Names of its file, and of links to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub files: Vec<String>,
    /// What its header and its folders say; weaker than names of files.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub around: Vec<String>,
}

/// The words for a model's state that go over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On disk, no process.
    Stopped,
    /// Its process loads.
    Starting,
    /// Takes jobs.
    Ready,
    /// Finishes its jobs, takes no new ones.
    Draining,
    /// Its process is being ended.
    Stopping,
    /// Crashed; will be started again.
    BackingOff,
    /// Gave up; an operator or a changed file brings it back.
    Failed,
}

/// One model of this host, as of the moment of sending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name and quantisation, for example `llama-3.3-70b-q4_k_m`.
    pub name: String,
    /// Where its process stands.
    pub state: ModelState,
    /// Slots of its engine, or those that it will have once a job has it loaded; absent while neither can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Slots that hold a job now.
    #[serde(default)]
    pub slots_busy: u32,
    /// Jobs waiting for a slot.
    #[serde(default)]
    pub queued: u32,
    /// Context in tokens per slot, in the same sense.
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
    /// Engine processes started again since the worker began.
    #[serde(default)]
    pub restarts: u64,
    /// What it can do: `chat`, `vision`, `embedding`, `rerank`; empty where the worker does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub capabilities: Vec<String>,
}

/// One device of this host; a figure that could not be read is absent, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Stable id: UUID or PCI address; `host` for main memory.
    pub id: String,
    /// What the driver calls it.
    pub name: String,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Bytes, by everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// The pulse. An old router reads the type and nothing else; ours reads all of it.
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
