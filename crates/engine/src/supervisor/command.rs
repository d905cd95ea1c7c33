//! The commands that a handle sends to its driver.

use tokio::sync::oneshot;

/// Commands that may wait for the driver. It handles them before all else, so a few are enough.
pub(crate) const COMMAND_QUEUE: usize = 256;

/// A command to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Start,
    Stop,
    Kill,
    Reset,
    /// Reply once there is no process and none is started any more.
    AwaitStopped(oneshot::Sender<()>),
}

impl Command {
    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::Start => "start",
            Command::Stop => "stop",
            Command::Kill => "kill",
            Command::Reset => "reset",
            Command::AwaitStopped(_) => "await_stopped",
        }
    }
}
