//! The signals of an operator: the first that asks for the end drains, the second ends now; SIGHUP mends what it can.

use auxot_fleet::Fleet;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

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

    /// At each one, gives every model that has failed, or that waits for its next try, another chance now.
    pub(crate) async fn serve(mut self, fleet: Fleet) {
        while self.0.recv().await.is_some() {
            let models = fleet.reset_failed();
            warn!(
                models,
                "SIGHUP: failed models get another chance; cannot read the settings again while running, restart for that"
            );
        }
    }
}
