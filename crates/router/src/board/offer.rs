//! What a worker offers for one job: how near the model is, and how many of its slots are used.

/// How near a model is to taking a job; nearer sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readiness {
    /// Takes jobs now.
    Ready,
    /// Loads already.
    Starting,
    /// The job will make it load.
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
