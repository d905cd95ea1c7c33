//! One folder that is watched, and what of the news about it matters.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use auxot_folder_watch::{Change, Entry};

use crate::scan::walk::is_model;

/// A folder that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchedFolder {
    /// The folder, by the path that the walk came by.
    pub(crate) folder: PathBuf,
    /// Whether a walk reads the folder, rather than a few names in it.
    pub(crate) whole: bool,
    /// Names that matter whatever they are.
    pub(crate) names: BTreeSet<OsString>,
}

/// Whether a piece of news is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relevance {
    Yes,
    No,
    /// If it is a link: to a folder perhaps.
    IfLink,
    /// Unless it is a file with this one name, which somebody writes who will close it.
    IfComplete,
}

impl WatchedFolder {
    /// Whether news of this folder can make another walk find something else. `walked` tells whether a path is a folder
    /// that was walked.
    pub(crate) fn judge(&self, entry: &Entry, walked: impl Fn(&Path) -> bool) -> Relevance {
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

    fn judge(names: &[&str], whole: bool, change: Change, name: &str) -> Relevance {
        let names = names.iter().map(OsString::from).collect();
        let watched_folder = WatchedFolder { folder: "/m".into(), whole, names };
        let is_folder = name.ends_with('/');
        let entry = Entry { name: name.trim_end_matches('/').into(), is_folder, change };
        watched_folder.judge(&entry, |path| path == Path::new("/m/linked"))
    }

    #[test]
    fn what_a_walk_passes_by_does_not_matter() {
        let all = [Change::Created, Change::MovedIn, Change::Written, Change::Removed];
        for change in all {
            assert_eq!(judge(&[], true, change, ".x.gguf"), Relevance::No, "{change:?}");
            assert_eq!(judge(&[], true, change, ".cache/"), Relevance::No, "{change:?}");
            assert_eq!(judge(&["models"], false, change, "x.gguf"), Relevance::No, "{change:?}");
            assert_eq!(judge(&[], true, change, "deep/"), Relevance::Yes, "{change:?}");
        }
        assert_eq!(judge(&[], true, Change::Written, "x.gguf.part"), Relevance::No);
        assert_eq!(judge(&[], true, Change::Removed, "x.gguf.part"), Relevance::No);
    }

    #[test]
    fn a_model_matters_once_it_is_whole() {
        assert_eq!(judge(&[], true, Change::Created, "x.GGUF"), Relevance::IfComplete);
        assert_eq!(judge(&["three.bin"], false, Change::Created, "three.bin"), Relevance::IfComplete);
        for change in [Change::MovedIn, Change::Written, Change::Removed] {
            assert_eq!(judge(&[], true, change, "x.GGUF"), Relevance::Yes, "{change:?}");
            assert_eq!(judge(&["three.bin"], false, change, "three.bin"), Relevance::Yes, "{change:?}");
        }
    }

    #[test]
    fn a_link_to_a_folder_has_any_name() {
        assert_eq!(judge(&[], true, Change::Created, "linked"), Relevance::IfLink);
        assert_eq!(judge(&[], true, Change::MovedIn, "linked"), Relevance::IfLink);
        assert_eq!(judge(&[], true, Change::Removed, "linked"), Relevance::Yes);
        assert_eq!(judge(&[], true, Change::Removed, "other"), Relevance::No);
    }
}
