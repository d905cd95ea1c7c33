//! What can be expected of a model, or of all of them together.

/// What can be expected, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Availability {
    /// There is no model.
    Nothing,
    /// Every model has failed, and stays so until somebody mends what is wrong.
    Failed,
    /// No model is loaded or on its way, but some would be loaded for a job.
    Asleep,
    /// None takes jobs now, but some model will by itself: it loads, restarts, or waits for its next try.
    Coming,
    /// Some model takes jobs.
    Serving,
}

impl Availability {
    /// Two together are as good as the better one.
    pub(crate) fn better(self, other: Availability) -> Availability {
        self.max(other)
    }
}
