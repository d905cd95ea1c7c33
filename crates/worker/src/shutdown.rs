//! The operator's signals: the first SIGTERM or SIGINT drains, the second ends at once; SIGHUP reloads. A drain by command is
//! like the first signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::info;

/// A drain that was requested by command.
#[derive(Debug, Default)]
pub(crate) struct DrainCommand {
    is_given: AtomicBool,
    given: Notify,
}

impl DrainCommand {
    /// Requests the drain; later requests change nothing.
    pub(crate) fn give(&self) {
        if !self.is_given.swap(true, Ordering::Relaxed) {
            self.given.notify_one();
        }
    }
}

/// Receives SIGTERM and SIGINT from its creation on, so that none is lost during the start.
#[derive(Debug)]
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    command: Arc<DrainCommand>,
    is_requested: Arc<AtomicBool>,
}

impl Shutdown {
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, command: Arc::default(), is_requested: Arc::default() })
    }

    /// The drain by command.
    pub(crate) fn command(&self) -> Arc<DrainCommand> {
        Arc::clone(&self.command)
    }

    /// Whether the end of the worker was requested.
    pub(crate) fn is_requested(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_requested)
    }

    /// Resolves at the next signal that ends the worker.
    pub(crate) async fn requested(&mut self) {
        let by = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = self.command.given.notified() => "command",
        };
        self.is_requested.store(true, Ordering::Relaxed);
        info!(signal = by, "shutdown requested");
    }
}

/// Receives SIGHUP from its creation on.
#[derive(Debug)]
pub(crate) struct HangUps(Signal);

impl HangUps {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Resolves at the next SIGHUP.
    pub(crate) async fn next(&mut self) {
        // The signal stream never ends.
        self.0.recv().await;
    }
}
