//! What a handle asks of the supervisor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::state_machine::Ready;
use crate::status::NotReady;

/// Verbs on their way to the driver. It never waits for anything else while one is here, so a few are plenty.
pub(crate) const COMMAND_QUEUE: usize = 256;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Start,
    Stop {
        drain: Duration,
    },
    Kill,
    Reset,
    /// Answer once it is ready, or will not be.
    AwaitReady(oneshot::Sender<Result<Arc<Ready>, NotReady>>),
    /// Answer once there is no process and none will come by itself.
    AwaitStopped(oneshot::Sender<()>),
}

impl Command {
    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::Start => "start",
            Command::Stop { .. } => "stop",
            Command::Kill => "kill",
            Command::Reset => "reset",
            Command::AwaitReady(_) => "await_ready",
            Command::AwaitStopped(_) => "await_stopped",
        }
    }
}
