//! What one instance is to serve, decided by whoever wants it.

use std::path::PathBuf;

/// One model on this host: the file and how it is to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Name of the model, also the engine's only alias; appears in logs and metrics.
    pub model: String,
    /// The GGUF file, or the first of its shards.
    pub file: PathBuf,
    /// The projector that lets it see or hear.
    pub mmproj: Option<PathBuf>,
    /// Whether it makes embeddings instead of text.
    pub embedding: bool,
    /// Requests side by side; at least 1.
    pub slots: u32,
    /// Context of each slot in tokens; unset means the configured size, or 4096.
    pub ctx_per_slot: Option<u32>,
    /// The arguments that say where it lies: layers, split, devices. Where none of them says layers, the configured ones
    /// count.
    pub layout: Vec<String>,
    /// How its cache is stored, in the engine's word; unset means the engine's default.
    pub kv_type: Option<String>,
    /// Arguments added to the command line; they win over ours and over the configured ones.
    pub extra_args: Vec<String>,
    /// Environment added for this child.
    pub env: Vec<(String, String)>,
}
