//! The folder of the log files: two files for each model, and a bound for all of them together.
//!
//! `NAME.log` is the file that lines are added to. Where it would exceed its bound it becomes `NAME.log.1`, in place of the one
//! before. A file is open only while lines are added, so that any program may move or remove it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The longest name of a model in the name of a file, in bytes; a file system allows 255 with all.
const NAME_BYTES: usize = 200;

/// The folder, and what its files may take.
#[derive(Debug, Clone)]
pub(crate) struct LogFolder {
    path: PathBuf,
    /// The most bytes of one file.
    file_size: u64,
    /// The most bytes of all files.
    total_size: u64,
    /// Bytes that can be added before the files are counted again.
    room: u64,
}

/// One file of the folder.
struct Entry {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

impl LogFolder {
    pub(crate) fn new(path: PathBuf, file_size: u64, total_size: u64) -> Self {
        Self { path, file_size, total_size, room: 0 }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds whole lines to the file of a model. Blocks.
    ///
    /// # Errors
    /// The folder or the file cannot be made, or not be written.
    pub(crate) fn add(&mut self, model: &str, lines: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let added = lines.len() as u64;
        if added > self.room {
            self.make_room(added)?;
        }
        let path = self.path.join(format!("{}.log", file_name(model)));
        let mut options = File::options();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(&path)?;
        if file.metadata()?.len().saturating_add(added) > self.file_size {
            let mut older = path.clone().into_os_string();
            older.push(".1");
            fs::rename(&path, older)?;
            file = options.open(&path)?;
        }
        file.write_all(lines)?;
        self.room = self.room.saturating_sub(added);
        Ok(())
    }

    /// Removes the files that were written longest ago, until all have room for `added` more bytes.
    fn make_room(&mut self, added: u64) -> io::Result<()> {
        let mut entries = entries(&self.path)?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.changed));
        let mut taken: u64 = entries.iter().map(|entry| entry.bytes).sum();
        // The newest file stays: it is the one that is written.
        while taken.saturating_add(added) > self.total_size && entries.len() > 1 {
            let Some(oldest) = entries.pop() else { break };
            match fs::remove_file(&oldest.path) {
                Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
                _ => taken -= oldest.bytes,
            }
        }
        self.room = self.total_size.saturating_sub(taken);
        Ok(())
    }
}

/// The log files in a folder; others are none of ours.
fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".log") && !name.ends_with(".log.1") {
            continue;
        }
        // One that another program has just removed takes nothing.
        if let Ok(metadata) = path.symlink_metadata()
            && metadata.is_file()
        {
            let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Entry { bytes: metadata.len(), changed, path });
        }
    }
    Ok(found)
}

/// The name of a model as the name of a file: letters, digits, `.`, `_` and `-` as they are, other bytes as `%2F`. A long one is cut
/// and ends with a digest, so that no two models share a file.
fn file_name(model: &str) -> String {
    let mut name = String::with_capacity(model.len());
    for (at, byte) in model.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && at > 0);
        if is_plain { name.push(char::from(byte)) } else { name.push_str(&format!("%{byte:02X}")) }
    }
    if name.len() > NAME_BYTES {
        name.truncate(NAME_BYTES);
        name.push_str(&format!("~{:016x}", digest(model)));
    }
    name
}

/// FNV-1a: the same in every build, which the standard hasher does not promise.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    /// The files of a folder with their sizes.
    fn sizes(folder: &Path) -> BTreeMap<String, u64> {
        let of = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len());
        fs::read_dir(folder).unwrap().map(|entry| of(entry.unwrap())).collect()
    }

    #[test]
    fn a_file_that_is_full_becomes_the_older_one() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = LogFolder::new(root.path().join("logs"), 10, 1000);
        for line in ["first\n", "second\n", "third\n"] {
            folder.add("m", line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("m.log"), read("m.log.1")), ("third\n".to_owned(), "second\n".to_owned()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join("m.log"))), (0o700, 0o600));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = LogFolder::new(root.path().to_owned(), 100, 1000);
        folder.add("m", b"one\n").unwrap();
        fs::rename(root.path().join("m.log"), root.path().join("elsewhere")).unwrap();
        folder.add("m", b"two\n").unwrap();
        assert_eq!(fs::read(root.path().join("m.log")).unwrap(), b"two\n");
    }

    #[test]
    fn other_files_are_neither_counted_nor_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("notes.txt"), [b'x'; 500]).unwrap();
        let mut folder = LogFolder::new(root.path().to_owned(), 50, 100);
        (0..20).for_each(|model| folder.add(&format!("m{model}"), &[b'y'; 40]).unwrap());
        assert_eq!(sizes(root.path()).remove("notes.txt"), Some(500));
    }

    proptest! {
        #[test]
        fn no_file_and_not_all_together_exceed_their_bound(adds in proptest::collection::vec((0..6u8, 1..100usize), 1..80)) {
            let root = tempfile::tempdir().unwrap();
            let mut folder = LogFolder::new(root.path().to_owned(), 100, 300);
            for (model, bytes) in adds {
                folder.add(&model.to_string(), &vec![b'x'; bytes]).unwrap();
                let sizes = sizes(root.path());
                prop_assert!(sizes.values().all(|size| *size <= 100), "{:?}", sizes);
                prop_assert!(sizes.values().sum::<u64>() <= 300, "{:?}", sizes);
                prop_assert!(sizes.contains_key(&format!("{model}.log")), "{:?}", sizes);
            }
        }
    }

    #[test]
    fn a_name_stays_in_the_folder_and_names_of_two_models_differ() {
        assert_eq!(file_name("qwen3-8b.Q4_K_M"), "qwen3-8b.Q4_K_M");
        assert_eq!(file_name("../a b"), "%2E.%2Fa%20b");
        let long = |last: &str| file_name(&format!("{}{last}", "ä".repeat(200)));
        assert!(long("1").len() < 240 && long("1") != long("2"), "{}", long("1"));
    }
}
