//! The handle: commands to an engine, its status, and claims on it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::state_machine::Policy;
use crate::status::Status;
use crate::supervisor::command::{COMMAND_QUEUE, Command};
use crate::supervisor::{Driver, ProcessFactory};
use crate::usage::{Claim, Usage};

/// The handle of one engine. Cheap to clone; the commands of one handle arrive in the order in which they were sent.
///
/// When the last handle is dropped, the process is stopped and the driver ends.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    model: Arc<str>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    usage: Arc<Usage>,
}

impl EngineHandle {
    /// Makes a stopped engine. `factory` makes its processes, which report to the usage that it is given.
    pub(crate) fn with_driver<F: ProcessFactory>(
        model: Arc<str>,
        policy: Policy,
        factory: impl FnOnce(&Arc<Usage>) -> F,
    ) -> (EngineHandle, Driver<F>) {
        let usage = Arc::new(Usage::default());
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let (publish, status) = watch::channel(Status::stopped());
        let factory = factory(&usage);
        let driver = Driver::new(Arc::clone(&model), factory, policy, receiver, publish, Arc::clone(&usage));
        (EngineHandle { model, commands, status, usage }, driver)
    }

    /// Starts a stopped engine; in every other state this does nothing.
    pub fn start(&self) {
        self.send(Command::Start);
    }

    /// Stops the process: TERM, TERM again, KILL. The owner has drained it before.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    /// Waits until there is no process and none is started any more: stopped or failed. Commands that this handle sent
    /// before count.
    pub async fn stopped(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.commands.send(Command::AwaitStopped(reply)).await.is_ok() {
            // An error means that the driver has ended, and its process with it.
            let _driver_ended = stopped.await;
        }
    }

    /// Ends the process with KILL.
    pub fn kill(&self) {
        self.send(Command::Kill);
    }

    /// Forgets earlier failures: an engine that backs off starts at once, a failed one becomes stopped.
    pub fn reset(&self) {
        self.send(Command::Reset);
    }

    /// The status, as it is published.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Marks the engine as in use until the claim is dropped.
    pub fn claim(&self) -> Claim {
        Claim::new(&self.usage)
    }

    fn send(&self, command: Command) {
        use mpsc::error::TrySendError;
        match self.commands.try_send(command) {
            // Closed means that the worker ends, which stops every engine.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(command)) => {
                let (model, command) = (&self.model, command.name());
                tracing::error!(%model, command, "cannot queue a command: {COMMAND_QUEUE} are waiting");
            }
        }
    }
}
