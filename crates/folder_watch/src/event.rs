//! What happens in watched folders.

use std::ffi::OsString;

use crate::folder_id::FolderId;

/// What has happened to a name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A folder, a link or a file was created. A file is usually still being written.
    Created,
    /// Something was moved here.
    MovedIn,
    /// A file was written and closed, or its permissions changed.
    Written,
    /// Something was deleted, or moved away.
    Removed,
}

/// A change of one name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, in its folder.
    pub name: OsString,
    /// Whether it is, or was, a folder.
    pub is_folder: bool,
    /// What has happened to it.
    pub change: Change,
}

/// One event.
#[derive(Debug)]
pub enum Event {
    /// The system's queue was full: events are lost.
    Overflow,
    /// A folder itself was deleted or moved, or its file system was unmounted.
    FolderMoved(FolderId),
    /// A folder is no longer watched.
    WatchEnded(FolderId),
    /// Something changed in a folder.
    Entry(FolderId, Entry),
}
