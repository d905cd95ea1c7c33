//! The commands that ask the running router over its control socket.

use std::time::Duration;

use auxot_console::Console;
use auxot_router::control::api::Status;
use auxot_router::control::client::{ControlError, RouterClient};
use auxot_router::control::mcp_server;
use auxot_router::settings::{Environment, PageArgs, RouterArgs, StatusArgs};
use serde::Serialize;

use super::{ExitError, FAILURE, NO_ROUTER, USAGE, status_text};

/// The pause between two pictures of `status --watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Moves to the upper left corner and clears what follows.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

impl From<ControlError> for ExitError {
    fn from(error: ControlError) -> Self {
        let code = if matches!(error, ControlError::Refused(_)) { FAILURE } else { NO_ROUTER };
        Self(error.to_string(), code)
    }
}

/// `auxot-router status`.
pub(super) fn status(arguments: &StatusArgs, environment: &dyn Environment) -> Result<(), ExitError> {
    let console = Console::of_this_program();
    let show = |status: &Status| match arguments.json {
        true => pretty(status),
        false => status_text::text(status, &console),
    };
    // Each JSON text is complete; a person gets one picture that changes.
    let clear = if arguments.watch && !arguments.json { CLEAR } else { "" };
    block_on(async {
        loop {
            let status = find(&arguments.router, environment).await?.status().await?;
            if !console.print_line(&format!("{clear}{}", show(&status))) || !arguments.watch {
                return Ok(());
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    })
}

/// `auxot-router page`.
pub(super) fn page(arguments: &PageArgs, environment: &dyn Environment) -> Result<(), ExitError> {
    block_on(async {
        let router = find(&arguments.router, environment).await?;
        let text = if arguments.token {
            let token = router.token().await?;
            let text = format!("address  {}\nmcp      {}\ntoken    {}", token.url, token.mcp_url, token.token);
            if arguments.json { pretty(&token) } else { text }
        } else {
            let link = router.page().await?;
            if arguments.json { pretty(&link) } else { link.url }
        };
        Console::of_this_program().print(&text);
        Ok(())
    })
}

/// `auxot-router mcp`.
pub(super) fn mcp(arguments: &RouterArgs, environment: &dyn Environment) -> Result<(), ExitError> {
    let folder = arguments.folder(environment).map_err(|faults| (faults, USAGE))?;
    block_on(async {
        let served = mcp_server(folder).serve_stdio().await;
        served.map_err(|fault| ExitError(format!("cannot serve the agent: {fault}"), FAILURE))
    })
}

/// A message of the socket as JSON text.
fn pretty(message: &impl Serialize) -> String {
    // These messages are texts, numbers and lists: they can always be serialised.
    serde_json::to_string_pretty(message).unwrap_or_default()
}

/// The running router.
async fn find(arguments: &RouterArgs, environment: &dyn Environment) -> Result<RouterClient, ExitError> {
    let folder = arguments.folder(environment).map_err(|faults| (faults, USAGE))?;
    Ok(RouterClient::find(folder.as_deref(), |name| std::env::var_os(name)).await?)
}

fn block_on(command: impl Future<Output = Result<(), ExitError>>) -> Result<(), ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| (error, FAILURE))?.block_on(command)
}
