//! Operations as tools for agents, in the Model Context Protocol.
//!
//! A program has a table of its tools and carries out their calls; what is the same for all is here: their descriptions, a
//! call that panics or is cancelled, standard input and output, and HTTP.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool as ToolDescription, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::tower::StreamableHttpServerConfig;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Map, Value, json};

/// The arguments of a call.
pub type Arguments = Map<String, Value>;

/// One tool.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the agent.
    pub about: &'static str,
    /// What it takes.
    pub parameters: &'static [ToolParameter],
    /// What a call changes.
    pub effect: ToolEffect,
}

/// What a call of a tool changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolEffect {
    /// Nothing.
    Reads,
    /// Something that can be changed back.
    Steers,
    /// Something that cannot be changed back.
    Destroys,
}

/// A parameter of a tool.
#[derive(Debug, Clone, Copy)]
pub struct ToolParameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Its type in JSON: a number is at least 1.
    pub kind: &'static str,
    /// Whether a call must have it.
    pub required: bool,
}

/// The tools of a program.
pub trait ToolSet: Clone + Send + Sync + 'static {
    /// The program, as it names itself.
    const PROGRAM: &'static str;
    /// What an agent reads first.
    const INSTRUCTIONS: &'static str;
    /// All tools.
    const TOOLS: &'static [Tool];

    /// Carries out one call.
    fn call(&self, tool: &'static Tool, arguments: Arguments) -> impl Future<Output = Result<Value, String>> + Send;
}

/// Serves the tools of a program to agents.
#[derive(Debug, Clone)]
pub struct McpServer<T> {
    tools: T,
    version: Arc<str>,
}

impl<T: ToolSet> McpServer<T> {
    /// A server of these tools; the version is the program's.
    #[must_use]
    pub fn new(tools: T, version: &str) -> Self {
        Self { tools, version: version.into() }
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
    #[must_use]
    pub fn into_http(self) -> StreamableHttpService<Self, NeverSessionManager> {
        // The page's guard has checked host, origin and token.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        StreamableHttpService::new(move || Ok(self.clone()), Arc::new(NeverSessionManager::default()), config)
    }
}

impl<T: ToolSet> ServerHandler for McpServer<T> {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(T::PROGRAM, self.version.to_string()))
            .with_instructions(T::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(T::TOOLS.iter().map(describe).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        let Some(tool) = T::TOOLS.iter().find(|tool| tool.name == name) else {
            return Err(ErrorData::invalid_params(format!("there is no tool {name}"), None));
        };
        let arguments = request.arguments.unwrap_or_default();
        // The library answers nothing for a tool that panics, and drops the answer of one that is cancelled, but not its work.
        let result = tokio::select! {
            result = checked_call(&self.tools, tool, arguments) => result,
            () = context.ct.cancelled() => Err("cancelled".to_owned()),
        };
        Ok(match result {
            Ok(value) => CallToolResult::structured(value),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        }
        .into())
    }
}

/// Carries out one call that has what it must have.
async fn checked_call<T: ToolSet>(tools: &T, tool: &'static Tool, arguments: Arguments) -> Result<Value, String> {
    let has = |name: &str| arguments.get(name).is_some_and(|value| *value != json!(""));
    if let Some(missing) = tool.parameters.iter().find(|parameter| parameter.required && !has(parameter.name)) {
        return Err(format!("cannot call {} without a {}: {}", tool.name, missing.name, missing.about));
    }
    let call = AssertUnwindSafe(tools.call(tool, arguments)).catch_unwind();
    call.await.unwrap_or_else(|_| Err(format!("internal error of {}", T::PROGRAM)))
}

fn describe(tool: &Tool) -> ToolDescription {
    let schema_of = |parameter: &ToolParameter| {
        let mut schema = json!({"type": parameter.kind, "description": parameter.about});
        if parameter.kind == "integer" {
            schema["minimum"] = json!(1);
        }
        (parameter.name.to_owned(), schema)
    };
    let required = tool.parameters.iter().filter(|parameter| parameter.required).map(|parameter| parameter.name);
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), tool.parameters.iter().map(schema_of).collect());
    schema.insert("required".to_owned(), required.collect());
    schema.insert("additionalProperties".to_owned(), json!(false));
    let hints = ToolAnnotations::new()
        .read_only(tool.effect == ToolEffect::Reads)
        .destructive(tool.effect == ToolEffect::Destroys)
        .open_world(false);
    ToolDescription::new(tool.name, tool.about, schema).with_annotations(hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Echo;

    const TEXT: ToolParameter = ToolParameter { name: "text", about: "Any text", kind: "string", required: true };
    const COUNT: ToolParameter = ToolParameter { name: "count", about: "A number", kind: "integer", required: false };

    impl ToolSet for Echo {
        const PROGRAM: &'static str = "echo";
        const INSTRUCTIONS: &'static str = "";
        const TOOLS: &'static [Tool] = &[
            Tool { name: "echo", about: "Says it again", parameters: &[TEXT, COUNT], effect: ToolEffect::Reads },
            Tool { name: "fail", about: "Fails", parameters: &[], effect: ToolEffect::Destroys },
        ];

        async fn call(&self, tool: &'static Tool, arguments: Arguments) -> Result<Value, String> {
            assert_eq!(tool.name, "echo");
            Ok(arguments["text"].clone())
        }
    }

    #[test]
    fn a_tool_is_described_with_what_it_takes_and_changes() {
        let [echo, fail] = [0, 1].map(|at| describe(&Echo::TOOLS[at]));
        assert_eq!(echo.input_schema["properties"]["count"]["minimum"], 1);
        assert_eq!(echo.input_schema["required"], json!(["text"]));
        let hints =
            |tool: ToolDescription| tool.annotations.map(|hints| (hints.read_only_hint, hints.destructive_hint));
        assert_eq!(hints(echo), Some((Some(true), Some(false))));
        assert_eq!(hints(fail), Some((Some(false), Some(true))));
    }

    #[tokio::test]
    async fn a_call_without_an_argument_or_with_a_panic_has_an_answer() {
        let call = |at: usize, arguments: Value| {
            checked_call(&Echo, &Echo::TOOLS[at], arguments.as_object().cloned().unwrap_or_default())
        };
        assert_eq!(call(0, json!({"text": "a"})).await, Ok(json!("a")));
        assert_eq!(call(0, json!({"text": ""})).await.unwrap_err(), "cannot call echo without a text: Any text");
        assert_eq!(call(1, json!({})).await.unwrap_err(), "internal error of echo");
    }
}
