//! The operations of the control socket as tools for agents, in the Model Context Protocol.
//!
//! Each call is one request to the control socket, so that tools, commands and the page do the same. A load answers at once:
//! clients give up after a minute, whatever the progress; `model_details` shows how it goes.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::tower::StreamableHttpServerConfig;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::control::api::LogLevel;
use crate::control::client::{self, ControlError};

/// Lines of a log that are given where the agent does not say how many.
const LINES: usize = 100;
const INSTRUCTIONS: &str = "Shows and steers the auxot-worker of this host, which serves language models on its GPUs. Begin with \
    worker_status: it says what is wrong and lists devices and models. load_model answers at once; ask model_details until the \
    state is ready or failed. model_log has what an engine printed, also after a failure.";

/// Where the worker is.
#[derive(Debug, Clone)]
enum Worker {
    /// The first that answers, of those with a runtime directory in one of these bases.
    Below(Arc<[PathBuf]>),
    /// The one with this control socket.
    At(Arc<Path>),
}

/// What a tool takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Model,
    /// A model, or none for all.
    AnyModel,
    /// A model and a number of lines.
    Lines,
    /// A level of the log, or none to read it.
    Level,
}

/// One tool.
struct Entry {
    name: &'static str,
    about: &'static str,
    takes: Takes,
    /// Whether it changes nothing.
    reads: bool,
}

const fn reads(name: &'static str, about: &'static str, takes: Takes) -> Entry {
    Entry { name, about, takes, reads: true }
}

const fn steers(name: &'static str, about: &'static str, takes: Takes) -> Entry {
    Entry { name, about, takes, reads: false }
}

const TOOLS: [Entry; 15] = [
    reads(
        "worker_status",
        "The state of the GPU worker: what is wrong, its router, devices, models and their speed",
        Takes::Nothing,
    ),
    reads("devices", "The devices and who holds their memory", Takes::Nothing),
    reads("models", "The models: their state, slots, memory and speed", Takes::Nothing),
    reads(
        "model_details",
        "One model: its state now, its last states, its last processes and why they ended",
        Takes::Model,
    ),
    reads(
        "model_log",
        "The newest lines that the engine of a model printed, also of one that has failed",
        Takes::Lines,
    ),
    reads("jobs", "The jobs that run and the newest that have ended, with their times", Takes::Nothing),
    reads("events", "What happened lately to models, engines and the router", Takes::Nothing),
    steers("load_model", "Load a model now; a failed one is tried again. Answers at once", Takes::Model),
    steers("unload_model", "Unload a model; its running jobs may finish", Takes::Model),
    steers("pin_model", "Never evict a model, until the worker ends", Takes::Model),
    steers("unpin_model", "Let a model be evicted again", Takes::Model),
    steers("reset_model", "Try a failed model again; without a model, all that have failed", Takes::AnyModel),
    steers("reload_settings", "Read the settings again; tells which keys were applied", Takes::Nothing),
    steers("log_level", "Read the level of the worker's log, or change it until the worker ends", Takes::Level),
    steers(
        "drain_worker",
        "Let the running jobs finish, then end the worker. It is not started again by this",
        Takes::Nothing,
    ),
];

/// The tools of the worker that runs on this host.
#[derive(Debug, Clone)]
pub struct McpServer {
    worker: Worker,
    version: Arc<str>,
}

impl McpServer {
    /// The tools for a worker with a runtime directory in one of these bases.
    #[must_use]
    pub fn new(bases: &[PathBuf], version: &str) -> Self {
        Self { worker: Worker::Below(bases.into()), version: version.into() }
    }

    /// The tools of the worker with this control socket.
    pub(crate) fn of_socket(socket: &Path, version: &str) -> Self {
        Self { worker: Worker::At(socket.into()), version: version.into() }
    }

    /// Serves one client on standard input and output, until it closes them.
    ///
    /// # Errors
    /// The client does not speak the protocol.
    pub async fn serve_stdio(self) -> Result<(), String> {
        let service = self.serve(rmcp::transport::stdio()).await.map_err(|fault| fault.to_string())?;
        service.waiting().await.map(|_quit| ()).map_err(|fault| fault.to_string())
    }

    /// The same tools over HTTP. Each request stands for itself, so that no session is kept.
    pub(crate) fn into_http(self) -> StreamableHttpService<Self, NeverSessionManager> {
        // The page's guard has checked host, origin and token.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        StreamableHttpService::new(move || Ok(self.clone()), Arc::new(NeverSessionManager::default()), config)
    }
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("auxot-worker", self.version.to_string()))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.iter().map(describe).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
            return Err(ErrorData::invalid_params(format!("there is no tool {name}"), None));
        };
        let arguments = request.arguments.unwrap_or_default();
        // The library answers nothing for a tool that panics.
        let call = AssertUnwindSafe(call(&self.worker, tool, &arguments)).catch_unwind();
        let result = tokio::select! {
            result = call => result.unwrap_or_else(|_| Err("internal error of the worker".to_owned())),
            () = context.ct.cancelled() => Err("cancelled".to_owned()),
        };
        Ok(match result {
            Ok(value) => CallToolResult::structured(value),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        }
        .into())
    }
}

fn describe(tool: &Entry) -> Tool {
    let model = json!({"type": "string", "description": "Any name of the model"});
    let (properties, required) = match tool.takes {
        Takes::Nothing => (json!({}), json!([])),
        Takes::Model => (json!({"model": model}), json!(["model"])),
        Takes::AnyModel => (json!({"model": model}), json!([])),
        Takes::Lines => {
            let lines =
                json!({"type": "integer", "minimum": 1, "description": "The most lines; 100 where it is absent"});
            (json!({"model": model, "lines": lines}), json!(["model"]))
        }
        Takes::Level => {
            let level =
                json!({"type": "string", "description": "error, warn, info, debug or trace; absent: only read it"});
            (json!({"level": level}), json!([]))
        }
    };
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), properties);
    schema.insert("required".to_owned(), required);
    schema.insert("additionalProperties".to_owned(), json!(false));
    let hints = ToolAnnotations::new().read_only(tool.reads).destructive(tool.name == "drain_worker").open_world(false);
    Tool::new(tool.name, tool.about, schema).with_annotations(hints)
}

/// Carries out one call.
async fn call(worker: &Worker, tool: &Entry, arguments: &JsonObject) -> Result<Value, String> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let model = text("model");
    if matches!(tool.takes, Takes::Model | Takes::Lines) && model.is_none() {
        return Err(format!("cannot call {} without a model; the tool `models` lists all", tool.name));
    }
    let model = model.unwrap_or_default();
    let lines = arguments.get("lines").and_then(Value::as_u64).and_then(|lines| usize::try_from(lines).ok());
    let verb = tool.name.strip_suffix("_model").unwrap_or_default();
    let socket = &match worker {
        Worker::Below(bases) => client::find(bases).await.map_err(|fault| fault.to_string())?,
        Worker::At(socket) => socket.to_path_buf(),
    };
    let answer = match tool.name {
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
    };
    answer.map_err(|fault| fault.to_string())
}

fn value<T: Serialize>(answer: Result<T, ControlError>) -> Result<Value, ControlError> {
    // These messages are texts, numbers and lists: they can always be serialised.
    answer.map(|answer| serde_json::to_value(answer).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_describes_what_it_takes() {
        for tool in &TOOLS {
            let described = describe(tool);
            let names = described.input_schema["properties"].as_object().unwrap();
            assert_eq!(
                names.contains_key("model"),
                matches!(tool.takes, Takes::Model | Takes::AnyModel | Takes::Lines)
            );
            assert!(described.description.is_some_and(|about| about.len() > 20));
        }
    }

    #[tokio::test]
    async fn without_a_worker_a_tool_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let answer = call(&Worker::Below([folder.path().to_owned()].into()), &TOOLS[0], &JsonObject::new()).await;
        assert!(answer.unwrap_err().starts_with("cannot find a running worker"));
        let answer = call(&Worker::Below([].into()), &TOOLS[3], &JsonObject::new()).await;
        assert!(answer.unwrap_err().starts_with("cannot call model_details without a model"));
    }
}
