//! The rows: the faults.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::stage::Stage;

/// How far the clock jumps: more than the time-out of a silent router, less than that of a silent load.
const JUMP: Duration = Duration::from_secs(3);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to the engine, as the kernel does when memory is out.
    ChildKilled,
    /// SIGSTOP to the engine: it exists and does nothing, as in a deadlock.
    ChildStopped,
    /// The engine exits with status 1 and without output.
    ChildExits,
    /// The engine aborts, as by a failed assertion.
    ChildAborts,
    /// The engine prints that its device is out of memory, and exits.
    ChildOutOfMemory,
    /// The engine is killed, and its program is removed.
    EngineMissing,
    /// The model file is truncated; the engine, like every process that has mapped the file, ends with SIGBUS.
    ModelTruncated,
    /// Another file replaces the model file.
    ModelReplaced,
    /// The engine's socket file is removed.
    SocketRemoved,
    /// The disk of the worker's log is full from the first line on: standard error is `/dev/full`, which needs no root.
    LogFull,
    /// SIGTERM to the worker.
    WorkerTerm,
    /// SIGKILL to the worker.
    WorkerKill,
    /// The router closes the link with a close frame.
    RouterCloses,
    /// The router resets the connection.
    RouterResets,
    /// The router keeps the connection and neither reads nor sends.
    RouterSilent,
    /// The router reads a message every few milliseconds, with small buffers.
    RouterSlow,
    /// The router does not listen until a connection attempt has failed.
    RouterRestarts,
    /// The router dispatches a job again that the worker runs, or has just ended.
    RouterResends,
    /// The worker's clocks jump by three seconds: it is stopped and continues. Its clocks are monotonic, and for a process
    /// that was stopped they have jumped; no decision uses the wall clock. (A time namespace cannot be changed for a
    /// running process and needs privileges that a test does not have.)
    ClockJump,
}

impl Fault {
    /// The row's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::ChildKilled => "child killed",
            Fault::ChildStopped => "child stopped",
            Fault::ChildExits => "child exits 1",
            Fault::ChildAborts => "child aborts",
            Fault::ChildOutOfMemory => "child out of memory",
            Fault::EngineMissing => "engine binary missing",
            Fault::ModelTruncated => "model truncated",
            Fault::ModelReplaced => "model replaced",
            Fault::SocketRemoved => "socket removed",
            Fault::LogFull => "log disk full",
            Fault::WorkerTerm => "worker SIGTERM",
            Fault::WorkerKill => "worker SIGKILL",
            Fault::RouterCloses => "router closes",
            Fault::RouterResets => "router resets",
            Fault::RouterSilent => "router goes silent",
            Fault::RouterSlow => "router reads slowly",
            Fault::RouterRestarts => "router restarts",
            Fault::RouterResends => "router re-sends",
            Fault::ClockJump => "clock jump",
        }
    }

    /// The error text of a job whose model has failed for this reason.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Fault::EngineMissing => "has failed: the engine could not be started",
            Fault::ModelTruncated => "has failed: the model file is missing or damaged",
            _ => "has failed",
        }
    }

    /// Injects the fault; returns once it has taken effect.
    pub(crate) async fn inject(self, stage: &mut Stage) {
        match self {
            Fault::ChildKilled => stage.end_engine(Signal::SIGKILL).await,
            Fault::ChildStopped => stage.signal_engine(Signal::SIGSTOP),
            Fault::ChildExits => stage.end_engine(Signal::SIGUSR1).await,
            Fault::ChildAborts => stage.end_engine(Signal::SIGABRT).await,
            Fault::ChildOutOfMemory => stage.end_engine(Signal::SIGUSR2).await,
            Fault::EngineMissing => {
                stage.remove_engine_binary();
                stage.end_engine(Signal::SIGKILL).await;
            }
            Fault::ModelTruncated => {
                stage.truncate_model();
                stage.end_engine(Signal::SIGKILL).await;
            }
            Fault::ModelReplaced => stage.replace_model(),
            Fault::SocketRemoved => stage.remove_socket(),
            // `Stage::open` has done it.
            Fault::LogFull => {}
            Fault::WorkerTerm => {
                stage.worker.program.signal(Signal::SIGTERM);
                stage.line_or_end(&["shutdown requested"]).await;
            }
            Fault::WorkerKill => stage.worker.program.signal(Signal::SIGKILL),
            Fault::RouterCloses => stage.router.close_links().await,
            Fault::RouterResets => stage.router.reset_links(),
            Fault::RouterSilent => silence(stage).await,
            Fault::RouterSlow => stage.router.slow_down(),
            Fault::RouterRestarts => restart(stage).await,
            Fault::RouterResends => resend(stage).await,
            Fault::ClockJump => jump(stage).await,
        }
    }
}

/// Waits until the worker has closed the connection; then the router reads what was left in it.
async fn silence(stage: &mut Stage) {
    stage.router.stop_reading();
    stage.line_or_end(&["cause=\"silent\""]).await;
    stage.router.resume_reading().await;
}

/// Waits until a connection attempt of the worker has failed, or the worker has exited.
async fn restart(stage: &mut Stage) {
    stage.router.stop().await;
    // A worker without an engine has no reason to connect.
    stage.release();
    stage.line_or_end(&["cannot reach the router"]).await;
    stage.router.start_again();
}

async fn resend(stage: &mut Stage) {
    if stage.router.ledger.open().next().is_some() {
        stage.router.give_again();
        // While draining it accepts no job, not even one that it has; of one that has just ended it repeats the end.
        return stage
            .line_or_end(&["accepted=\"duplicate\"", "accepted=\"repeated\"", "left a job to the router"])
            .await;
    }
    let id = stage.give();
    stage.router.until("the end of a job", |router| router.ledger.open().next().is_none()).await;
    stage.router.give_ended_again(&id);
}

async fn jump(stage: &mut Stage) {
    stage.worker.program.signal(Signal::SIGSTOP);
    // The router's messages wait in the socket until the worker continues.
    stage.router.send_heartbeat_acks();
    // The length of the jump is the fault, so this is the only wait for time itself.
    stage.router.beside(tokio::time::sleep(JUMP)).await;
    stage.worker.program.signal(Signal::SIGCONT);
}
