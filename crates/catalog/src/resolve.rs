//! From a requested name, as an operator, a router or a client writes it, to a model.

mod aliases;

use std::path::{Path, PathBuf};

use auxot_names::{KnownNames, Name, best, find, list, one_line};

use crate::config::expand_home;
use crate::damaged::{Damaged, Fault};
use crate::model::Model;
use crate::scan::Catalog;
use crate::text::{SHOWN, path_text};

/// Why a requested name is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such model.
    #[error("cannot find model {}: {}", one_line(name, SHOWN), known_text(known))]
    Unknown {
        /// The requested name.
        name: String,
        /// The names of all models.
        known: Vec<String>,
    },
    /// Several models fit equally well.
    #[error("cannot choose a model for {}: it may be {}", one_line(name, SHOWN), list(candidates))]
    Ambiguous {
        /// The requested name.
        name: String,
        /// The names of those that fit.
        candidates: Vec<String>,
    },
    /// The file exists and cannot be used.
    #[error("cannot use model {}: {}: {reason}", one_line(name, SHOWN), path_text(path))]
    Damaged {
        /// The requested name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Parts of a sharded model are missing.
    #[error(
        "cannot use model {}: {have} of {want} shards are there; missing: {}{}", path_text(path),
        list(missing), if missing.len() < (want - have) as usize { " and more" } else { "" }
    )]
    ShardsMissing {
        /// The first shard that is there.
        path: PathBuf,
        /// Shards found.
        have: u32,
        /// Shards there should be.
        want: u32,
        /// File names of missing shards, the first few.
        missing: Vec<String>,
    },
}

impl Catalog {
    /// Finds the one model that fits a requested name best; see the crate's description for the rules.
    ///
    /// # Errors
    /// When none fits, several fit equally well, or the one that fits is damaged. The error's text lists what exists.
    pub fn resolve(&self, requested: &str) -> Result<&Model, ResolveError> {
        let requested = requested.trim();
        let mut fitting = self.find(requested, |name| self.meant(name));
        // Several aliases of one name may mean the same.
        fitting.sort_by(|one, other| one.name.cmp(&other.name));
        fitting.dedup_by(|one, other| one.file == other.file);
        match fitting[..] {
            [model] => Ok(model),
            [] => Err(self.why_not(requested)),
            _ => Err(ResolveError::Ambiguous {
                name: requested.to_string(),
                candidates: fitting.into_iter().map(|model| model.name.clone()).collect(),
            }),
        }
    }

    fn find<T>(&self, requested: &str, look: impl Fn(&str) -> Vec<T>) -> Vec<T> {
        let aliases = self.aliases().iter().map(|alias| (Name::parse(&alias.name), alias.model.as_str()));
        let aliases: Vec<(Name, &str)> = aliases.collect();
        find(requested, aliases.iter().map(|(name, model)| (name, *model)), look)
    }

    /// The models that a name or a path fits best.
    fn meant(&self, name: &str) -> Vec<&Model> {
        match as_path(name) {
            Some(path) => self.with_names().filter(|(_, names)| names.paths.contains(&path)).map(|(m, _)| m).collect(),
            None => best(name, self.with_names().map(|(model, names)| (model, model.name.as_str(), &names.known))),
        }
    }

    /// The files that cannot be used and that a name or a path fits.
    fn meant_and_damaged(&self, name: &str) -> Vec<&Damaged> {
        let (path, parsed) = (as_path(name), Name::parse(name));
        let is_meant = |damaged: &&Damaged| match &path {
            Some(path) => damaged.path == *path,
            None => KnownNames::of(&damaged.name).fits(&parsed),
        };
        self.damaged().iter().filter(is_meant).collect()
    }

    fn why_not(&self, requested: &str) -> ResolveError {
        // The model of an alias of that name, else the requested name itself.
        let name = self.find(requested, |name| vec![name.to_string()]).join(", ");
        match self.find(requested, |name| self.meant_and_damaged(name)).first() {
            Some(Damaged { path, fault: Fault::ShardsMissing { have, want, missing }, .. }) => {
                ResolveError::ShardsMissing { path: path.clone(), have: *have, want: *want, missing: missing.clone() }
            }
            Some(Damaged { path, fault, .. }) => {
                ResolveError::Damaged { name, path: path.clone(), reason: fault.to_string() }
            }
            None => {
                ResolveError::Unknown { name, known: self.models().iter().map(|model| model.name.clone()).collect() }
            }
        }
    }
}

/// The path that a requested name spells, if it spells one.
fn as_path(requested: &str) -> Option<PathBuf> {
    let path = requested.strip_prefix("file://").or_else(|| requested.strip_prefix("file:")).unwrap_or(requested);
    let is_path = path.len() != requested.len() || path.starts_with('/') || path.starts_with("~/");
    is_path.then(|| expand_home(Path::new(path)))
}

fn known_text(known: &[String]) -> String {
    match known {
        [] => "no models were found".to_string(),
        _ => format!("there is {}", list(known)),
    }
}

#[cfg(test)]
mod tests;
