//! The commands that ask the running worker over its control socket.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use auxot_admin::control::api::Status;
use auxot_admin::control::client::{self, ControlError};
use auxot_settings::Settings;
use serde::Serialize;

use super::status_text;
use auxot_console::Console;

/// No worker answers (`EX_UNAVAILABLE`).
const EXIT_NO_WORKER: u8 = 69;
/// The pause between two pictures of `status --watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Moves to the upper left corner and clears what follows.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Why no command was sent, or none was carried out.
pub(super) enum AskError {
    /// The worker's answer is an error.
    Control(ControlError),
    /// The worker was asked, and what was wanted did not come.
    NotDone(String),
    /// This program has no runtime.
    Runtime(std::io::Error),
}

impl AskError {
    pub(super) fn report(&self, console: &Console) -> ExitCode {
        let (text, code) = match self {
            Self::Control(fault @ (ControlError::NotFound { .. } | ControlError::Unreachable { .. })) => {
                (fault.to_string(), ExitCode::from(EXIT_NO_WORKER))
            }
            Self::Control(fault @ ControlError::Refused(_)) => (fault.to_string(), ExitCode::FAILURE),
            Self::NotDone(why) => (why.clone(), ExitCode::FAILURE),
            Self::Runtime(fault) => (format!("cannot start: {fault}"), ExitCode::FAILURE),
        };
        console.print_error(&text);
        code
    }
}

/// `auxot-worker status`.
pub(super) fn status(settings: &Settings, watch: bool, json: bool, console: &Console) -> ExitCode {
    let show = |status: &Status| match json {
        true => pretty(status),
        false => status_text::text(status, console),
    };
    // Each JSON text is complete; a person gets one picture that changes.
    let clear = if watch && !json { CLEAR } else { "" };
    end(console, async {
        loop {
            let status = ask(settings, client::status).await?;
            console.print(&format!("{clear}{}", show(&status)));
            if !watch {
                return Ok(());
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    })
}

/// A message of the socket as JSON text.
pub(super) fn pretty(message: &impl Serialize) -> String {
    // These messages are texts, numbers and lists: they can always be serialised.
    serde_json::to_string_pretty(message).unwrap_or_default()
}

/// `auxot-worker mcp`.
pub(super) fn mcp(settings: &Settings, console: &Console) -> ExitCode {
    let bases = auxot_engine::runtime_bases(settings.engine.runtime_dir.as_deref());
    let server = auxot_admin::mcp_server(&bases, auxot_settings::VERSION);
    end(console, async {
        server.serve_stdio().await.map_err(|fault| AskError::NotDone(format!("cannot serve the agent: {fault}")))
    })
}

/// Asks the first worker that answers.
pub(super) async fn ask<T>(
    settings: &Settings,
    request: impl AsyncFn(&Path) -> Result<T, ControlError>,
) -> Result<T, AskError> {
    let bases = auxot_engine::runtime_bases(settings.engine.runtime_dir.as_deref());
    let socket = client::find(&bases).await.map_err(AskError::Control)?;
    request(&socket).await.map_err(AskError::Control)
}

/// Runs a command to its end, and reports its fault.
pub(super) fn end(console: &Console, command: impl Future<Output = Result<(), AskError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fault.report(console),
    }
}
