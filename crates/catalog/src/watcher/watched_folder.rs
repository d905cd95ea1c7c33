//! One watched folder, and which of its events matter.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use auxot_folder_watch::{Change, Entry};

use crate::path::is_model;

/// A watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchedFolder {
    /// The folder, by the path of the scan.
    pub(crate) folder: PathBuf,
    /// Whether the scan reads the folder, rather than a few names in it.
    pub(crate) whole: bool,
    /// Names that matter whatever they are.
    pub(crate) names: BTreeSet<OsString>,
}

/// Whether an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relevance {
    Yes,
    No,
    /// If the path is a link, which may lead to a folder.
    IfLink,
    /// Unless the path is a file with a single link, which is still being written and gives another event when it is
    /// closed.
    IfComplete,
}

impl WatchedFolder {
    /// Whether an event of this folder can change the result of a scan. `walked` says whether a path is a folder that
    /// the scan read.
    pub(crate) fn relevance(&self, entry: &Entry, walked: impl Fn(&Path) -> bool) -> Relevance {
        let named = self.names.contains(&entry.name);
        if !named && (!self.whole || is_hidden(&entry.name)) {
            return Relevance::No;
        }
        match entry.change {
            _ if entry.is_folder => Relevance::Yes,
            Change::Created if named || is_model(Path::new(&entry.name)) => Relevance::IfComplete,
            _ if named || is_model(Path::new(&entry.name)) => Relevance::Yes,
            Change::Created | Change::MovedIn => Relevance::IfLink,
            Change::Removed if walked(&self.folder.join(&entry.name)) => Relevance::Yes,
            Change::Removed | Change::Written => Relevance::No,
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relevance(names: &[&str], whole: bool, change: Change, name: &str) -> Relevance {
        let names = names.iter().map(OsString::from).collect();
        let watched_folder = WatchedFolder { folder: "/m".into(), whole, names };
        let is_folder = name.ends_with('/');
        let entry = Entry { name: name.trim_end_matches('/').into(), is_folder, change };
        watched_folder.relevance(&entry, |path| path == Path::new("/m/linked"))
    }

    #[test]
    fn what_a_walk_passes_by_does_not_matter() {
        let all = [Change::Created, Change::MovedIn, Change::Written, Change::Removed];
        for change in all {
            assert_eq!(relevance(&[], true, change, ".x.gguf"), Relevance::No, "{change:?}");
            assert_eq!(relevance(&[], true, change, ".cache/"), Relevance::No, "{change:?}");
            assert_eq!(relevance(&["models"], false, change, "x.gguf"), Relevance::No, "{change:?}");
            assert_eq!(relevance(&[], true, change, "deep/"), Relevance::Yes, "{change:?}");
        }
        assert_eq!(relevance(&[], true, Change::Written, "x.gguf.part"), Relevance::No);
        assert_eq!(relevance(&[], true, Change::Removed, "x.gguf.part"), Relevance::No);
    }

    #[test]
    fn a_model_matters_once_it_is_whole() {
        assert_eq!(relevance(&[], true, Change::Created, "x.GGUF"), Relevance::IfComplete);
        assert_eq!(relevance(&["three.bin"], false, Change::Created, "three.bin"), Relevance::IfComplete);
        for change in [Change::MovedIn, Change::Written, Change::Removed] {
            assert_eq!(relevance(&[], true, change, "x.GGUF"), Relevance::Yes, "{change:?}");
            assert_eq!(relevance(&["three.bin"], false, change, "three.bin"), Relevance::Yes, "{change:?}");
        }
    }

    #[test]
    fn a_link_to_a_folder_has_any_name() {
        assert_eq!(relevance(&[], true, Change::Created, "linked"), Relevance::IfLink);
        assert_eq!(relevance(&[], true, Change::MovedIn, "linked"), Relevance::IfLink);
        assert_eq!(relevance(&[], true, Change::Removed, "linked"), Relevance::Yes);
        assert_eq!(relevance(&[], true, Change::Removed, "other"), Relevance::No);
    }
}
