//! What a job gets: the state that all jobs share, and its own channels.

use std::sync::atomic::AtomicBool;

use auxot_fleet::Fleet;
use auxot_protocol::AnswerRead;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::jobs::crash_suspects::{CrashSuspects, EngineSharing};
use crate::jobs::reduced_tools::ReducedTools;
use crate::report::Telemetry;
use crate::send_queue::SendQueue;

/// The state that all jobs share.
#[derive(Debug)]
pub(crate) struct JobContext {
    pub(crate) fleet: Fleet,
    pub(crate) config: Config,
    pub(crate) telemetry: Telemetry,
    pub(crate) reduced_tools: ReducedTools,
    pub(crate) crash_suspects: CrashSuspects,
    pub(crate) sharing: EngineSharing,
    /// Cancelled when the worker drains: jobs that no engine has are given back, when the router supports it.
    pub(crate) handing_back: CancellationToken,
    /// Whether the router takes back jobs that have not started.
    pub(crate) takes_back: AtomicBool,
    /// Cancelled when the worker shuts down before its jobs have ended.
    pub(crate) shutdown: CancellationToken,
    /// Whether `prompt_progress` is sent.
    pub(crate) sends_progress: watch::Receiver<bool>,
}

/// The channels of one job, on the job's side.
#[derive(Debug)]
pub(crate) struct JobChannels {
    pub(crate) cancel: CancellationToken,
    pub(crate) connection: watch::Receiver<SendQueue>,
    pub(crate) reads: watch::Receiver<AnswerRead>,
}

/// The registry's side of a job's channels.
#[derive(Debug)]
pub(crate) struct JobControls {
    pub(crate) cancel: CancellationToken,
    /// Moves the job to another connection.
    pub(crate) connection: watch::Sender<SendQueue>,
    /// Passes on what the router says of the output that it has.
    pub(crate) reads: watch::Sender<AnswerRead>,
}

impl JobChannels {
    /// The channels of a job from this connection, and the registry's side of them.
    pub(crate) fn new(from: &SendQueue) -> (Self, JobControls) {
        let cancel = CancellationToken::new();
        let (moves, connection) = watch::channel(from.clone());
        let (reads, read) = watch::channel(AnswerRead::default());
        (Self { cancel: cancel.clone(), connection, reads: read }, JobControls { cancel, connection: moves, reads })
    }
}
