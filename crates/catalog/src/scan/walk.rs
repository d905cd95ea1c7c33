//! Finds the model files below a folder: links followed, loops cut, depth and number bounded.

use std::collections::HashSet;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use auxot_names::stem;

use crate::damaged::{Damaged, Fault};
use crate::files::Found;
use crate::identity::Identity;
use crate::path::is_model;
use crate::scan::store::{self, Store, StoreFile};
use crate::scan::watch_target::WatchTarget;
use crate::text::file_text;

/// Folders in folders: deep enough for `owner/repo/revision/quant/`.
const MAX_DEPTH: usize = 8;
/// The most entries that are read, so that a models folder that is set to `/` ends.
const MAX_ENTRIES: usize = 200_000;

/// What a walk over all models folders found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) found: Vec<Found>,
    pub(crate) damaged: Vec<Damaged>,
    /// Where another scan would find something else after a change.
    pub(crate) watch_targets: Vec<WatchTarget>,
    folders: HashSet<(u64, u64)>,
    entries: usize,
}

impl Walk {
    /// Adds everything below a models folder.
    pub(crate) fn folder(&mut self, root: &Path) {
        self.expect(root);
        match fs::metadata(root) {
            Ok(meta) => self.enter(root, root, &meta, 0),
            Err(e) => self.fault(root, Fault::Unreadable(e.kind())),
        }
    }

    /// Adds a path that may have something else later to the watch targets.
    pub(crate) fn expect(&mut self, path: &Path) {
        self.watch_targets.push(WatchTarget::Name(path.to_path_buf()));
    }

    /// Adds one file, whatever it is called.
    pub(crate) fn file(&mut self, path: &Path) {
        self.expect(path);
        self.link(path);
        match fs::metadata(path) {
            Ok(meta) => {
                let folder = path.parent().unwrap_or(path);
                self.found.push(found(path, folder, &meta, path.is_symlink()));
            }
            Err(e) => self.fault(path, Fault::Unreadable(e.kind())),
        }
    }

    fn enter(&mut self, root: &Path, folder: &Path, meta: &Metadata, depth: usize) {
        // A folder for the second time is a loop of links, or one folder by two paths.
        if depth > MAX_DEPTH || !self.folders.insert((meta.dev(), meta.ino())) {
            return;
        }
        self.watch_targets.push(WatchTarget::Folder(folder.to_path_buf()));
        if let Some(store) = store::read(folder) {
            return self.store(root, folder, store);
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) => return self.fault(folder, Fault::Unreadable(e.kind())),
        };
        let mut entries: Vec<DirEntry> = entries.filter_map(Result::ok).take(MAX_ENTRIES + 1).collect();
        // The order of a directory is arbitrary; names must not depend on it.
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                if self.entries == MAX_ENTRIES + 1 {
                    self.fault(root, Fault::TooLarge { what: "files and folders", limit: MAX_ENTRIES });
                }
                return;
            }
            self.entry(root, &entry, depth);
        }
    }

    /// Adds what the index of another program's store has.
    fn store(&mut self, root: &Path, folder: &Path, store: Store) {
        let watched = store.watched.into_iter();
        self.watch_targets.extend(
            watched.map(|path| if path.is_dir() { WatchTarget::Folder(path) } else { WatchTarget::Name(path) }),
        );
        // The folder of a repository, or of a model, is named in the place; that of a whole store has a name of its own.
        let outer = folder.strip_prefix(root).ok().and_then(Path::parent).unwrap_or(Path::new(""));
        for StoreFile { path, place, name } in store.files {
            self.link(&path);
            match fs::metadata(&path) {
                Ok(meta) => {
                    let is_link = path.is_symlink();
                    let below = outer.join(place);
                    let place = root.join(&below);
                    self.found.push(Found {
                        below,
                        place,
                        store_names: name.into_iter().collect(),
                        ..found(&path, root, &meta, is_link)
                    });
                }
                Err(e) => self.fault(&path, Fault::Unreadable(e.kind())),
            }
        }
    }

    fn entry(&mut self, root: &Path, entry: &DirEntry, depth: usize) {
        let path = entry.path();
        let name = entry.file_name();
        // Hidden entries are what downloaders and editors leave beside a file.
        if name.as_encoded_bytes().starts_with(b".") {
            return;
        }
        let model = is_model(&path) && !is_unfinished(&path);
        let Ok(kind) = entry.file_type() else { return };
        if kind.is_file() && !model {
            return;
        }
        if kind.is_symlink() {
            self.link(&path);
        }
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => self.enter(root, &path, &meta, depth + 1),
            Ok(meta) if meta.is_file() && model => {
                self.found.push(found(&path, root, &meta, kind.is_symlink()));
            }
            Ok(_) => {}
            // A broken link with a model's name is reported; any other is not.
            Err(e) if model => self.fault(&path, Fault::Unreadable(e.kind())),
            Err(_) => {}
        }
    }

    /// The target of a link may appear, be written or be replaced.
    fn link(&mut self, path: &Path) {
        let Ok(target) = fs::read_link(path) else { return };
        let target = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
        self.expect(&fs::canonicalize(path).unwrap_or(target));
    }

    fn fault(&mut self, path: &Path, fault: Fault) {
        let name = stem(&file_text(path)).to_lowercase();
        self.damaged.push(Damaged { name, path: path.to_path_buf(), fault });
    }
}

fn found(path: &Path, root: &Path, meta: &Metadata, is_link: bool) -> Found {
    let below = path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let (id, identity) = ((meta.dev(), meta.ino()), Identity::of(meta));
    let (path, place) = (path.to_path_buf(), path.to_path_buf());
    Found { path, below, place, store_names: Vec::new(), id, identity, is_link, links: Vec::new() }
}

/// Whether a program that gives a file its last name from the start is downloading it.
fn is_unfinished(path: &Path) -> bool {
    let name = file_text(path);
    let marked = ["incomplete-", "downloading_"].iter().any(|start| name.starts_with(start));
    marked || path.with_file_name(format!("{name}.aria2")).exists()
}
