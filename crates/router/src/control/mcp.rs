//! The operations of the control socket as tools for agents: each call is one request to that socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auxot_control_socket::{Arguments, McpServer, Tool, ToolEffect, ToolParameter, ToolSet};
use serde::Serialize;
use serde_json::{Value, json};

use super::api::{KeyUse, NewKey};
use super::client::{ControlError, RouterClient};

const NAME: ToolParameter = ToolParameter {
    name: "name",
    about: "1 to 64 letters, digits, `.`, `_` or `-`; list_keys has the names that are taken",
    kind: "string",
    required: true,
};

const TOOLS: &[Tool] = &[
    Tool {
        name: "gpu_worker_status",
        about: "The GPU workers: what is wrong with its remedy, and each worker's health, last heartbeat, devices and their \
            memory, models with their state, slots and times; jobs that wait",
        parameters: &[],
        effect: ToolEffect::Reads,
    },
    Tool {
        name: "router_status",
        about: "All of the router's state: what is wrong, workers, other providers, keys",
        parameters: &[],
        effect: ToolEffect::Reads,
    },
    Tool {
        name: "list_providers",
        about: "The providers beside the GPU workers (programs, clouds) with their circuit breakers",
        parameters: &[],
        effect: ToolEffect::Reads,
    },
    Tool {
        name: "list_keys",
        about: "The keys of workers and clients: names, kinds, ages; never the keys themselves",
        parameters: &[],
        effect: ToolEffect::Reads,
    },
    Tool {
        name: "create_gpu_worker_key",
        about: "Create a key with which a new GPU worker connects (AUXOT_GPU_KEY of auxot-worker). It is shown this once: \
            give it to the user as it is",
        parameters: &[NAME],
        effect: ToolEffect::Steers,
    },
    Tool {
        name: "create_api_key",
        about: "Create a key with which clients send requests (Authorization: Bearer). It is shown this once: give it to the \
            user as it is",
        parameters: &[NAME],
        effect: ToolEffect::Steers,
    },
    Tool {
        name: "revoke_key",
        about: "Revoke the keys of a name: workers and requests that use them end within a second. It cannot be undone",
        parameters: &[NAME],
        effect: ToolEffect::Destroys,
    },
];

/// The tools of the router that runs on this host.
#[derive(Debug, Clone)]
pub enum RouterTools {
    /// Of the first that answers, in this folder or in the usual places.
    Found(Option<PathBuf>),
    /// Of the one with this control socket.
    At(Arc<Path>),
}

/// The tools of a router that is looked for in this folder or in the usual places.
#[must_use]
pub fn mcp_server(folder: Option<PathBuf>) -> McpServer<RouterTools> {
    RouterTools::Found(folder).into_server()
}

impl RouterTools {
    pub(crate) fn into_server(self) -> McpServer<Self> {
        McpServer::new(self, env!("AUXOT_VERSION"))
    }

    async fn client(&self) -> Result<RouterClient, ControlError> {
        match self {
            Self::Found(folder) => RouterClient::find(folder.as_deref(), |name| std::env::var_os(name)).await,
            Self::At(socket) => Ok(RouterClient::of_socket(socket)),
        }
    }
}

impl ToolSet for RouterTools {
    const PROGRAM: &'static str = "auxot-router";
    const INSTRUCTIONS: &'static str = "Shows the auxot-router of this host, which gives requests for language models to GPU \
        workers, and steers its keys. Begin with gpu_worker_status: it says what is wrong and what to do, and lists the \
        workers. A new worker needs a key of create_gpu_worker_key, which is shown once.";
    const TOOLS: &'static [Tool] = TOOLS;

    async fn call(&self, tool: &'static Tool, arguments: Arguments) -> Result<Value, String> {
        let router = self.client().await.map_err(|fault| fault.to_string())?;
        call(&router, tool, &arguments).await.map_err(|fault| fault.to_string())
    }
}

async fn call(router: &RouterClient, tool: &Tool, arguments: &Arguments) -> Result<Value, ControlError> {
    let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
    let new = |kind| NewKey { name: name.to_owned(), kind };
    match tool.name {
        "gpu_worker_status" => {
            let status = router.status().await?;
            Ok(json!({"faults": status.faults, "queue": status.queue, "workers": status.workers}))
        }
        "list_providers" => value(router.providers().await),
        "list_keys" => value(router.keys().await),
        "create_gpu_worker_key" => value(router.create_key(&new(KeyUse::Worker)).await),
        "create_api_key" => value(router.create_key(&new(KeyUse::Api)).await),
        "revoke_key" => value(router.revoke_key(name).await),
        _ => value(router.status().await),
    }
}

fn value<T: Serialize>(answer: Result<T, ControlError>) -> Result<Value, ControlError> {
    // These messages are texts, numbers and lists: they can always be serialised.
    answer.map(|answer| serde_json::to_value(answer).unwrap_or_default())
}
