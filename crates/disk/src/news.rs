//! News of folders that are watched.

use std::ffi::OsString;

use crate::eyes::Id;

/// What has happened to a name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was made: a folder, a link, or a file that somebody is about to write.
    Made,
    /// It was moved here.
    Came,
    /// Somebody has finished writing it, or has changed who may read it.
    Written,
    /// It was deleted, or moved away.
    Gone,
}

/// One piece of news about a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, in its folder.
    pub name: OsString,
    /// Whether it is, or was, a folder.
    pub is_folder: bool,
    /// What has become of it.
    pub what: What,
}

/// One piece of news.
#[derive(Debug)]
pub enum News {
    /// More has happened than could be told.
    TooMuch,
    /// A folder itself is gone, has moved, or its disk was taken away.
    Moved(Id),
    /// A folder is no longer watched.
    Ended(Id),
    /// Something in a folder.
    Entry(Id, Entry),
}
