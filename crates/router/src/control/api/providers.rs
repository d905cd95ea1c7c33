//! The providers beside the workers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::workers::Times;
pub use crate::hub::{BreakerState as Breaker, ProviderKind};

/// All providers beside the workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Providers {
    /// In the order in which they are asked.
    pub providers: Vec<ProviderStatus>,
}

/// A provider beside the workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// The models that it may be asked for.
    pub models: Vec<String>,
    /// The state of its circuit breaker.
    pub breaker: Breaker,
    /// Seconds until it gets a request as a trial, while the breaker is open.
    pub reopens_seconds: Option<f64>,
    /// Why it has refused a job last, as in the metrics.
    pub last_refusal: Option<String>,
    /// Jobs that it has.
    pub jobs: u32,
    /// Times of its jobs.
    pub times: Times,
}
