//! The signals of an operator: the first that asks for the end drains, the second ends now; SIGHUP asks to look again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Hears SIGTERM and SIGINT from the moment it is made, so that none is lost during the start.
#[derive(Debug)]
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next signal that asks the worker to end.
    pub(crate) async fn asked(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "asked to end");
    }
}

/// Hears SIGHUP from the moment it is made.
#[derive(Debug)]
pub(crate) struct HangUps(Signal);

impl HangUps {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Resolves at the next one.
    pub(crate) async fn next(&mut self) {
        // The stream of a signal does not end.
        self.0.recv().await;
    }
}
