//! What interrupted downloads leave in a folder: kept for a week, so that they can go on, then removed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a part file waits for its download to go on.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How the hidden files of downloads end; the last one is of a file that was replaced while the process was killed.
const ENDINGS: [&str; 2] = [".part", ".part.json"];
const REPLACEMENT: &str = ".tmp";

/// Removes the leftovers of a folder. What cannot be removed is left for the next time. Blocks.
pub(crate) fn sweep(folder: &Path) {
    sweep_before(folder, SystemTime::now().checked_sub(KEPT));
}

fn sweep_before(folder: &Path, limit: Option<SystemTime>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(REPLACEMENT)
            || (name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending)));
        let is_old = || entry.metadata().is_ok_and(|file| file.is_file() && file.modified().ok() < limit);
        // A locked part belongs to a process that runs.
        let is_free = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_ours && is_old() && is_free() {
            let _left_for_next_time = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_leftovers_go_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| File::create(folder.path().join(name)).unwrap();
        let all =
            [".a.gguf.part", ".a.gguf.part.json", ".tmpAbC", "a.gguf", ".a.gguf.pull.json", "b.part", ".held.part"];
        let files: Vec<File> = all.iter().map(|name| write(name)).collect();
        files[6].lock().unwrap();
        sweep(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), all.len(), "young ones stay");
        sweep_before(folder.path(), SystemTime::now().checked_add(KEPT));
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".a.gguf.pull.json", ".held.part", "a.gguf", "b.part"]);
    }
}
