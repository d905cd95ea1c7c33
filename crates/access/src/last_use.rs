//! When each key was last used: in memory, and from time to time in a file beside the key file.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use auxot_state_file::StateFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keys::{Key, KeyId};

/// The end of the file's name.
const EXTENSION: &str = "last-use";
/// The longest line.
const LONGEST: u64 = 256;
/// Lines that are read.
const MOST: usize = 4_000_000;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Use {
    id: String,
    at: Timestamp,
}

/// When each key was last used.
#[derive(Debug)]
pub struct LastUses {
    file: Option<StateFile<Use>>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    at: HashMap<KeyId, Timestamp>,
    /// There is something to write.
    has_changed: bool,
}

impl LastUses {
    /// Those of the keys in a file, as an earlier run has written them. Without a file they are kept in memory. Blocks.
    #[must_use]
    pub fn of_file(keys: Option<&Path>) -> Self {
        let beside = |path: &Path| StateFile::new(path.with_added_extension(EXTENSION), LONGEST);
        let file: Option<StateFile<Use>> = keys.map(beside);
        let known = file.as_ref().map(|file| file.read_lines(MOST));
        let at = known.into_iter().flatten().filter_map(|line| Some((KeyId::parse(&line.id)?, line.at))).collect();
        Self { file, used: Mutex::new(Used { at, has_changed: false }) }
    }

    /// A key is used now.
    pub fn record(&self, key: &Key) {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.has_changed |= used.at.insert(key.id, now) != Some(now);
    }

    /// When the key with this id was last used; `None` if that is not known.
    #[must_use]
    pub fn at(&self, id: KeyId) -> Option<Timestamp> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).at.get(&id).copied()
    }

    /// Writes the file if there is something new, without keys that are not there any more: only then does it ask for the
    /// present ones. Blocks.
    ///
    /// # Errors
    /// The file cannot be written; the next call tries again.
    pub(crate) fn write(&self, present: impl FnOnce() -> HashSet<KeyId>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut used.has_changed) {
            return Ok(());
        }
        let mut lines: Vec<(KeyId, Timestamp)> = used.at.iter().map(|(id, at)| (*id, *at)).collect();
        drop(used);
        let present = present();
        let gone: Vec<KeyId> = lines.extract_if(.., |(id, _)| !present.contains(id)).map(|(id, _)| id).collect();
        let written = file.write_lines(lines.into_iter().map(|(id, at)| Use { id: id.to_string(), at }));
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        gone.iter().for_each(|id| _ = used.at.remove(id));
        used.has_changed |= written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyFile, NewKeys};

    #[test]
    fn a_use_is_kept_over_a_restart_until_its_key_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        for name in ["a", "b"] {
            file.create(name, &NewKeys::Worker, None).unwrap();
        }
        let keys = file.list().unwrap();
        let (a, b) = (&keys[0], &keys[1]);
        let ids = || keys.iter().map(|key| key.id).collect::<HashSet<_>>();
        let uses = LastUses::of_file(Some(file.path()));
        uses.record(a);
        assert!(uses.at(a.id).is_some() && uses.at(b.id).is_none());
        uses.write(ids).unwrap();
        let path = folder.path().join("keys.last-use");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        std::fs::remove_file(&path).unwrap();
        uses.write(|| panic!("the keys are of no use")).unwrap();
        assert!(!path.exists(), "there is nothing new");

        uses.record(b);
        uses.write(ids).unwrap();
        let after = LastUses::of_file(Some(file.path()));
        assert_eq!((after.at(a.id), after.at(b.id)), (uses.at(a.id), uses.at(b.id)));
        after.used.lock().unwrap().has_changed = true;
        after.write(|| HashSet::from([b.id])).unwrap();
        assert_eq!((after.at(a.id), after.at(b.id)), (None, uses.at(b.id)));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        file.create("a", &NewKeys::Worker, None).unwrap();
        let key = file.list().unwrap().remove(0);
        let uses = LastUses::of_file(Some(&folder.path().join("keys/not-a-folder")));
        uses.record(&key);
        for _ in 0..2 {
            assert!(uses.write(|| HashSet::from([key.id])).is_err());
        }
        let memory = LastUses::of_file(None);
        memory.record(&key);
        memory.write(HashSet::new).unwrap();
        assert!(memory.at(key.id).is_some());
    }
}
