//! The key file: readable by its owner only, added to and never written over.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Pair;
use super::phc::{self, HashError};

const HEADER: &str = "# Key pairs of auxot-router: Argon2id hashes only. Written by `auxot-router keys create`;\n\
                      # remove a [[pair]] to withdraw its keys.\n";

/// One pair as it is stored.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// What the operator calls it.
    pub name: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Hash of the worker key.
    pub worker: String,
    /// Hash of the API key.
    pub api: String,
    /// Two bytes of the worker key's SHA-256 in hex; absent in older files.
    #[serde(default)]
    pub worker_hint: Option<String>,
    /// The same of the API key.
    #[serde(default)]
    pub api_hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    pair: Vec<Stored>,
}

/// Why the key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system said no.
    #[error("cannot {verb} the key file {}: {error}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// What is in it is not a key file.
    #[error("cannot understand the key file {}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Others may change it.
    #[error("cannot trust the key file {}: others than its owner can write it; chmod 600 it", path.display())]
    Writable {
        /// Which file.
        path: PathBuf,
    },
    /// There is no file yet.
    #[error("no key file {} yet: make a first pair of keys with `auxot-router keys create`", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// There is a pair of that name.
    #[error("cannot add the key pair `{name}`: {} has one of that name already; choose another --name", path.display())]
    Taken {
        /// The name.
        name: String,
        /// The file that has it.
        path: PathBuf,
    },
    /// The name would not survive in the file.
    #[error("cannot use `{0}` as a name: 1 to 64 letters, digits, `.`, `_` or `-` are allowed")]
    Name(String),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// The pairs in `path`.
///
/// # Errors
/// When the file cannot be read or is not a key file.
pub fn list(path: &Path) -> Result<Vec<Stored>, FileError> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => io_error("read", path, error),
    })?;
    refuse_writable(path)?;
    parse(path, &text)
}

/// Whether others than the owner can write the file: then its keys are anybody's.
fn refuse_writable(path: &Path) -> Result<(), FileError> {
    match fs::metadata(path) {
        Ok(meta) if meta.permissions().mode() & 0o022 != 0 => Err(FileError::Writable { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// Where a link leads, so that its target is written and not its place taken.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // A chain that is longer leads round in a circle, of which opening it tells.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(next) => path = auxot_disk::folder_of(&path).join(next),
            Err(_) => break,
        }
    }
    path
}

fn parse(path: &Path, text: &str) -> Result<Vec<Stored>, FileError> {
    let fault = |reason| FileError::Content { path: path.to_owned(), reason };
    let content: KeyFile = toml::from_str(text).map_err(|error| fault(error.message().to_owned()))?;
    for pair in &content.pair {
        if !phc::is_readable(&pair.worker) || !phc::is_readable(&pair.api) {
            return Err(fault(format!("the pair `{}` has something that is no Argon2id hash", pair.name)));
        }
    }
    Ok(content.pair)
}

/// Makes a pair called `name` and adds its hashes to `path`, which is created when missing.
///
/// The new content is written beside the file and moved over it, so that a reader sees the old pairs or
/// all of them; two who add at once wait for each other.
///
/// # Errors
/// When the name is taken or the file cannot be read or written; the file is then as it was.
pub fn add(path: &Path, name: &str) -> Result<Pair, FileError> {
    add_hashed(path, name, phc::hash)
}

fn add_hashed(path: &Path, name: &str, hash: fn(&str) -> Result<String, HashError>) -> Result<Pair, FileError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(FileError::Name(name.to_owned()));
    }
    let path = &target(path);
    let folder = auxot_disk::folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io_error("create", path, error))?;
    let lock = File::open(folder).map_err(|error| io_error("lock", path, error))?;
    lock.lock().map_err(|error| io_error("lock", path, error))?;

    refuse_writable(path)?;
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEADER.to_owned(),
        Err(error) => return Err(io_error("read", path, error)),
    };
    if parse(path, &text)?.iter().any(|pair| pair.name == name) {
        return Err(FileError::Taken { name: name.to_owned(), path: path.to_owned() });
    }
    let pair = Pair::generate()?;
    let created = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
    // Neither a name nor a timestamp nor a PHC string can hold a quote or a backslash.
    text.push_str(&format!(
        "\n[[pair]]\nname = \"{name}\"\ncreated = \"{created}\"\nworker = \"{}\"\napi = \"{}\"\n\
         worker_hint = \"{}\"\napi_hint = \"{}\"\n",
        hash(&pair.worker)?,
        hash(&pair.api)?,
        super::hint(&pair.worker),
        super::hint(&pair.api),
    ));
    replace(path, folder, &text).map_err(|error| io_error("write", path, error))?;
    Ok(pair)
}

/// Puts `text` in the place of `path`, durably.
fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    auxot_disk::replace(path, |mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))?;
    File::open(folder)?.sync_all()
}

/// Whether others than the owner can read the file.
pub(crate) fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

fn io_error(verb: &'static str, path: &Path, error: io::Error) -> FileError {
    FileError::Io { verb, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap_add(path: &Path, name: &str) -> Result<Pair, FileError> {
        add_hashed(path, name, phc::cheap_hash)
    }

    #[test]
    fn a_file_holds_hashes_only_and_is_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/keys.toml");
        let pair = add(&path, "default").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&pair.worker[4..]) && !text.contains(&pair.api[4..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_exposed(&path));
        let stored = list(&path).unwrap();
        assert!(stored[0].worker.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(phc::verify(&pair.worker, &stored[0].worker) && phc::verify(&pair.api, &stored[0].api));
        assert!(!phc::verify(&pair.api, &stored[0].worker));
    }

    #[test]
    fn a_second_pair_joins_the_first_and_a_taken_name_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "# mine\n").unwrap();
        cheap_add(&path, "a").unwrap();
        cheap_add(&path, "b").unwrap();
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.starts_with("# mine\n"), "an operator's remark stays");
        assert!(matches!(cheap_add(&path, "a"), Err(FileError::Taken { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        assert_eq!(list(&path).unwrap().iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_key_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for text in
            ["pear = 1", "[[pair]]\nname = \"a\"\ncreated = \"2026-01-01T00:00:00Z\"\nworker = \"x\"\napi = \"x\"\n"]
        {
            fs::write(&path, text).unwrap();
            let error = cheap_add(&path, "b").map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("cannot understand") && error.contains("keys.toml"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(cheap_add(&path, "a\"b"), Err(FileError::Name(_))));
    }

    #[test]
    fn a_link_keeps_leading_to_what_it_led_to() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real/keys.toml"), folder.path().join("link"));
        fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real/keys.toml", &link).unwrap();
        for name in ["first", "second"] {
            cheap_add(&link, name).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
        assert_eq!(list(&real).unwrap().len(), 2);
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        cheap_add(&path, "a").unwrap();
        for mode in [0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(list(&path), Err(FileError::Writable { .. })));
            assert!(matches!(cheap_add(&path, "b"), Err(FileError::Writable { .. })));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(list(&path).unwrap().len(), 1);
        assert!(matches!(list(&folder.path().join("none")), Err(FileError::Missing { .. })));
    }
}
