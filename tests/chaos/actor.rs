//! The engines of the cells: the fake one, and the real one with a tiny model.

use std::path::PathBuf;

use auxot_tests::gguf::ModelFile;
use auxot_tests::{binaries, real};

/// The worker's engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The fake engine, which can be held at any place.
    Fake,
    /// The real engine with a tiny model that generates until it is stopped.
    Real,
}

impl Actor {
    /// The program.
    pub(crate) fn binary(self) -> PathBuf {
        match self {
            Actor::Fake => binaries::fake_engine(),
            Actor::Real => real::engine(),
        }
    }

    /// The model's name.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Actor::Fake => "tiny-chat-q4_k_m",
            Actor::Real => "tiny-loop-f16",
        }
    }

    /// The model as a router names it.
    pub(crate) fn router_name(self) -> (&'static str, &'static str) {
        match self {
            Actor::Fake => ("tiny-chat", "Q4_K_M"),
            Actor::Real => ("tiny-loop", "F16"),
        }
    }

    /// The content of the model file.
    pub(crate) fn model_bytes(self) -> Vec<u8> {
        match self {
            Actor::Fake => ModelFile::named(self.model()).bytes(),
            Actor::Real => std::fs::read(real::tiny_models().join(self.file())).unwrap(),
        }
    }

    /// The name of that file.
    pub(crate) fn file(self) -> String {
        format!("{}.gguf", self.model())
    }
}
