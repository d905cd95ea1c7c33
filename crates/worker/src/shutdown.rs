//! The operator's signals: the first SIGTERM or SIGINT drains, the second ends at once; SIGHUP reloads.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Receives SIGTERM and SIGINT from its creation on, so that none is lost during the start.
#[derive(Debug)]
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next signal that ends the worker.
    pub(crate) async fn requested(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "shutdown requested");
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
