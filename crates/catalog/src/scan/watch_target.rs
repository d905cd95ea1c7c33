//! What a scan's result depends on: the places where a change may make it outdated.

use std::path::PathBuf;

/// A place in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchTarget {
    /// All names in a folder, without its sub-folders.
    Folder(PathBuf),
    /// One path, whether it exists or not.
    Name(PathBuf),
}
