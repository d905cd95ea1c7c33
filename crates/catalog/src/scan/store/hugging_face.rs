//! A repository of the Hugging Face cache: `models--owner--repo/{refs/main, snapshots/<commit>/…, blobs}`.
//!
//! `refs/main` names the commit that is current, and is written before its files are there. So a set of files is taken from the
//! current snapshot where it is whole there, else from the newest one where it is.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use auxot_names::{ShardName, stem};

use super::{Store, StoreFile, entries, text};
use crate::path::{file_name, is_model};

/// Folders below a snapshot.
const MAX_DEPTH: usize = 4;

/// The repository of a folder's name: `owner` and `repo`.
pub(super) fn repository(folder: &Path) -> Option<(String, String)> {
    let name = file_name(folder);
    let (owner, repository) = name.strip_prefix("models--")?.split_once("--")?;
    Some((owner.to_owned(), repository.to_owned()))
}

/// The files of one set, by their paths below the snapshot.
type Set = Vec<PathBuf>;

pub(super) fn read(folder: &Path) -> Store {
    let Some((owner, repository)) = repository(folder) else { return Store::default() };
    let snapshots = snapshots(folder);
    let sets: Vec<(&PathBuf, BTreeMap<PathBuf, Set>)> =
        snapshots.iter().map(|snapshot| (snapshot, sets(snapshot))).collect();
    let mut taken = HashSet::new();
    let mut files = Vec::new();
    // First what is whole; what is whole nowhere is reported as it is in the first snapshot that has some of it.
    for whole_only in [true, false] {
        for (snapshot, sets) in &sets {
            for (key, set) in sets {
                if (whole_only && !is_whole(snapshot, set)) || !taken.insert(key.clone()) {
                    continue;
                }
                files.extend(set.iter().map(|path| StoreFile {
                    path: snapshot.join(path),
                    place: Path::new(&owner).join(&repository).join(path),
                    name: Some(format!("{owner}/{repository}")),
                }));
            }
        }
    }
    let watched = [folder.join("refs/main"), folder.join("snapshots")].into_iter().chain(snapshots.clone()).collect();
    Store { files, watched }
}

/// The snapshots: the current one, then the others from the newest on.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let current = text(&folder.join("refs/main")).map(|commit| folder.join("snapshots").join(commit.trim()));
    let mut all: Vec<PathBuf> = entries(&folder.join("snapshots")).into_iter().filter(|path| path.is_dir()).collect();
    let modified = |path: &PathBuf| path.metadata().and_then(|snapshot| snapshot.modified()).ok();
    all.sort_by_key(|path| (Some(path) != current.as_ref(), std::cmp::Reverse(modified(path))));
    all
}

/// The models of a snapshot: the paths of each set, by its folder, prefix and number of shards.
fn sets(snapshot: &Path) -> BTreeMap<PathBuf, Set> {
    let mut paths = Vec::new();
    walk(snapshot, Path::new(""), 0, &mut paths);
    let mut sets: BTreeMap<PathBuf, Set> = BTreeMap::new();
    for path in paths {
        let name = file_name(&path);
        let of = ShardName::parse(&name).map_or(0, |shard| shard.of);
        sets.entry(path.with_file_name(format!("{}.{of}", stem(&name)))).or_default().push(path);
    }
    sets
}

fn walk(snapshot: &Path, below: &Path, depth: usize, paths: &mut Vec<PathBuf>) {
    for path in entries(&snapshot.join(below)) {
        let below = below.join(file_name(&path));
        // A link without its blob is reported where no other snapshot has the file.
        if is_model(&path) && !path.is_dir() {
            paths.push(below);
        } else if depth < MAX_DEPTH && path.is_dir() && !path.is_symlink() {
            walk(snapshot, &below, depth + 1, paths);
        }
    }
}

fn is_whole(snapshot: &Path, set: &Set) -> bool {
    let of = set.first().map_or(0, |path| ShardName::parse(&file_name(path)).map_or(1, |shard| shard.of as usize));
    set.len() == of && set.iter().all(|path| snapshot.join(path).exists())
}
