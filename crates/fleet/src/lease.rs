//! The right to one slot of one engine, for as long as it is held.

use std::sync::Arc;

use auxot_instance::{Claim, Endpoint, Ready};

use crate::fleet::Shared;
use crate::queue::Run;

/// One slot of one engine. Dropping it frees the slot, so it lives as long as the answer's body.
#[derive(Debug)]
pub struct Lease {
    pub(crate) shared: Arc<Shared>,
    pub(crate) member: usize,
    pub(crate) model: Arc<auxot_catalog::Model>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) run: Run,
    /// Tells the instance that it is in use, so that a drain waits for this job.
    pub(crate) claim: Claim,
}

impl Lease {
    /// Where the engine listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.ready.endpoint
    }

    /// The model's name, as in logs and metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model.name
    }

    /// Whether the engine can see images.
    #[must_use]
    pub fn vision(&self) -> bool {
        self.ready.props.vision
    }

    /// The pulse of this job: the instance takes it as a sign of life of its engine.
    pub fn progressed(&self) {
        self.claim.progress();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release(self.member, self.run);
    }
}
