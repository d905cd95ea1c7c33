//! The task of a model, from its header.

use std::fmt;

use crate::gguf::{Gguf, Value};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Writes text.
    Chat,
    /// Turns text into vectors.
    Embedding,
    /// Scores texts against a query.
    Rerank,
    /// Nothing that llama-server answers: diffusion, encoders, images, audio, drafts, vocabularies.
    None,
}

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last token.
    Last,
}

/// `<arch>.pooling_type` as llama.cpp counts it. Its saver writes a missing one as 4294967295.
const POOLING_MEAN: u64 = 1;
const POOLING_CLS: u64 = 2;
const POOLING_LAST: u64 = 3;
const POOLING_RANK: u64 = 4;

/// Architectures that make vectors, whether or not the header names a pooling.
const EMBEDDERS: [&str; 10] = [
    "bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "eurobert",
    "gemma-embedding",
    "llama-embed",
];

/// Architectures of language models that llama-server cannot serve: text diffusion, encoders with or without a decoder,
/// drafts for speculative decoding, parts of speech synthesis.
const UNSERVED: [&str; 13] = [
    "dream",
    "llada",
    "llada-moe",
    "rnd1",
    "t5",
    "t5encoder",
    "eagle3",
    "dflash",
    "gemma4-assistant",
    "wavtokenizer-dec",
    "qwen3tts",
    "pockettts",
    "clip",
];

/// Architectures of other programs' files: images, video, speech.
const NO_LANGUAGE: [&str; 19] = [
    "aura",
    "cosmos",
    "flux",
    "hidream",
    "hyvid",
    "kokoro",
    "lumina2",
    "ltxv",
    "parler-tts",
    "pig",
    "qwen_image",
    "sd1",
    "sd2",
    "sd3",
    "sdxl",
    "wan",
    "whisper",
    "z_image",
    "dia",
];

impl Task {
    /// Reads the task from a header. The engine does not serve an encoder that it starts as a chat model, so the task
    /// must be known before the start.
    pub(crate) fn of(arch: &str, header: &Gguf) -> Self {
        let is_none = UNSERVED.contains(&arch) || NO_LANGUAGE.contains(&arch) || is_diffusion(header);
        if is_none || header.weights().tensors == 0 {
            return Self::None;
        }
        let is_causal = header.arch_get("attention.causal") != Some(&Value::Bool(false));
        match header.arch_uint("pooling_type") {
            Some(POOLING_RANK) => Self::Rerank,
            Some(POOLING_MEAN..=POOLING_LAST) => Self::Embedding,
            // Zero is none, and so is a number that no version of the engine has.
            _ if EMBEDDERS.contains(&arch) => Self::Embedding,
            _ if is_causal => Self::Chat,
            _ => Self::None,
        }
    }

    /// Whether llama-server can serve it.
    #[must_use]
    pub fn is_served(self) -> bool {
        self != Self::None
    }
}

/// Headers of text diffusion say how to sample.
fn is_diffusion(header: &Gguf) -> bool {
    header.keys().any(|(key, _)| key.starts_with("diffusion."))
}

impl Pooling {
    /// Reads the pooling of an embedding model. One that names none gets the mean, the default of its makers; without a
    /// pooling the engine gives no vector for a text.
    pub(crate) fn of(header: &Gguf) -> Self {
        match header.arch_uint("pooling_type") {
            Some(POOLING_CLS) => Self::Cls,
            Some(POOLING_LAST) => Self::Last,
            _ => Self::Mean,
        }
    }

    /// The engine's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
            Self::None => "none",
        })
    }
}
