//! Files that look like models, before their headers are read.

use std::path::PathBuf;

use crate::identity::Identity;

/// A file that ends in `.gguf`.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// The path below the models folder; in a store of another program, the path under the names that people know.
    pub(crate) below: PathBuf,
    /// The same with the models folder: a file's neighbours and its name are those of its place.
    pub(crate) place: PathBuf,
    /// What other programs call it.
    pub(crate) store_names: Vec<String>,
    /// Device and inode: two paths to one file are one model.
    pub(crate) id: (u64, u64),
    /// Says whether it is still the file that was read before.
    pub(crate) identity: Identity,
    pub(crate) is_link: bool,
    /// Other paths to the same file.
    pub(crate) links: Vec<PathBuf>,
}

/// The files of one model, in order, the one for the engine's command line first.
#[derive(Debug)]
pub(crate) struct FileSet {
    pub(crate) files: Vec<Found>,
}
