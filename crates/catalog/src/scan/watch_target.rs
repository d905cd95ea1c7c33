//! What a catalog stands on: the places where a change may make it untrue.

use std::path::PathBuf;

/// A place in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchTarget {
    /// All that is in a folder, sub-folders aside.
    Folder(PathBuf),
    /// One path, whether there is anything or not.
    Name(PathBuf),
}
