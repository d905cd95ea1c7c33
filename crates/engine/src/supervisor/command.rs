//! What a handle asks of the supervisor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::state_machine::Ready;
use crate::status::NotReady;

/// Verbs on their way to the driver. It never waits for anything else while one is here, so a few are plenty.
pub(crate) const VERBS: usize = 256;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Verb {
    Start,
    Stop {
        drain: Duration,
    },
    Kill,
    Reset,
    /// Answer once it is ready, or will not be.
    AwaitReady(oneshot::Sender<Result<Arc<Ready>, NotReady>>),
    /// Answer once there is no process and none will come by itself.
    AwaitGone(oneshot::Sender<()>),
}

impl Verb {
    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop { .. } => "stop",
            Verb::Kill => "kill",
            Verb::Reset => "reset",
            Verb::AwaitReady(_) => "await_ready",
            Verb::AwaitGone(_) => "await_gone",
        }
    }
}
