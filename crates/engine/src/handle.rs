//! The commands: how everybody but the driver deals with an engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::process::output::Ring;
use crate::state_machine::{Policy, Ready};
use crate::status::{NotReady, Status};
use crate::supervisor::command::{COMMAND_QUEUE, Command};
use crate::supervisor::{Driver, ProcessFactory};
use crate::usage::{Claim, Usage};

/// One engine, as everybody sees it. Cheap to clone; commands of one handle arrive in the order they were given.
///
/// When the last handle is dropped, the process is stopped without drain and the driver ends.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    pub(crate) model: Arc<str>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) ring: Arc<Ring>,
}

impl EngineHandle {
    /// Makes an engine at rest, whose lives come from the factory that is made for its ring and usage.
    pub(crate) fn with_driver<F: ProcessFactory>(
        model: Arc<str>,
        policy: Policy,
        factory: impl FnOnce(&Arc<Ring>, &Arc<Usage>) -> F,
    ) -> (EngineHandle, Driver<F>) {
        let (usage, ring) = (Arc::new(Usage::default()), Arc::new(Ring::default()));
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let (publish, status) = watch::channel(Status::at_rest());
        let factory = factory(&ring, &usage);
        let driver = Driver::new(Arc::clone(&model), factory, policy, receiver, publish, Arc::clone(&usage));
        (EngineHandle { model, commands, status, usage, ring }, driver)
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Wants the model served. Already so, or on the way: nothing happens. Backing off or failed: denied, which
    /// [`ready`](Self::ready) tells.
    pub fn start(&self) {
        self.send(Command::Start);
    }

    /// Waits until the model is served, or is known not to be. Starts nothing: a caller that lost a race against a
    /// stop must not bring back what its owner has just ended.
    pub async fn ready(&self) -> Result<Arc<Ready>, NotReady> {
        let (reply, outcome) = oneshot::channel();
        if self.commands.send(Command::AwaitReady(reply)).await.is_err() {
            return Err(NotReady::ShuttingDown);
        }
        outcome.await.unwrap_or(Err(NotReady::ShuttingDown))
    }

    /// Wants the model gone: its users get `drain` to finish, then TERM, TERM again, KILL.
    pub fn stop(&self, drain: Duration) {
        self.send(Command::Stop { drain });
    }

    /// Waits until there is no process and none will come by itself: stopped or failed.
    pub async fn stopped(&self) {
        let (reply, outcome) = oneshot::channel();
        if self.commands.send(Command::AwaitStopped(reply)).await.is_ok() {
            // An error is the driver's end, which is the end of its process too.
            let _gone = outcome.await;
        }
    }

    /// Wants the process gone now: KILL at once.
    pub fn kill(&self) {
        self.send(Command::Kill);
    }

    /// Forgets earlier failures: backing off starts at once, failed becomes stopped.
    pub fn reset(&self) {
        self.send(Command::Reset);
    }

    /// Where it is and was; for showing, never for deciding.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Says "in use" until the guard is dropped.
    pub fn claim(&self) -> Claim {
        Claim::new(&self.usage)
    }

    /// Claims held at this moment.
    pub fn claims(&self) -> usize {
        self.usage.claims()
    }

    /// The last lines of the child's output, oldest first.
    pub fn tail(&self) -> Vec<String> {
        self.ring.tail(usize::MAX)
    }

    fn send(&self, command: Command) {
        use mpsc::error::TrySendError;
        match self.commands.try_send(command) {
            // Closed is the end of the worker: everything is being stopped anyway.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(command)) => {
                tracing::error!(model = %self.model, command = command.name(), "cannot queue a command: {COMMAND_QUEUE} are waiting");
            }
        }
    }
}
