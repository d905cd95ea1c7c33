//! The availability of one model, or of all models together.

/// The availability, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Availability {
    /// There is no model.
    NoModel,
    /// Every model has failed; see `owner::retry` for what ends that.
    Failed,
    /// No model is ready or loading, but a job would load one.
    Unloaded,
    /// No model takes jobs now, but one will without a job: it loads, restarts, or waits for its next attempt.
    Loading,
    /// A model takes jobs.
    Ready,
}

impl Availability {
    /// The availability of both together.
    pub(crate) fn better(self, other: Availability) -> Availability {
        self.max(other)
    }
}
