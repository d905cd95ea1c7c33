//! The signals that end the worker: the first one drains, the second one ends now.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Hears SIGTERM, SIGINT and SIGHUP from the moment it is made, so that none is lost during the start.
#[derive(Debug)]
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Shutdown {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves at the next signal that asks the worker to end.
    pub(crate) async fn asked(&mut self) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hang_up.recv() => {
                    warn!("SIGHUP: cannot reload while running; restart the worker to read its settings again");
                    continue;
                }
            };
            info!(signal = name, "asked to end");
            return;
        }
    }
}
