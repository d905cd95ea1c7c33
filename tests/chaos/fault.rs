//! The rows: what goes wrong.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::stage::Stage;

/// How long the clock jumps: further than the worker lets its router be silent, less far than a silent load.
const JUMP: Duration = Duration::from_secs(3);

/// One way in which things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to the engine, as the kernel does when memory is out.
    ChildKilled,
    /// SIGSTOP to the engine: it is there and does nothing, as in a deadlock.
    ChildStopped,
    /// The engine ends with status 1 and without a word.
    ChildExits,
    /// The engine aborts, as by a failed assertion.
    ChildAborts,
    /// The engine says that its device has no memory, and ends.
    ChildOutOfMemory,
    /// The engine is killed, and its program is not there any more.
    EngineMissing,
    /// The model's file becomes short under the engine, which dies of it, as every process that has mapped it does.
    ModelTruncated,
    /// Another file takes the place of the model's.
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
    /// The router's end is reset.
    RouterResets,
    /// The router keeps the link and neither reads nor speaks.
    RouterSilent,
    /// The router reads a message every few milliseconds, over a narrow link.
    RouterSlow,
    /// The router is away for as long as it takes to be refused a connection.
    RouterRestarts,
    /// The router gives a job again that the worker has, or has just ended.
    RouterResends,
    /// The worker's clocks jump by three seconds: it is stopped, and goes on. Its clocks are monotonic, and to a process
    /// that was stopped they have jumped; the wall clock is in no decision. (A time namespace cannot be changed under a
    /// running process, and needs rights that a test has not.)
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

    /// What a job is told of a model that has failed for this reason.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Fault::EngineMissing => "has failed: the engine could not be started",
            Fault::ModelTruncated => "has failed: the model file is missing or damaged",
            _ => "has failed",
        }
    }

    /// Makes it happen; returns when it has.
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
            // So it is already, see `Stage::open`.
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

/// Until the worker has given the link up; then the router finds what was left in it.
async fn silence(stage: &mut Stage) {
    stage.router.fall_asleep();
    stage.line_or_end(&["cause=\"silent\""]).await;
    stage.router.wake_up().await;
}

/// Until the worker has tried in vain, or has ended.
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
        // In a drain it takes no job, not even one that it has; one that has just ended has its end repeated.
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
    // What the router says meanwhile lies in the socket when the worker goes on.
    stage.router.murmur();
    // The length of the jump is what this fault is, so this is the one wait for time itself.
    stage.router.beside(tokio::time::sleep(JUMP)).await;
    stage.worker.program.signal(Signal::SIGCONT);
}
