//! What happens to models, engines and the router, and what engines print.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The newest events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// The events, oldest first.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number, which grows also over restarts of the worker.
    pub id: u64,
    /// When.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A model entered a state.
    Model {
        /// The model.
        model: String,
        /// The state before; absent for a model that is new.
        from: Option<String>,
        /// The state.
        to: String,
        /// The failure that led to it, where one did.
        cause: Option<String>,
    },
    /// A model is gone: its file, or every reason to keep it.
    ModelGone {
        /// The model.
        model: String,
    },
    /// The download of a missing model entered a state, or another tenth of it is here.
    Download {
        /// The model, by the name of the list or of the policy.
        model: String,
        /// The state: `queued`, `resolving`, `receiving`, `complete`, `failed`.
        to: String,
        /// Bytes that are here, while they arrive.
        bytes: Option<u64>,
        /// Bytes of all its files, while they arrive.
        total_bytes: Option<u64>,
        /// Why it failed.
        reason: Option<String>,
    },
    /// An engine's process was started.
    EngineStarted {
        /// The model.
        model: String,
        /// The process.
        pid: u32,
    },
    /// An engine's process has ended.
    EngineEnded {
        /// The model.
        model: String,
        /// The process.
        pid: u32,
        /// The failure that ended it, where one did.
        cause: Option<String>,
    },
    /// The router sends jobs again, or does not.
    Router {
        /// Why it does not.
        trouble: Option<String>,
    },
    /// A command of the operator was accepted.
    Command {
        /// The command.
        command: String,
        /// The model that it is for, where it is for one.
        model: Option<String>,
    },
    /// Events that were dropped before this stream could have them.
    Missed {
        /// Their number, where known.
        events: Option<u64>,
    },
}

/// The newest lines of a model's engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLines {
    /// The model.
    pub model: String,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
}

/// One line that an engine has printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Its number among the lines of the model.
    pub number: u64,
    /// The process that printed it, counted from 1 over all processes of the model.
    pub process: u64,
    /// When it was read.
    pub at_ms: u64,
    /// The line.
    pub text: String,
}
