//! What is downloaded together.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::digest::Sum;
use crate::repository::Repository;

/// Files that get their names together, once all of them are whole: the shards of a model and its projector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The folder that the files' paths are below.
    pub folder: PathBuf,
    /// The files.
    pub items: Vec<Item>,
}

/// One file of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it comes from.
    pub origin: Origin,
    /// Its place below the folder.
    pub path: PathBuf,
    /// Its size, where that is known before.
    pub size: Option<u64>,
    /// Its SHA-256, where that is known before.
    pub sha256: Option<Sum>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A file of a repository.
    Hub {
        /// The repository.
        repository: Repository,
        /// The commit, which pins the content.
        commit: String,
        /// The path in the repository.
        path: String,
    },
    /// A file at an address.
    Url(Url),
    /// A file of this host.
    File(PathBuf),
}

impl Item {
    /// What the file is called in messages.
    pub(crate) fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}
