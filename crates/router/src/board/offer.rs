//! What a worker offers for one job: how ready the model is, and how many of its slots are used.

/// How ready a model is to take a job; more ready sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readiness {
    /// Takes jobs now.
    Ready,
    /// Is loading.
    Starting,
    /// Loads when it gets a job.
    Stopped,
}

/// A worker's offer for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelOffer {
    pub(crate) readiness: Readiness,
    pub(crate) used: u32,
    pub(crate) slots: u32,
    pub(crate) model: Option<String>,
    pub(crate) reported_model: String,
}

impl ModelOffer {
    pub(super) fn has_room(&self) -> bool {
        self.used < self.slots
    }
}
