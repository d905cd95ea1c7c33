//! The current keys: read once, and again when the file changes.
//!
//! A file that is unreadable for a moment revokes nothing: good keys stay good, and other keys are neither good nor bad
//! until the file can be read again. An editor may truncate a file before it writes it, so that a key that is missing
//! counts as revoked only after the file has been unchanged for a moment. Lines that are added to the file count at once.
//!
//! Each unknown key asks for a look at the file. Looks that wait for one another share one, and a file that says nothing
//! certain is read again only when it has changed or after a pause.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use super::Keys;
use super::error::FileError;
use super::key::{Key, KeyKind};
use super::line::Line;
use super::reader::{LastLine, Part, Progress, Reader};
use super::set::KeySet;

/// A file that changed more recently may be half written.
pub(crate) const SETTLED: Duration = Duration::from_millis(200);

/// The keys as they are known now.
#[derive(Debug, Default)]
pub(crate) struct CurrentKeys {
    pub(crate) set: KeySet,
    /// Whether a key that is not in the set is a bad key.
    pub(crate) certain: bool,
    /// Changes whenever a key may have been added, changed or removed.
    pub(crate) version: u64,
}

/// The keys, and the file as it was last read.
#[derive(Debug)]
pub struct KeyStore {
    keys: Keys,
    /// Held for one look-up or one change, also on the thread that carries tokens.
    current: RwLock<CurrentKeys>,
    /// Held while the file is read.
    file: Mutex<LastLook>,
}

/// The last look at the file.
#[derive(Debug, Default)]
struct LastLook {
    began: Option<Instant>,
    /// When a look last read the file, and the file that it saw.
    read: Option<(Instant, Option<Stamp>)>,
    reading: LastReading,
}

/// The file as it was when it was read.
#[derive(Debug, Default)]
struct LastReading {
    stamp: Option<Stamp>,
    progress: Option<Progress>,
}

/// Metadata that change with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            place: (meta.dev(), meta.ino()),
            length: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// What a reading has found.
enum Found {
    /// All keys of the file.
    All(KeySet),
    /// Lines behind those that are known.
    More(Vec<Line>),
}

impl KeyStore {
    /// Reads the keys.
    ///
    /// # Errors
    /// The file cannot be read or is not a key file.
    pub fn open(keys: Keys) -> Result<Self, FileError> {
        let mut current = CurrentKeys { certain: true, ..CurrentKeys::default() };
        let mut look = LastLook::default();
        match &keys.file {
            Some(path) => {
                let (found, _) = read(path, &keys, &mut look.reading)?;
                current.apply(found);
            }
            None => keys.bare().for_each(|key| current.set.insert(Arc::new(key))),
        }
        current.version = 0;
        Ok(Self { keys, current: RwLock::new(current), file: Mutex::new(look) })
    }

    /// The file of the keys.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.keys.file.as_deref()
    }

    /// How many keys of a kind there are.
    #[must_use]
    pub fn count(&self, kind: KeyKind) -> usize {
        self.current().set.count(kind)
    }

    /// The newest keys of the file, in its order, and the number of the others.
    pub(crate) fn newest(&self, most: usize) -> (Vec<Arc<Key>>, usize) {
        let current = self.current();
        // One that the file has too is there as the file says it.
        let is_bare = |key: &Key| current.set.present(key).is_some_and(|known| **known == *key);
        let bare: Vec<Key> = self.keys.bare().filter(is_bare).collect();
        let is_of_file = |key: &&Arc<Key>| !bare.contains(key);
        let mut newest: Vec<_> = current.set.iter().rev().filter(is_of_file).take(most).cloned().collect();
        newest.reverse();
        let others = current.set.len().saturating_sub(bare.len() + newest.len());
        (newest, others)
    }

    /// The keys of the last read, without a look at the file.
    pub(crate) fn current(&self) -> RwLockReadGuard<'_, CurrentKeys> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn current_mut(&self) -> RwLockWriteGuard<'_, CurrentKeys> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the file, and reads it if it has changed. Blocks.
    pub(crate) fn look(&self) {
        self.look_since(Instant::now());
    }

    /// A look that was asked for at this time.
    fn look_since(&self, asked: Instant) {
        let Some(path) = &self.keys.file else { return };
        let mut last = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if last.began.is_some_and(|began| began >= asked) {
            return;
        }
        let began = Instant::now();
        last.began = Some(began);
        // A writer truncates a file before it writes it; on a busy machine there may be a long pause between the two.
        let found = path.metadata().ok().filter(|meta| meta.len() > 0);
        let seen = found.as_ref().map(Stamp::of);
        if seen.is_some() && seen == last.reading.stamp {
            self.current_mut().certain = true;
            return;
        }
        let is_same = last.read.is_some_and(|(read, before)| before == seen && asked < read + SETTLED);
        if is_same && !self.current().certain {
            return;
        }
        last.read = Some((began, seen));
        self.read_again(path, found.as_ref(), &mut last.reading);
    }

    fn read_again(&self, path: &Path, found: Option<&Metadata>, last: &mut LastReading) {
        match read(path, &self.keys, last) {
            Ok((found @ Found::More(_), last_line)) => {
                let mut current = self.current_mut();
                current.apply(found);
                current.certain = last_line != LastLine::Torn;
            }
            Ok((all, last_line)) if last_line != LastLine::Torn && found.is_some_and(is_settled) => {
                let mut current = self.current_mut();
                let before = current.apply(all);
                current.certain = true;
                let (worker_keys, api_keys) = (current.set.count(KeyKind::Worker), current.set.count(KeyKind::Api));
                drop(current);
                // Many keys take a while to free.
                drop(before);
                tracing::info!(worker_keys, api_keys, "key file read again");
            }
            Ok((found, _)) => {
                // It may be half written: new keys count, missing ones are not revoked yet.
                *last = LastReading::default();
                let mut current = self.current_mut();
                if let Found::All(set) = found {
                    current.add_new(&set);
                }
                current.certain = false;
            }
            Err(error) => {
                *last = LastReading::default();
                if std::mem::replace(&mut self.current_mut().certain, false) {
                    tracing::error!(%error, "keys stay as they are until the key file can be read");
                }
            }
        }
    }
}

impl CurrentKeys {
    /// Takes what a reading has found; returns the keys before, if there are others now.
    fn apply(&mut self, found: Found) -> Option<KeySet> {
        match found {
            Found::All(set) => {
                self.version += 1;
                Some(std::mem::replace(&mut self.set, set))
            }
            Found::More(lines) => {
                self.version += u64::from(!lines.is_empty());
                lines.into_iter().for_each(|line| self.set.apply(line));
                None
            }
        }
    }

    fn add_new(&mut self, set: &KeySet) {
        for key in set.iter() {
            if self.set.present(key).is_none() {
                self.version += 1;
                self.set.insert(Arc::clone(key));
            }
        }
    }
}

/// A time in the future comes from another clock; waiting for it makes no sense.
fn is_settled(meta: &Metadata) -> bool {
    let age = meta.modified().ok().map(|modified| SystemTime::now().duration_since(modified));
    !matches!(age, Some(Ok(age)) if age < SETTLED)
}

/// Reads the file, or what was added to it.
fn read(path: &Path, keys: &Keys, last: &mut LastReading) -> Result<(Found, LastLine), FileError> {
    let mut reader = Reader::open(path)?;
    let stamp = Stamp::of(reader.meta());
    let known = match last.progress.take() {
        Some(progress) if reader.goes_on(&progress)? => Some(progress),
        _ => None,
    };
    let (mut set, mut lines) = (KeySet::default(), Vec::new());
    let is_more = known.is_some();
    // What the file says of such a key comes later and holds.
    keys.bare().for_each(|key| set.insert(Arc::new(key)));
    let reading = reader.read(known, |part| match part {
        Part::Line(line) if is_more => lines.push(line),
        Part::Line(line) => set.apply(line),
        Part::Comment(_) => {}
    })?;
    *last = LastReading { stamp: (reading.last_line != LastLine::Torn).then_some(stamp), progress: reading.progress };
    if is_more {
        return Ok((Found::More(lines), reading.last_line));
    }
    set.shrink();
    Ok((Found::All(set), reading.last_line))
}

#[cfg(test)]
mod tests;
