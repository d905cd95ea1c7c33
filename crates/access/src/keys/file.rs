//! The key file: its owner alone can read it; keys are added, changed and removed, and the others are kept.
//!
//! A change is added at the end of the file, with one write. When more lines are out of date than there are keys, and for a
//! file of an earlier version, the whole file is written anew beside the old one and moved over it. One that cannot be
//! replaced, such as a file that is mounted alone, still takes changes at its end. A lock serialises changes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::error::FileError;
use super::key::{Key, KeyKind};
use super::line::{self, Line};
use super::reader::{Form, LastLine, Part, Reader};
use super::set::KeySet;
use super::terms::KeyTerms;
use super::text::{self, NewText};

/// The comment at the head of each file.
const HEAD: &str = "# Keys, as hashes only, one on a line. A later line of a key replaces an earlier one.";
/// Lines that may be out of date in any file.
const MAY_BE_OLD: usize = 1000;

/// The keys of a new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewKeys {
    /// One for a worker.
    Worker,
    /// One for a client.
    Api(KeyTerms),
    /// One for a worker and one for a client.
    Pair(KeyTerms),
}

/// New keys in clear text, to be shown once.
///
/// No `Debug`: a derived one would print them.
#[derive(Default)]
pub struct CreatedKeys {
    /// For `auxot-worker`, as `AUXOT_GPU_KEY`.
    pub worker: Option<String>,
    /// For clients, as `Authorization: Bearer`.
    pub api: Option<String>,
}

/// A file of keys.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    /// The prefix of API keys.
    api_prefix: &'static str,
}

/// The content of a file.
#[derive(Debug, Default)]
struct Content {
    keys: KeySet,
    comments: Vec<String>,
    lines: usize,
    is_appendable: bool,
    needs_line_end: bool,
}

impl KeyFile {
    /// The file of `auxot-router`.
    #[must_use]
    pub fn of_router(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), api_prefix: "rtr_" }
    }

    /// The file of the gateway of `auxot-worker`.
    #[must_use]
    pub fn of_gateway(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), api_prefix: "gw_" }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys, in the order in which they were made.
    ///
    /// # Errors
    /// The file cannot be read, can be written by other users, or is not a key file.
    pub fn list(&self) -> Result<Vec<Key>, FileError> {
        Ok(Content::read(&self.path)?.keys.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    /// Creates keys called `name` and adds their hashes to the file, which is created when missing.
    ///
    /// # Errors
    /// The name is taken, or the file cannot be read or written; the file is then unchanged.
    pub fn create(&self, name: &str, keys: &NewKeys, expires: Option<Timestamp>) -> Result<CreatedKeys, FileError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err(FileError::Name(name.to_owned()));
        }
        let mut created = CreatedKeys::default();
        let mut lines = Vec::new();
        let worker = matches!(keys, NewKeys::Worker | NewKeys::Pair(_)).then_some((KeyKind::Worker, None));
        let api = match keys {
            NewKeys::Worker => None,
            NewKeys::Api(terms) | NewKeys::Pair(terms) => Some((KeyKind::Api, Some(terms))),
        };
        for (kind, terms) in worker.into_iter().chain(api) {
            lines.push(Line::Key(self.generate(kind, name, expires, terms, &mut created)?));
        }
        self.change(|content| match content.keys.iter().any(|key| *key.name == *name) {
            true => Err(FileError::Taken { name: name.to_owned(), path: self.path.clone() }),
            false => Ok(lines),
        })?;
        Ok(created)
    }

    /// Removes the keys called `name`; returns how many there were.
    ///
    /// # Errors
    /// There are none, or the file cannot be read or written; the file is then unchanged.
    pub fn revoke(&self, name: &str) -> Result<usize, FileError> {
        self.expect_file()?;
        self.change(|content| {
            let keys = content.keys.iter().filter(|key| *key.name == *name);
            let lines: Vec<Line> = keys.map(|key| Line::Revoked((**key).clone(), now())).collect();
            if lines.is_empty() { Err(self.unknown("revoke", name)) } else { Ok(lines) }
        })
    }

    /// Creates new keys in the place of those called `name`, with the same terms and the same time until they expire. All
    /// old ones of that name stay good for so long at most, and those whose time is over are removed.
    ///
    /// # Errors
    /// There are none, a time has no date, or the file cannot be read or written; the file is then unchanged.
    pub fn rotate(&self, name: &str, keep_old_for: Duration) -> Result<CreatedKeys, FileError> {
        self.expect_file()?;
        let mut created = CreatedKeys::default();
        let now = now();
        let no_date = |_| FileError::Time { name: name.to_owned() };
        let until = now.checked_add(keep_old_for).map_err(no_date)?;
        self.change(|content| {
            let mut lines = Vec::new();
            for kind in [KeyKind::Worker, KeyKind::Api] {
                let old = || content.keys.iter().filter(|key| key.kind == kind && *key.name == *name);
                let Some(last) = old().next_back() else { continue };
                let lasts = last.expires.map(|expires| expires.duration_since(last.created));
                let expires = lasts.map(|lasts| now.checked_add(lasts)).transpose().map_err(no_date)?;
                lines.push(Line::Key(self.generate(kind, name, expires, last.terms.as_deref(), &mut created)?));
                lines.extend(old().map(|key| match key.expires.map_or(until, |expires| expires.min(until)) {
                    over if over <= now => Line::Revoked((**key).clone(), now),
                    expires => Line::Key(Key { expires: Some(expires), ..(**key).clone() }),
                }));
            }
            if lines.is_empty() { Err(self.unknown("rotate", name)) } else { Ok(lines) }
        })?;
        Ok(created)
    }

    fn generate(
        &self,
        kind: KeyKind,
        name: &str,
        expires: Option<Timestamp>,
        terms: Option<&KeyTerms>,
        created: &mut CreatedKeys,
    ) -> Result<Key, FileError> {
        let (prefix, shown) = match kind {
            KeyKind::Worker => (text::WORKER, &mut created.worker),
            KeyKind::Api => (self.api_prefix, &mut created.api),
        };
        let NewText { text, id, hash } = NewText::generate(prefix)?;
        *shown = Some(text);
        let terms = terms.and_then(KeyTerms::shared);
        Ok(Key { name: name.into(), kind, id, hash, created: now(), expires, terms })
    }

    fn unknown(&self, verb: &'static str, name: &str) -> FileError {
        FileError::Unknown { verb, name: name.to_owned(), path: self.path.clone() }
    }

    /// A command about keys that are there makes neither a file nor its folder.
    fn expect_file(&self) -> Result<(), FileError> {
        let path = target(&self.path);
        if path.exists() { Ok(()) } else { Err(FileError::Missing { path }) }
    }

    /// Adds lines to the file, which is created when missing, under its lock; returns how many.
    fn change(&self, decide: impl FnOnce(&Content) -> Result<Vec<Line>, FileError>) -> Result<usize, FileError> {
        let path = &target(&self.path);
        let folder = auxot_state_file::folder_of(path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(FileError::io("create", path))?;
        let lock = File::open(folder).map_err(FileError::io("lock", path))?;
        lock.lock().map_err(FileError::io("lock", path))?;

        let mut content = match Content::read(path) {
            Err(FileError::Missing { .. }) => Content::default(),
            read => read?,
        };
        let lines = decide(&content)?;
        let count = lines.len();
        let has_room = content.lines + count <= (content.keys.len() + count) * 2 + MAY_BE_OLD;
        let written = match content.is_appendable && has_room {
            true => append(path, content.needs_line_end, &lines),
            false => {
                lines.iter().cloned().for_each(|line| content.keys.apply(line));
                let replaced = content.replace(path, folder);
                // Lines that are out of date are no reason to refuse a change.
                if replaced.is_err() && content.is_appendable {
                    append(path, content.needs_line_end, &lines)
                } else {
                    replaced
                }
            }
        };
        written.map_err(FileError::io("write", path))?;
        Ok(count)
    }
}

impl Content {
    fn read(path: &Path) -> Result<Self, FileError> {
        let mut content = Self::default();
        let reading = Reader::open(path)?.read(None, |part| match part {
            Part::Line(line) => content.keys.apply(line),
            Part::Comment("") => {}
            Part::Comment(comment) => content.comments.push(comment.to_owned()),
        })?;
        content.lines = reading.lines;
        content.is_appendable = reading.form == Form::Lines && reading.last_line != LastLine::Torn && reading.lines > 0;
        content.needs_line_end = reading.last_line == LastLine::Open;
        Ok(content)
    }

    /// Writes all keys into a new file and moves it over the old one, durably. Readers see the old or the new one.
    fn replace(&self, path: &Path, folder: &Path) -> io::Result<()> {
        // One that another user's service reads stays that user's.
        let owner = fs::metadata(path).or_else(|_| fs::metadata(folder))?;
        auxot_state_file::replace(path, |file| {
            let mut file = io::BufWriter::new(file);
            let own = self.comments.iter().map(String::as_str).filter(|comment| *comment != HEAD);
            for comment in std::iter::once(HEAD).chain(own) {
                writeln!(file, "{comment}")?;
            }
            let mut text = Vec::new();
            for key in self.keys.iter() {
                text.clear();
                line::write(key, None, &mut text)?;
                file.write_all(&text)?;
            }
            file.flush()?;
            let file = file.get_ref();
            if file.metadata()?.uid() != owner.uid() {
                fchown(file, Some(owner.uid()), Some(owner.gid()))?;
            }
            file.sync_all()
        })?;
        File::open(folder)?.sync_all()
    }
}

/// Adds lines to the end of a file, durably, with one write.
fn append(path: &Path, needs_line_end: bool, lines: &[Line]) -> io::Result<()> {
    let mut text = if needs_line_end { vec![b'\n'] } else { Vec::new() };
    for line in lines {
        line.write(&mut text)?;
    }
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(&text)?;
    file.sync_all()
}

/// Follows symbolic links, so that the target is written and the link stays.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // A longer chain is a cycle, which the open then reports.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(next) => path = auxot_state_file::folder_of(&path).join(next),
            Err(_) => break,
        }
    }
    path
}

/// Whether other users can read the file.
#[must_use]
pub fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

/// The present time in whole seconds.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
