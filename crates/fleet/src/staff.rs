//! The one owner of all processes' tasks: it drives them, and brings their news to the judge.

use std::pin::Pin;
use std::sync::Arc;

use auxot_instance::InstanceHandle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::error;

use crate::fleet::Shared;
use crate::{metrics, reshape};

/// Work that needs an owner.
pub(crate) enum Hire {
    /// A process to be driven and listened to.
    Instance {
        member: usize,
        generation: u64,
        handle: InstanceHandle,
        instance: Pin<Box<dyn Future<Output = ()> + Send>>,
    },
    /// A member whose process is to be replaced by one of another size.
    Reshape { member: usize },
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
        let shared = Arc::clone(&self.shared);
        match hire {
            Hire::Instance { member, generation, handle, instance } => {
                self.tasks.spawn(instance);
                self.tasks.spawn(listen(shared, member, generation, handle));
            }
            Hire::Reshape { member } => {
                self.tasks.spawn(reshape::run(shared, member));
            }
        }
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
async fn listen(shared: Arc<Shared>, member: usize, generation: u64, handle: InstanceHandle) {
    let mut statuses = handle.status();
    loop {
        let status = statuses.borrow_and_update().clone();
        shared.turn(member, generation, status);
        metrics::publish(&shared.report());
        if statuses.changed().await.is_err() {
            return;
        }
    }
}
