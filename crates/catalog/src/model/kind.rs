//! What a model is for, as its header tells.

use std::fmt;

use crate::gguf::Gguf;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Writes text.
    Chat,
    /// Turns text into vectors.
    Embedding,
    /// Scores texts against a query.
    Rerank,
}

/// `<arch>.pooling_type` of a model with a ranking head, as llama.cpp counts them.
const POOLING_RANK: u64 = 4;

/// Architectures that have no decoder, whether or not the header names a pooling.
const ENCODERS: [&str; 9] = [
    "bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "eurobert",
    "gemma-embedding",
];

impl Kind {
    /// Reads the kind from a header. The engine aborts when an encoder is started as a chat model,
    /// so this has to be known before the start.
    pub(crate) fn of(arch: &str, header: &Gguf) -> Self {
        match header.arch_uint("pooling_type") {
            Some(POOLING_RANK) => Self::Rerank,
            Some(1..) => Self::Embedding,
            Some(0) | None if ENCODERS.contains(&arch) => Self::Embedding,
            Some(0) | None => Self::Chat,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
        })
    }
}
