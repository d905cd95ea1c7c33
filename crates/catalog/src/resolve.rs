//! From a wish, as an operator, a router or a client writes it, to a model.

use std::path::{Path, PathBuf};

use auxot_names::{Known, Name, best, list, one_line};

use crate::config::expand;
use crate::model::Model;
use crate::scan::Catalog;
use crate::scan::damaged::{Damaged, Fault};
use crate::text::{SHOWN, path_text};

/// Why a wish is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such model.
    #[error("cannot find model {}: {}", one_line(name, SHOWN), known_text(known))]
    Unknown {
        /// The wish.
        name: String,
        /// The names of all models.
        known: Vec<String>,
    },
    /// Several models fit equally well.
    #[error("cannot choose a model for {}: it may be {}", one_line(name, SHOWN), list(candidates))]
    Ambiguous {
        /// The wish.
        name: String,
        /// The names of those that fit.
        candidates: Vec<String>,
    },
    /// The file is there and cannot be used.
    #[error("cannot use model {}: {}: {reason}", one_line(name, SHOWN), path_text(path))]
    Damaged {
        /// The wish.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Parts of a sharded model are not there.
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
    /// Finds the one model that fits a wish best; see the crate's description for the rules.
    ///
    /// # Errors
    /// When none fits, several fit equally well, or the one that fits is damaged. The error's text lists what there is.
    pub fn resolve(&self, wish: &str) -> Result<&Model, ResolveError> {
        let wish = self.without_alias(wish.trim());
        let fitting = match as_path(wish) {
            Some(path) => self.with_names().filter(|(_, names)| names.paths.contains(&path)).map(|(m, _)| m).collect(),
            None => self.by_name(wish),
        };
        match fitting[..] {
            [model] => Ok(model),
            [] => Err(self.why_not(wish)),
            _ => Err(ResolveError::Ambiguous {
                name: wish.to_string(),
                candidates: fitting.into_iter().map(|model| model.name.clone()).collect(),
            }),
        }
    }

    /// What an alias stands for; once, so that two aliases for each other end.
    fn without_alias<'a>(&'a self, wish: &'a str) -> &'a str {
        let name = Name::parse(wish);
        let alias = self.aliases().iter().find(|alias| !name.key.is_empty() && Name::parse(&alias.name) == name);
        alias.map_or(wish, |alias| alias.model.trim())
    }

    fn by_name(&self, wish: &str) -> Vec<&Model> {
        best(wish, self.with_names().map(|(model, names)| (model, model.name.as_str(), &names.known)))
    }

    fn why_not(&self, wish: &str) -> ResolveError {
        let path = as_path(wish);
        let name = Name::parse(wish);
        let is_meant = |damaged: &&Damaged| match &path {
            Some(path) => damaged.path == *path,
            None => Known::of(&damaged.name).fits(&name),
        };
        match self.damaged().iter().find(is_meant) {
            Some(Damaged { path, fault: Fault::ShardsMissing { have, want, missing }, .. }) => {
                ResolveError::ShardsMissing { path: path.clone(), have: *have, want: *want, missing: missing.clone() }
            }
            Some(Damaged { path, fault, .. }) => {
                ResolveError::Damaged { name: wish.to_string(), path: path.clone(), reason: fault.to_string() }
            }
            None => ResolveError::Unknown {
                name: wish.to_string(),
                known: self.models().iter().map(|model| model.name.clone()).collect(),
            },
        }
    }
}

/// The path that a wish spells, if it spells one.
fn as_path(wish: &str) -> Option<PathBuf> {
    let path = wish.strip_prefix("file://").or_else(|| wish.strip_prefix("file:")).unwrap_or(wish);
    let is_path = path.len() != wish.len() || path.starts_with('/') || path.starts_with("~/");
    is_path.then(|| expand(Path::new(path)))
}

fn known_text(known: &[String]) -> String {
    match known {
        [] => "no models were found".to_string(),
        _ => format!("there is {}", list(known)),
    }
}

#[cfg(test)]
mod tests;
