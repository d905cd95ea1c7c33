//! What an operator sees of the board.

use super::{Board, ConnectedWorker, JobId, ProviderId, WorkerId, WorkerView};

impl Board {
    /// A worker as it is now.
    pub(crate) fn view(&self, worker: WorkerId) -> Option<WorkerView> {
        self.workers.get(&worker).map(ConnectedWorker::view)
    }

    /// Jobs that a provider beside the workers has.
    pub(crate) fn provider_jobs(&self, provider: ProviderId) -> u32 {
        self.providers.get(provider.0).map_or(0, |load| load.jobs)
    }

    /// The job that waits for longest.
    pub(crate) fn oldest_waiting(&self) -> Option<&JobId> {
        self.waiting.front()
    }
}
