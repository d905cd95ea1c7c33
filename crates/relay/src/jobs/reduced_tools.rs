//! Which models' templates cannot read full tool schemas: found out once, by a refusal, and remembered.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The models that answered only once their tool schemas were reduced; as many as this host serves at most.
#[derive(Debug, Default)]
pub(crate) struct ReducedTools {
    models: Mutex<BTreeSet<String>>,
}

impl ReducedTools {
    /// Whether a model is known to need them.
    pub(crate) fn contains(&self, model: &str) -> bool {
        self.lock().contains(model)
    }

    /// A model has refused the full schemas and answered to reduced ones.
    pub(crate) fn remember(&self, model: &str) {
        if !self.contains(model) {
            tracing::info!(model, "tool schemas are sent reduced to this model from now on");
            self.lock().insert(model.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set is whole after every call.
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
