//! A file's state, which says whether it has changed without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// Length, time of the last change and inode of a file: to write into a file, or to replace it, changes one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The length in bytes.
    pub bytes: u64,
    /// Seconds and nanoseconds of the last change, since 1970.
    pub modified: (i64, i64),
    /// The inode, which is unique within its file system.
    pub inode: u64,
}

impl Identity {
    /// The present state of a file.
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self { bytes: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()), inode: meta.ino() }
    }
}
