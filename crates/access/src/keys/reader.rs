//! Reads a key file: as a whole, or the lines that were added to what is known.
//!
//! A file of a million keys takes a while to read. What is added to it takes a moment: the bytes before are compared by
//! their SHA-256 and not read as keys again.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::FileError;
use super::line::Line;
use super::old_file;

/// The longest line.
const LONGEST_LINE: u64 = 1 << 20;
/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// How far a file has been read.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    place: (u64, u64),
    /// The bytes of all whole lines, and their digest.
    bytes: u64,
    digest: Sha256,
    lines: usize,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A line for each key.
    Lines,
    /// Tables, as in earlier versions.
    Tables,
}

/// The end of a file's last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLine {
    Whole,
    /// It has no end, and can be read.
    Open,
    /// It has no end and cannot be read: it may still be written.
    Torn,
}

/// A file that was read to its end.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) form: Form,
    pub(super) last_line: LastLine,
    /// Lines of keys and comments in it, those of earlier readings included.
    pub(super) lines: usize,
    /// Where a later reading can go on.
    pub(super) progress: Option<Progress>,
}

/// An open key file.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    meta: Metadata,
}

/// What is found in a file.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Line(Line),
    Comment(&'a str),
}

impl<'a> Reader<'a> {
    /// Opens a file that only its owner can write: others could add keys of their own.
    pub(super) fn open(path: &'a Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
            _ => FileError::io("read", path)(error),
        })?;
        let meta = file.metadata().map_err(FileError::io("read", path))?;
        if meta.permissions().mode() & 0o022 != 0 {
            return Err(FileError::Writable { path: path.to_owned() });
        }
        Ok(Self { path, file: BufReader::with_capacity(BLOCK, file), meta })
    }

    pub(super) fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// Whether the file is that of an earlier reading with more at its end. The next read then begins there, else at the
    /// beginning.
    pub(super) fn goes_on(&mut self, from: &Progress) -> Result<bool, FileError> {
        let fault = FileError::io("read", self.path);
        if (self.meta.dev(), self.meta.ino()) != from.place || self.meta.len() < from.bytes {
            return Ok(false);
        }
        let mut digest = Sha256::new();
        let mut left = from.bytes;
        while left > 0 {
            let block = self.file.fill_buf().map_err(&fault)?;
            let taken = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            if taken == 0 {
                break;
            }
            digest.update(&block[..taken]);
            self.file.consume(taken);
            left -= taken as u64;
        }
        let is_same = left == 0 && digest.finalize() == from.digest.clone().finalize();
        if !is_same {
            self.file.rewind().map_err(&fault)?;
        }
        Ok(is_same)
    }

    /// Reads to the end, from where an earlier reading has ended or from the beginning.
    pub(super) fn read(mut self, from: Option<Progress>, mut each: impl FnMut(Part<'_>)) -> Result<Reading, FileError> {
        let fault = FileError::io("read", self.path);
        let place = (self.meta.dev(), self.meta.ino());
        let mut progress = from.unwrap_or_else(|| Progress { place, bytes: 0, digest: Sha256::new(), lines: 0 });
        let mut line = Vec::new();
        let mut is_of_lines = progress.lines > 0;
        loop {
            line.clear();
            let length = (&mut self.file).take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(&fault)?;
            let text = line.trim_ascii();
            if !is_of_lines && !text.is_empty() && !text.starts_with(b"#") {
                if !text.starts_with(b"{") {
                    return self.tables(each);
                }
                is_of_lines = true;
            }
            let end = |progress: Progress, last_line| {
                let lines = progress.lines;
                // A key of an open line counts, and would stay behind if that line went: the next reading is of the whole.
                let progress = (last_line != LastLine::Open).then_some(progress);
                Reading { form: Form::Lines, last_line, lines, progress }
            };
            if length == 0 {
                return Ok(end(progress, LastLine::Whole));
            }
            let parsed = Line::parse(&line);
            if !line.ends_with(b"\n") && (length as u64) < LONGEST_LINE {
                let Ok(Some(found)) = parsed else { return Ok(end(progress, LastLine::Torn)) };
                each(Part::Line(found));
                return Ok(end(progress, LastLine::Open));
            }
            progress.lines += 1;
            progress.bytes += length as u64;
            progress.digest.update(&line);
            match parsed {
                Ok(Some(found)) => each(Part::Line(found)),
                Ok(None) => each(Part::Comment(&String::from_utf8_lossy(line.trim_ascii()))),
                Err(reason) => {
                    return Err(FileError::content(self.path, format!("line {}: {reason}", progress.lines)));
                }
            }
        }
    }

    /// Reads the tables of an earlier version.
    fn tables(mut self, mut each: impl FnMut(Part<'_>)) -> Result<Reading, FileError> {
        let mut text = String::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_string(&mut text));
        read.map_err(FileError::io("read", self.path))?;
        let keys = old_file::parse(&text).map_err(|reason| FileError::content(self.path, reason))?;
        old_file::comments(&text).for_each(|comment| each(Part::Comment(comment)));
        keys.into_iter().for_each(|key| each(Part::Line(Line::Key(key))));
        Ok(Reading { form: Form::Tables, last_line: LastLine::Whole, lines: text.lines().count(), progress: None })
    }
}
