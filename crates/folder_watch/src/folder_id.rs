//! The identity of a watched folder.

use std::hash::{Hash, Hasher};

#[cfg(target_os = "linux")]
type Descriptor = inotify::WatchDescriptor;
#[cfg(not(target_os = "linux"))]
type Descriptor = std::convert::Infallible;

/// A watched folder. It is the same for all paths that lead to the folder, and another one after the watch has ended.
#[derive(Debug, Clone)]
pub struct FolderId(pub(crate) Descriptor);

#[cfg(target_os = "linux")]
impl FolderId {
    fn number(&self) -> i32 {
        self.0.get_watch_descriptor_id()
    }
}

#[cfg(not(target_os = "linux"))]
impl FolderId {
    fn number(&self) -> i32 {
        match self.0 {}
    }
}

impl PartialEq for FolderId {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for FolderId {}

impl Hash for FolderId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}
