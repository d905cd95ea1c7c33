//! The models whose templates cannot read full tool schemas, as a refusal has shown.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The models that answered only with reduced tool schemas; at most as many as this host serves.
#[derive(Debug, Default)]
pub(crate) struct ReducedTools {
    models: Mutex<BTreeSet<String>>,
}

impl ReducedTools {
    /// Whether a model needs reduced tool schemas.
    pub(crate) fn contains(&self, model: &str) -> bool {
        self.lock().contains(model)
    }

    /// A model has refused the full schemas and accepted reduced ones.
    pub(crate) fn remember(&self, model: &str) {
        if !self.contains(model) {
            tracing::info!(model, "tool schemas are sent reduced to this model from now on");
            self.lock().insert(model.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Each change is a single insert.
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
