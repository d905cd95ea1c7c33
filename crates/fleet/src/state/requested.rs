//! The model that a job wants.

use std::path::{Path, PathBuf};

use auxot_catalog::ResolveError;

use super::scan::Scan;

/// The model that a job wants, by name.
#[derive(Debug, Clone)]
pub(crate) enum Requested<'a> {
    /// The job names none: the primary model serves it.
    Primary,
    /// The exact name of a model of the fleet.
    Exact(&'a str),
    /// A name that means this file, which may be damaged.
    File(&'a str, PathBuf),
    /// A name that means no file.
    Unknown(&'a str),
    /// A name that means several models.
    Ambiguous(&'a str, Vec<String>),
}

impl<'a> Requested<'a> {
    /// What a name means that is not the exact name of a model of the fleet. Not called under the lock.
    pub(crate) fn resolve(name: &'a str, scan: &Scan) -> Self {
        match scan.resolve(name) {
            Ok(model) => Self::File(name, model.file.clone()),
            // A damaged model has the same answer by each of its names.
            Err(ResolveError::Damaged { path, .. } | ResolveError::ShardsMissing { path, .. }) => {
                Self::File(name, path)
            }
            Err(ResolveError::Unknown { .. }) => Self::Unknown(name),
            Err(ResolveError::Ambiguous { candidates, .. }) => Self::Ambiguous(name, candidates),
        }
    }

    /// The name, where the job has one.
    pub(crate) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Primary => None,
            Self::Exact(name) | Self::File(name, _) | Self::Unknown(name) | Self::Ambiguous(name, _) => Some(name),
        }
    }

    /// The file that the name means, where the name is not exact.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(_, file) => Some(file),
            Self::Primary | Self::Exact(_) | Self::Unknown(_) | Self::Ambiguous(..) => None,
        }
    }
}
