//! The one owner of all processes' tasks: it drives them, and brings their news to the judge.

use std::pin::Pin;
use std::sync::Arc;

use auxot_instance::InstanceHandle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::error;

use crate::fleet::Shared;
use crate::metrics;

/// A model whose process needs somebody to drive it.
pub(crate) struct Hire {
    pub(crate) member: usize,
    pub(crate) handle: InstanceHandle,
    pub(crate) instance: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Drives the processes of a fleet. Dropping it drops them all, which kills what still runs.
#[derive(Debug)]
pub struct Staff {
    shared: Arc<Shared>,
    to_hire: mpsc::Receiver<Hire>,
    tasks: JoinSet<()>,
}

impl Staff {
    pub(crate) fn new(shared: Arc<Shared>, to_hire: mpsc::Receiver<Hire>) -> Self {
        Self { shared, to_hire, tasks: JoinSet::new() }
    }

    pub(crate) fn hire(&mut self, hire: Hire) {
        self.tasks.spawn(hire.instance);
        self.tasks.spawn(listen(Arc::clone(&self.shared), hire.member, hire.handle));
    }

    /// Drives everything; never returns by itself, so the caller ends it by dropping it once
    /// [`crate::Fleet::stop`] has resolved.
    pub async fn run(mut self) {
        let mut changes = self.shared.watch_devices();
        loop {
            tokio::select! {
                Some(hire) = self.to_hire.recv() => self.hire(hire),
                Some(ended) = self.tasks.join_next() => {
                    if let Err(fault) = ended {
                        // A panic in one driver ends one instance, never the program.
                        error!(%fault, "the task of one model has failed");
                    }
                }
                Ok(()) = changes.changed() => metrics::publish(&self.shared.report()),
                else => std::future::pending::<()>().await,
            }
        }
    }
}

/// Brings every state of one process to the judge, in order, until the process's task is gone.
async fn listen(shared: Arc<Shared>, member: usize, handle: InstanceHandle) {
    let mut statuses = handle.status();
    loop {
        let status = statuses.borrow_and_update().clone();
        shared.turn(member, status);
        metrics::publish(&shared.report());
        if statuses.changed().await.is_err() {
            return;
        }
    }
}
