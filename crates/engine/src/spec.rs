//! What one engine serves, and how it is run.

use std::path::PathBuf;

use crate::file_id::FileId;

/// What an engine does with its model; each task has its own arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Task {
    /// Generates text.
    #[default]
    Chat,
    /// Computes embeddings.
    Embedding {
        /// How the vectors of a text's tokens become one, as the engine's `--pooling` names it.
        pooling: &'static str,
    },
    /// Scores texts against a query.
    Rerank,
}

impl Task {
    /// Whether it reads a text as a whole and generates none.
    pub(crate) fn reads_only(self) -> bool {
        matches!(self, Task::Embedding { .. } | Task::Rerank)
    }
}

/// One model on this host: its files and how an engine runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Name of the model, also the engine's only alias; appears in logs and metrics.
    pub model: String,
    /// The GGUF file, or the first of its shards.
    pub file: PathBuf,
    /// The identities of the files when the model was planned. Where one has changed by the time of a start, no process is
    /// started: a restart must not serve another model.
    pub files: Vec<(PathBuf, FileId)>,
    /// The multimodal projector (`--mmproj`) for images or audio.
    pub mmproj: Option<PathBuf>,
    /// What the engine does with the model.
    pub task: Task,
    /// Requests at the same time; at least 1.
    pub slots: u32,
    /// Context of each slot in tokens.
    pub ctx_per_slot: u32,
    /// Tokens between two checkpoints of a conversation.
    pub checkpoint_step: u32,
    /// The arguments that place the model: layers, split, devices. Without layers among them the configured number counts.
    pub layout: Vec<String>,
    /// The type of the KV cache, as the engine names it; unset means the engine's default.
    pub kv_type: Option<String>,
    /// Arguments added to the command line; they override ours and the configured ones.
    pub extra_args: Vec<String>,
    /// Environment added for this engine.
    pub env: Vec<(String, String)>,
}
