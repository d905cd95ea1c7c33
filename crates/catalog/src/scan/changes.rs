//! What is different between two scans of the models folders.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::damaged::Damaged;
use crate::model::Model;
use crate::scan::Catalog;

/// The models, by name, that are new, gone, or other files now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Models that were not there before.
    pub added: Vec<String>,
    /// Models of which some file or the projector has changed.
    pub changed: Vec<String>,
    /// Models whose files are gone or cannot be used any more.
    pub removed: Vec<String>,
    /// Files that cannot be used and were not known as such.
    pub damaged: Vec<PathBuf>,
}

impl Changes {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One line for each model. A damaged file has a line already, with what is wrong with it.
    pub(crate) fn log(&self) {
        for (models, what) in [(&self.added, "new"), (&self.changed, "changed"), (&self.removed, "gone")] {
            for model in models {
                tracing::info!(%model, what, "model file");
            }
        }
    }

    pub(crate) fn between(old: &Catalog, new: &Catalog) -> Self {
        let mut changes = Self::default();
        // Names of other models change too when two get the same one, so models are matched by their file.
        let (before, after) = (by_file(old), by_file(new));
        for model in &after {
            match before.binary_search_by(|known| known.file.cmp(&model.file)) {
                Err(_) => changes.added.push(model.name.clone()),
                Ok(at) => {
                    let known = before[at];
                    let same = known.files == model.files && known.mmproj == model.mmproj;
                    if !same || !new.same_files(old, model) {
                        changes.changed.push(model.name.clone());
                    }
                }
            }
        }
        let gone = before.iter().filter(|known| after.binary_search_by(|model| model.file.cmp(&known.file)).is_err());
        changes.removed.extend(gone.map(|model| model.name.clone()));
        let known: HashMap<&Path, &Damaged> = old.damaged().iter().map(|known| (&*known.path, known)).collect();
        let fresh = new.damaged().iter().filter(|damaged| known.get(&*damaged.path) != Some(damaged));
        changes.damaged.extend(fresh.map(|damaged| damaged.path.clone()));
        changes
    }
}

fn by_file(catalog: &Catalog) -> Vec<&Model> {
    let mut models: Vec<&Model> = catalog.models().iter().collect();
    models.sort_by(|a, b| a.file.cmp(&b.file));
    models
}
