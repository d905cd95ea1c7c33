//! What a worker offers for one job: how ready the model is, and how many of its slots are used.

use auxot_protocol::ModelReport;

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

/// What a load would take; the sooner one sorts first. A load for which no other model has to go comes before one for which
/// some have, or may have: these may be busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LoadCost {
    evicts: bool,
    /// Milliseconds; those that are unknown sort last.
    time: u64,
}

impl LoadCost {
    /// Nothing: it is loaded, or being loaded.
    pub(super) const NONE: Self = Self { evicts: false, time: 0 };

    /// What a worker reports of a model that is not loaded.
    pub(super) fn of(report: &ModelReport) -> Self {
        let time = report.load_ms.filter(|millis| millis.is_finite() && *millis >= 0.0);
        Self { evicts: report.load_evicts.unwrap_or(true), time: time.map_or(u64::MAX, |millis| millis as u64) }
    }
}

/// A worker's offer for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelOffer<'a> {
    pub(crate) readiness: Readiness,
    pub(crate) load: LoadCost,
    pub(crate) used: u32,
    pub(crate) slots: u32,
    pub(crate) model: Option<&'a str>,
    pub(crate) reported_model: &'a str,
}

impl ModelOffer<'_> {
    pub(super) fn has_room(&self) -> bool {
        self.used < self.slots
    }
}
