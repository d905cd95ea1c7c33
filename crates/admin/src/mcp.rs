//! The operations of the control socket as tools for agents.
//!
//! Each call is one request to the control socket, so that tools, commands and the page do the same. A load answers at once:
//! clients give up after a minute, whatever the progress; `model_details` shows how it goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auxot_control_socket::{Arguments, McpServer, Tool, ToolEffect, ToolParameter, ToolSet};
use serde::Serialize;
use serde_json::Value;

use crate::control::api::LogLevel;
use crate::control::client::{self, ControlError};

/// Lines of a log that are given where the agent does not say how many.
const LINES: usize = 100;

const MODEL: ToolParameter = ToolParameter {
    name: "model",
    about: "Any name of the model; the tool `models` lists all",
    kind: "string",
    required: true,
};
const ANY_MODEL: ToolParameter = ToolParameter { required: false, ..MODEL };
const LINE_COUNT: ToolParameter =
    ToolParameter { name: "lines", about: "The most lines; 100 where it is absent", kind: "integer", required: false };
const LEVEL: ToolParameter = ToolParameter {
    name: "level",
    about: "error, warn, info, debug or trace; absent: only read it",
    kind: "string",
    required: false,
};

const fn reads(name: &'static str, about: &'static str, parameters: &'static [ToolParameter]) -> Tool {
    Tool { name, about, parameters, effect: ToolEffect::Reads }
}

const fn steers(name: &'static str, about: &'static str, parameters: &'static [ToolParameter]) -> Tool {
    Tool { name, about, parameters, effect: ToolEffect::Steers }
}

const TOOLS: &[Tool] = &[
    reads(
        "worker_status",
        "The state of the GPU worker: what is wrong, its router, devices, models and their speed",
        &[],
    ),
    reads("devices", "The devices and who holds their memory", &[]),
    reads("models", "The models: their state, slots, memory and speed", &[]),
    reads(
        "model_details",
        "One model: its state now, its last states, its last processes and why they ended",
        &[MODEL],
    ),
    reads(
        "model_log",
        "The newest lines that the engine of a model printed, also of one that has failed",
        &[MODEL, LINE_COUNT],
    ),
    reads("jobs", "The jobs that run and the newest that have ended, with their times", &[]),
    reads("events", "What happened lately to models, engines and the router", &[]),
    steers("load_model", "Load a model now; a failed one is tried again. Answers at once", &[MODEL]),
    steers("unload_model", "Unload a model; its running jobs may finish", &[MODEL]),
    steers("pin_model", "Never evict a model, until the worker ends", &[MODEL]),
    steers("unpin_model", "Let a model be evicted again", &[MODEL]),
    steers("reset_model", "Try a failed model again; without a model, all that have failed", &[ANY_MODEL]),
    steers("reload_settings", "Read the settings again; tells which keys were applied", &[]),
    steers("log_level", "Read the level of the worker's log, or change it until the worker ends", &[LEVEL]),
    Tool {
        name: "drain_worker",
        about: "Let the running jobs finish, then end the worker. It is not started again by this",
        parameters: &[],
        effect: ToolEffect::Destroys,
    },
];

/// The tools of the worker that runs on this host.
#[derive(Debug, Clone)]
pub enum WorkerTools {
    /// Of the first that answers, of those with a runtime directory in one of these bases.
    Below(Arc<[PathBuf]>),
    /// Of the one with this control socket.
    At(Arc<Path>),
}

/// The tools for a worker with a runtime directory in one of these bases.
#[must_use]
pub fn mcp_server(bases: &[PathBuf], version: &str) -> McpServer<WorkerTools> {
    McpServer::new(WorkerTools::Below(bases.into()), version)
}

impl ToolSet for WorkerTools {
    const PROGRAM: &'static str = "auxot-worker";
    const INSTRUCTIONS: &'static str = "Shows and steers the auxot-worker of this host, which serves language models on its \
        GPUs. Begin with worker_status: it says what is wrong and lists devices and models. load_model answers at once; ask \
        model_details until the state is ready or failed. model_log has what an engine printed, also after a failure.";
    const TOOLS: &'static [Tool] = TOOLS;

    async fn call(&self, tool: &'static Tool, arguments: Arguments) -> Result<Value, String> {
        let socket = match self {
            Self::Below(bases) => client::find(bases).await.map_err(|fault| fault.to_string())?,
            Self::At(socket) => socket.to_path_buf(),
        };
        call(&socket, tool, &arguments).await.map_err(|fault| fault.to_string())
    }
}

/// Carries out one call.
async fn call(socket: &Path, tool: &Tool, arguments: &Arguments) -> Result<Value, ControlError> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let model = text("model").unwrap_or_default();
    let lines = arguments.get("lines").and_then(Value::as_u64).and_then(|lines| usize::try_from(lines).ok());
    let verb = tool.name.strip_suffix("_model").unwrap_or_default();
    match tool.name {
        "worker_status" => value(client::status(socket).await),
        "devices" => value(client::devices(socket).await),
        "models" => value(client::models(socket).await),
        "model_details" => value(client::model(socket, model).await),
        "model_log" => value(client::log(socket, model, lines.unwrap_or(LINES)).await),
        "jobs" => value(client::jobs(socket).await),
        "events" => value(client::events(socket).await),
        "reload_settings" => value(client::reload(socket).await),
        "drain_worker" => value(client::drain(socket).await),
        "log_level" => value(match text("level") {
            Some(level) => client::set_log_level(socket, &LogLevel { level: level.to_owned() }).await,
            None => client::log_level(socket).await,
        }),
        _ => value(client::command(socket, verb, Some(model).filter(|model| !model.is_empty())).await),
    }
}

fn value<T: Serialize>(answer: Result<T, ControlError>) -> Result<Value, ControlError> {
    // These messages are texts, numbers and lists: they can always be serialised.
    answer.map(|answer| serde_json::to_value(answer).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_worker_a_tool_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let tools = WorkerTools::Below([folder.path().to_owned()].into());
        let answer = tools.call(&TOOLS[0], Arguments::new()).await;
        assert!(answer.unwrap_err().starts_with("cannot find a running worker"));
    }
}
