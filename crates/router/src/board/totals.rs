//! Sums over the live workers, kept up to date with each change: a job with a thousand workers should not count them.

use super::Board;
use crate::summary::Summary;

/// What one worker adds, or all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WorkerTotals {
    /// Workers that may get jobs.
    pub(super) workers: usize,
    /// Jobs that they can run in parallel.
    pub(super) slots: u64,
}

impl WorkerTotals {
    pub(super) fn add(&mut self, other: Self) {
        self.workers += other.workers;
        self.slots += other.slots;
    }

    /// The other one was added before.
    pub(super) fn subtract(&mut self, other: Self) {
        self.workers -= other.workers;
        self.slots -= other.slots;
    }
}

impl Board {
    /// The board in a few numbers.
    pub(crate) fn summary(&self) -> Summary {
        let provided: u32 = self.providers.iter().map(|provider| provider.jobs).sum();
        // Every other job waits, or runs on a live worker: a silent one has none.
        let elsewhere = self.waiting.len() + provided as usize;
        Summary {
            workers: self.totals.workers,
            silent: self.workers.len() - self.totals.workers,
            provided,
            total_slots: u32::try_from(self.totals.slots).unwrap_or(u32::MAX),
            active_jobs: u32::try_from(self.jobs.len().saturating_sub(elsewhere)).unwrap_or(u32::MAX),
            waiting: self.waiting.len(),
        }
    }
}
