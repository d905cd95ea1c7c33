//! What one engine is to serve, decided by whoever wants it.

use std::path::PathBuf;

use crate::file_id::FileId;

/// What an engine does with its model; it is started differently for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Task {
    /// Writes text.
    #[default]
    Chat,
    /// Makes vectors.
    Embedding {
        /// How the vectors of a text's tokens become one, in the engine's word.
        pooling: &'static str,
    },
    /// Scores texts against a query.
    Rerank,
}

impl Task {
    /// Whether it reads a text as a whole and writes none.
    pub(crate) fn reads_only(self) -> bool {
        matches!(self, Task::Embedding { .. } | Task::Rerank)
    }
}

/// One model on this host: the file and how it is to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Name of the model, also the engine's only alias; appears in logs and metrics.
    pub model: String,
    /// The GGUF file, or the first of its shards.
    pub file: PathBuf,
    /// What the files were when they were looked at. Where one is another by the time of a start, nothing is started: a crash
    /// is no reason to serve something else.
    pub files: Vec<(PathBuf, FileId)>,
    /// The projector that lets it see or hear.
    pub mmproj: Option<PathBuf>,
    /// What it is to do.
    pub task: Task,
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
