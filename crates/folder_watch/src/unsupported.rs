//! Systems without inotify: nothing is watched.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use crate::event::Event;
use crate::folder_id::FolderId;

/// Takes the folders to be watched.
#[derive(Debug, Clone)]
pub struct Watcher(Infallible);

/// The events of the watched folders.
#[derive(Debug)]
pub struct Events(Infallible);

/// Not possible on this system.
///
/// # Errors
/// Always.
pub fn open() -> io::Result<(Watcher, Events)> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Watcher {
    /// Watches a folder.
    ///
    /// # Errors
    /// Never: there is no watcher.
    pub fn watch(&mut self, _: &Path) -> io::Result<FolderId> {
        match self.0 {}
    }

    /// Ends the watch of a folder.
    pub fn unwatch(&mut self, _: FolderId) {
        match self.0 {}
    }
}

impl Events {
    /// The next event.
    ///
    /// # Errors
    /// Never: there is no watcher.
    pub async fn next(&mut self) -> io::Result<Event> {
        match self.0 {}
    }
}
