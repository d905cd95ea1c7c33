//! One folder that is watched, and what of the news about it matters.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use auxot_folder_watch::{Change, Entry};

use crate::scan::walk::is_model;

/// A folder that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    /// The folder, by the path that the walk came by.
    pub(crate) folder: PathBuf,
    /// Whether a walk reads the folder, rather than a few names in it.
    pub(crate) whole: bool,
    /// Names that matter whatever they are.
    pub(crate) names: BTreeSet<OsString>,
}

/// Whether a piece of news is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matters {
    Yes,
    No,
    /// If it is a link: to a folder perhaps.
    IfLink,
    /// Unless it is a file with this one name, which somebody writes who will close it.
    IfWhole,
}

impl Post {
    /// Whether news of this folder can make another walk find something else. `walked` tells whether a path is a folder
    /// that was walked.
    pub(crate) fn judge(&self, entry: &Entry, walked: impl Fn(&Path) -> bool) -> Matters {
        let named = self.names.contains(&entry.name);
        if !named && (!self.whole || is_hidden(&entry.name)) {
            return Matters::No;
        }
        match entry.change {
            _ if entry.is_folder => Matters::Yes,
            Change::Created if named || is_model(Path::new(&entry.name)) => Matters::IfWhole,
            _ if named || is_model(Path::new(&entry.name)) => Matters::Yes,
            Change::Created | Change::MovedIn => Matters::IfLink,
            Change::Removed if walked(&self.folder.join(&entry.name)) => Matters::Yes,
            Change::Removed | Change::Written => Matters::No,
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(names: &[&str], whole: bool, change: Change, name: &str) -> Matters {
        let names = names.iter().map(OsString::from).collect();
        let post = Post { folder: "/m".into(), whole, names };
        let is_folder = name.ends_with('/');
        let entry = Entry { name: name.trim_end_matches('/').into(), is_folder, change };
        post.judge(&entry, |path| path == Path::new("/m/linked"))
    }

    #[test]
    fn what_a_walk_passes_by_does_not_matter() {
        let all = [Change::Created, Change::MovedIn, Change::Written, Change::Removed];
        for change in all {
            assert_eq!(judge(&[], true, change, ".x.gguf"), Matters::No, "{change:?}");
            assert_eq!(judge(&[], true, change, ".cache/"), Matters::No, "{change:?}");
            assert_eq!(judge(&["models"], false, change, "x.gguf"), Matters::No, "{change:?}");
            assert_eq!(judge(&[], true, change, "deep/"), Matters::Yes, "{change:?}");
        }
        assert_eq!(judge(&[], true, Change::Written, "x.gguf.part"), Matters::No);
        assert_eq!(judge(&[], true, Change::Removed, "x.gguf.part"), Matters::No);
    }

    #[test]
    fn a_model_matters_once_it_is_whole() {
        assert_eq!(judge(&[], true, Change::Created, "x.GGUF"), Matters::IfWhole);
        assert_eq!(judge(&["three.bin"], false, Change::Created, "three.bin"), Matters::IfWhole);
        for change in [Change::MovedIn, Change::Written, Change::Removed] {
            assert_eq!(judge(&[], true, change, "x.GGUF"), Matters::Yes, "{change:?}");
            assert_eq!(judge(&["three.bin"], false, change, "three.bin"), Matters::Yes, "{change:?}");
        }
    }

    #[test]
    fn a_link_to_a_folder_has_any_name() {
        assert_eq!(judge(&[], true, Change::Created, "linked"), Matters::IfLink);
        assert_eq!(judge(&[], true, Change::MovedIn, "linked"), Matters::IfLink);
        assert_eq!(judge(&[], true, Change::Removed, "linked"), Matters::Yes);
        assert_eq!(judge(&[], true, Change::Removed, "other"), Matters::No);
    }
}
