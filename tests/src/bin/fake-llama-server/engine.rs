//! The state that all connections share: arguments, switches, slots, the phase and the counters.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::arguments::Arguments;
use crate::model::TRAINED_CTX;
use crate::report::Report;
use crate::slots::Slots;
use crate::switches::Switches;

/// The phase of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Loading,
    Ready,
    /// After the first SIGTERM: no more tokens, and the exit follows when every client has disconnected.
    Stopping,
}

/// The shared part of the fake.
#[derive(Debug)]
pub(crate) struct Engine {
    pub arguments: Arguments,
    pub switches: Switches,
    pub report: Report,
    pub phase: watch::Sender<Phase>,
    pub slots: Slots,
    pub counters: Counters,
    pub created: u64,
}

/// The figures of `/metrics` that change.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub prompt_tokens: AtomicU64,
    pub predicted_tokens: AtomicU64,
    pub decodes: AtomicU64,
    pub requests: AtomicU64,
}

impl Counters {
    /// The number of this request.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds one finished or aborted answer.
    pub(crate) fn add(&self, prompt: u64, predicted: u64) {
        self.prompt_tokens.fetch_add(prompt, Ordering::Relaxed);
        self.predicted_tokens.fetch_add(predicted, Ordering::Relaxed);
        self.decodes.fetch_add(predicted, Ordering::Relaxed);
    }
}

/// Ends when the engine stops.
pub(crate) async fn stopping(phase: &mut watch::Receiver<Phase>) {
    // An error means that the engine is gone, which is a stop too.
    let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
}

impl Engine {
    /// An engine that is loading.
    pub(crate) fn new(arguments: Arguments, switches: Switches, report: Report) -> Engine {
        let slots = Slots::new(arguments.slots);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Engine {
            arguments,
            switches,
            report,
            phase: watch::Sender::new(Phase::Loading),
            slots,
            counters: Counters::default(),
            created: since.map_or(0, |since| since.as_secs()),
        }
    }

    /// The name in replies: the alias, else the file's path.
    pub(crate) fn model_name(&self) -> String {
        self.arguments.alias.clone().unwrap_or_else(|| self.arguments.model.display().to_string())
    }

    /// Context of one slot, in tokens.
    pub(crate) fn ctx_per_slot(&self) -> u32 {
        self.arguments.ctx_per_slot(TRAINED_CTX)
    }
}
