//! `auxot-router`: serves, asks a running router, or does a command for keys.

mod ask;
mod keys;
mod process;
mod status_text;

use std::io::{self, Write};
use std::process::ExitCode;

use auxot_router::settings::{self, Cli, Command, Logging, ServeArgs};
use auxot_router::{Router, StartError};
use clap::Parser;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A setting, an argument or a key file cannot be used.
const USAGE: u8 = 64;
/// The system does not allow it: a port is taken, a pipe is closed.
const FAILURE: u8 = 1;
/// No router answers (`EX_UNAVAILABLE`).
const NO_ROUTER: u8 = 69;

/// Why the program fails: its message and its exit code.
struct ExitError(String, u8);

impl<E: std::error::Error> From<(E, u8)> for ExitError {
    fn from((error, code): (E, u8)) -> Self {
        Self(error.to_string(), code)
    }
}

fn main() -> ExitCode {
    process::forbid_cores();
    process::give_memory_back();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // A closed pipe is not a failure of this program.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(arguments)) => serve(&arguments),
        Some(Command::Status(arguments)) => ask::status(&arguments, &environment),
        Some(Command::Page(arguments)) => ask::page(&arguments, &environment),
        Some(Command::Mcp(arguments)) => ask::mcp(&arguments, &environment),
        Some(Command::Keys { command }) => keys::run(&command, &environment).and_then(|text| print(&text)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(ExitError(text, code)) => {
            let _ = writeln!(io::stderr(), "auxot-router: {text}");
            ExitCode::from(code)
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn serve(arguments: &ServeArgs) -> Result<(), ExitError> {
    let (config, logging) = settings::serve(arguments, &environment).map_err(|faults| (faults, USAGE))?;
    start_log(logging);
    // One thread: a token goes from a worker's socket to a client's without waking another thread. Slow work (checking
    // a key) runs on the blocking pool.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| (error, FAILURE))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| (error, FAILURE))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| (error, FAILURE))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| (error, FAILURE))?;
        let router = Router::bind(config).await.map_err(|error| {
            let code = if matches!(error, StartError::Listen { .. }) { FAILURE } else { USAGE };
            (error, code)
        })?;
        notify_service_manager(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // A terminal that closes, or an operator: the key file is watched anyway.
                _ = hangup.recv() => tracing::info!("SIGHUP: nothing to read again; the key file is read when it changes"),
            }
        }
        notify_service_manager(&[NotifyState::Stopping]);
        tracing::info!("stopping; a second signal stops at once");
        tokio::select! {
            () = router.shutdown() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Sends states to the service manager, where one started this program (`Type=notify`).
fn notify_service_manager(states: &[NotifyState<'_>]) {
    // One that does not listen is no reason not to serve.
    if let Err(fault) = sd_notify::notify(states) {
        tracing::debug!(%fault, "cannot notify the service manager");
    }
}

/// The crates of this project that log in a router.
const LOGGING: [&str; 4] = ["auxot_router", "auxot_access", "auxot_server_tls", "auxot_control_socket"];

/// The level applies to this project only: other libraries log whole frames, and a frame contains a key.
fn start_log(logging: Logging) {
    let own = LOGGING.map(|name| (name, logging.level));
    let targets = Targets::new().with_default(LevelFilter::WARN).with_targets(own);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log = tracing_subscriber::registry().with(targets);
    if logging.json {
        log.with(lines.json().flatten_event(true)).init();
    } else {
        log.with(lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr()))).init();
    }
}

fn print(text: &str) -> Result<(), ExitError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| (error, FAILURE).into())
}
