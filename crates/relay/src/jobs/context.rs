//! What an exchange is given: all that it shares with the others, and what may happen to it alone.

use std::sync::atomic::AtomicBool;

use auxot_fleet::Fleet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::jobs::crash_suspects::CrashSuspects;
use crate::jobs::engine_sharing::EngineSharing;
use crate::jobs::reduced_tools::ReducedTools;
use crate::report::Telemetry;
use crate::send_queue::SendQueue;

/// What every exchange shares.
#[derive(Debug)]
pub(crate) struct JobContext {
    pub(crate) fleet: Fleet,
    pub(crate) config: Config,
    pub(crate) telemetry: Telemetry,
    pub(crate) reduced_tools: ReducedTools,
    pub(crate) crash_suspects: CrashSuspects,
    pub(crate) sharing: EngineSharing,
    /// Cancelled when the worker is told to end: what is not begun is given back where the router takes it.
    pub(crate) handing_back: CancellationToken,
    /// Whether the router takes jobs back that are not begun.
    pub(crate) takes_back: AtomicBool,
    /// Cancelled when the worker ends before its jobs could.
    pub(crate) shutdown: CancellationToken,
    /// Whether the router reads `prompt_progress` without complaint.
    pub(crate) sends_progress: watch::Receiver<bool>,
}

/// A job's place at the desk, as its exchange sees it.
#[derive(Debug)]
pub(crate) struct JobChannels {
    pub(crate) cancel: CancellationToken,
    pub(crate) connection: watch::Receiver<SendQueue>,
}

impl JobChannels {
    /// A place for a job that came by a lane, and the desk's two holds on it: to end it, and to move it.
    pub(crate) fn new(from: &SendQueue) -> (Self, CancellationToken, watch::Sender<SendQueue>) {
        let cancel = CancellationToken::new();
        let (moves, connection) = watch::channel(from.clone());
        (Self { cancel: cancel.clone(), connection }, cancel, moves)
    }
}
