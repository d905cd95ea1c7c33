//! One model with its history.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::ModelStatus;

/// All models that something has named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Models {
    /// The models, the primary one first.
    pub models: Vec<ModelStatus>,
    /// Names of models of the folders that nothing has named yet.
    pub others: Vec<String>,
}

/// A model and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelDetails {
    /// Its state now; absent where nothing has named it yet.
    pub status: Option<ModelStatus>,
    /// Its newest states, oldest first.
    pub states: Vec<StateChange>,
    /// Its newest processes, oldest first.
    pub runs: Vec<EngineRun>,
}

/// A state that a model entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateChange {
    /// When.
    pub at_ms: u64,
    /// The state.
    pub state: String,
    /// The failure that led to it, where one did.
    pub cause: Option<String>,
}

/// The processes of all engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineRuns {
    /// The processes that run, and the newest that have ended, by model, oldest first.
    pub runs: Vec<EngineRun>,
}

/// One process of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineRun {
    /// Its model.
    pub model: String,
    /// Its process id.
    pub pid: u32,
    /// When it was first seen.
    pub started_ms: u64,
    /// When it took jobs.
    pub ready_ms: Option<u64>,
    /// When it was seen no more.
    pub ended_ms: Option<u64>,
    /// The failure that ended it, where one did.
    pub cause: Option<String>,
}
