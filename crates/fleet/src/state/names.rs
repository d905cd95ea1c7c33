//! Names of models, resolved outside the fleet's lock: a catalog of a thousand models takes some time to search.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use auxot_catalog::{Catalog, Model, ResolveError};

/// So many results are kept; further names are resolved each time.
const MOST_KEPT: usize = 256;
/// Errors list all models, so few of them are kept.
const MOST_ERRORS: usize = 16;
/// The longest name that is kept, in bytes.
const LONGEST_KEPT: usize = 512;

/// The results of name resolution over one catalog. The operator's and the router's names are resolved once for each
/// scan, before its result is used.
#[derive(Debug, Default)]
pub(crate) struct ResolvedNames {
    /// The index of the model in the catalog.
    known: Mutex<HashMap<String, Result<usize, ResolveError>>>,
}

impl ResolvedNames {
    /// Finds the one model that a name fits best.
    pub(super) fn resolve<'a>(&self, catalog: &'a Catalog, name: &str) -> Result<&'a Model, ResolveError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let index = match known {
            Some(known) => known?,
            None => self.resolve_now(catalog, name)?,
        };
        // The index is one of this catalog.
        catalog.models().get(index).ok_or_else(|| ResolveError::Unknown { name: name.to_owned(), known: Vec::new() })
    }

    fn resolve_now(&self, catalog: &Catalog, name: &str) -> Result<usize, ResolveError> {
        let resolved = catalog.resolve(name).map(|found| {
            // Each model of a catalog has a file of its own.
            catalog.models().iter().position(|model| model.file == found.file).unwrap_or(usize::MAX)
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = match &resolved {
            Ok(_) => known.len() < MOST_KEPT,
            Err(_) => known.values().filter(|result| result.is_err()).count() < MOST_ERRORS,
        };
        if is_kept && name.len() <= LONGEST_KEPT {
            known.insert(name.to_owned(), resolved.clone());
        }
        resolved
    }
}
