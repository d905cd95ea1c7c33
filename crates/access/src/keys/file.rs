//! The key file: readable by its owner only; keys are added and removed, and the other ones are kept.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Pair;
use super::phc::{self, HashError};

const PAIRS: &str = "# Key pairs of auxot-router: Argon2id hashes only. Written by `auxot-router keys create`;\n\
                     # remove a [[pair]] to withdraw its keys.\n";
const API_KEYS: &str = "# API keys of auxot-worker: Argon2id hashes only. Written by `auxot-worker keys create`;\n\
                        # `auxot-worker keys revoke` removes one.\n";

/// One stored key, or a pair.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Name of the key, or the pair.
    pub name: String,
    /// Time of its creation.
    pub created: jiff::Timestamp,
    /// Hash of the worker key, in a pair.
    #[serde(default)]
    pub worker: Option<String>,
    /// Hash of the API key.
    pub api: String,
    /// Two bytes of the worker key's SHA-256 in hex; absent in older files.
    #[serde(default)]
    pub worker_hint: Option<String>,
    /// Two bytes of the API key's SHA-256 in hex.
    #[serde(default)]
    pub api_hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default, alias = "key")]
    pair: Vec<Stored>,
}

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file operation failed.
    #[error("cannot {verb} the key file {}: {error}", path.display())]
    Io {
        /// The operation.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The content is not a key file.
    #[error("cannot understand the key file {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Other users can write the file.
    #[error("cannot trust the key file {}: others than its owner can write it; chmod 600 it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// The file does not exist yet.
    #[error("no key file {} yet: make a first key with `keys create`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A key with the name exists.
    #[error("cannot add the key `{name}`: {} has one of that name already; choose another --name", path.display())]
    Taken {
        /// The name.
        name: String,
        /// The file that has it.
        path: PathBuf,
    },
    /// No key has the name.
    #[error("cannot revoke the key `{name}`: {} has none of that name", path.display())]
    Unknown {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The name has characters that are not allowed.
    #[error("cannot use `{0}` as a name: 1 to 64 letters, digits, `.`, `_` or `-` are allowed")]
    Name(String),
    /// The keys could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// The keys in `path`.
///
/// # Errors
/// The file cannot be read, can be written by other users, or is not a key file.
pub fn list(path: &Path) -> Result<Vec<Stored>, FileError> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => io_error("read", path, error),
    })?;
    refuse_writable(path)?;
    parse(path, &text)
}

/// Refuses a file that other users can write: they could add keys of their own.
fn refuse_writable(path: &Path) -> Result<(), FileError> {
    match fs::metadata(path) {
        Ok(meta) if meta.permissions().mode() & 0o022 != 0 => Err(FileError::Writable { path: path.to_owned() }),
        _ => Ok(()),
    }
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

fn parse(path: &Path, text: &str) -> Result<Vec<Stored>, FileError> {
    let fault = |reason| FileError::Content { path: path.to_owned(), reason };
    let content: KeyFile = toml::from_str(text).map_err(|error| fault(error.message().to_owned()))?;
    for pair in &content.pair {
        if !pair.worker.iter().chain([&pair.api]).all(|hash| phc::is_readable(hash)) {
            return Err(fault(format!("the key `{}` has a value that is not an Argon2id hash", pair.name)));
        }
    }
    Ok(content.pair)
}

/// Creates a pair called `name` and adds its hashes to `path`, which is created when missing.
///
/// The new content is written beside the file and renamed over it, so that a reader sees either the old keys or all of
/// them. A lock serialises two calls at the same time.
///
/// # Errors
/// The name is taken, or the file cannot be read or written; the file is then unchanged.
pub fn add(path: &Path, name: &str) -> Result<Pair, FileError> {
    add_hashed(path, name, phc::hash)
}

fn add_hashed(path: &Path, name: &str, hash: fn(&str) -> Result<String, HashError>) -> Result<Pair, FileError> {
    let pair = Pair::generate()?;
    let hashes = format!(
        "worker = \"{}\"\napi = \"{}\"\nworker_hint = \"{}\"\napi_hint = \"{}\"\n",
        hash(&pair.worker)?,
        hash(&pair.api)?,
        super::hint(&pair.worker),
        super::hint(&pair.api),
    );
    append(path, name, "pair", PAIRS, &hashes)?;
    Ok(pair)
}

/// Creates an API key called `name` and adds its hash to `path`, as [`add`] does.
///
/// # Errors
/// As for [`add`].
pub fn add_api_key(path: &Path, name: &str) -> Result<String, FileError> {
    let key = super::secret("gw_")?;
    let hashes = format!("api = \"{}\"\napi_hint = \"{}\"\n", phc::hash(&key)?, super::hint(&key));
    append(path, name, "key", API_KEYS, &hashes)?;
    Ok(key)
}

/// Removes the key called `name`, or the pair.
///
/// # Errors
/// There is none, or the file cannot be read or written; the file is then unchanged.
pub fn revoke(path: &Path, name: &str) -> Result<(), FileError> {
    change(path, |path, text| {
        let before = parse(path, text)?;
        let unknown = || FileError::Unknown { name: name.to_owned(), path: path.to_owned() };
        let at = before.iter().position(|stored| stored.name == name).ok_or_else(unknown)?;
        // Tables begin at their brackets; what stands before the first is the file's head.
        let starts: Vec<usize> = text.match_indices("\n[[").map(|(at, _)| at + 1).collect();
        let starts = if text.starts_with("[[") { [vec![0], starts].concat() } else { starts };
        let from = starts.get(at).copied().unwrap_or(text.len());
        let to = starts.get(at + 1).copied().unwrap_or(text.len());
        let left = format!("{}{}", &text[..from], &text[to..]);
        let names = |stored: &[Stored]| stored.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let mut expected = names(&before);
        expected.remove(at);
        if names(&parse(path, &left)?) != expected {
            let reason = format!("its tables do not begin on lines of their own; remove `{name}` by hand");
            return Err(FileError::Content { path: path.to_owned(), reason });
        }
        Ok(left)
    })
}

fn append(path: &Path, name: &str, table: &str, header: &str, hashes: &str) -> Result<(), FileError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(FileError::Name(name.to_owned()));
    }
    change(path, |path, text| {
        if parse(path, text)?.iter().any(|stored| stored.name == name) {
            return Err(FileError::Taken { name: name.to_owned(), path: path.to_owned() });
        }
        let created = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let text = if text.is_empty() { header } else { text };
        // Names, timestamps and PHC strings contain neither quotes nor backslashes.
        Ok(format!("{text}\n[[{table}]]\nname = \"{name}\"\ncreated = \"{created}\"\n{hashes}"))
    })
}

/// Replaces the content of the file, which is empty when missing, under its lock.
fn change(path: &Path, changed: impl FnOnce(&Path, &str) -> Result<String, FileError>) -> Result<(), FileError> {
    let path = &target(path);
    let folder = auxot_state_file::folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io_error("create", path, error))?;
    let lock = File::open(folder).map_err(|error| io_error("lock", path, error))?;
    lock.lock().map_err(|error| io_error("lock", path, error))?;

    refuse_writable(path)?;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io_error("read", path, error)),
    };
    replace(path, folder, &changed(path, &text)?).map_err(|error| io_error("write", path, error))
}

/// Replaces `path` by `text`, durably.
fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    auxot_state_file::replace(path, |mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))?;
    File::open(folder)?.sync_all()
}

/// Whether other users can read the file.
#[must_use]
pub fn is_exposed(path: &Path) -> bool {
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
    fn a_file_holds_hashes_only_and_is_private_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/keys.toml");
        let pair = add(&path, "default").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&pair.worker[4..]) && !text.contains(&pair.api[4..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_exposed(&path));
        let stored = list(&path).unwrap();
        assert!(stored[0].worker.as_deref().unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let worker = stored[0].worker.as_deref().unwrap();
        assert!(phc::verify(&pair.worker, worker) && phc::verify(&pair.api, &stored[0].api));
        assert!(!phc::verify(&pair.api, worker));
    }

    #[test]
    fn a_second_pair_joins_the_first_and_a_taken_name_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "# mine\n").unwrap();
        cheap_add(&path, "a").unwrap();
        cheap_add(&path, "b").unwrap();
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.starts_with("# mine\n"), "an operator's comment stays");
        assert!(matches!(cheap_add(&path, "a"), Err(FileError::Taken { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        assert_eq!(list(&path).unwrap().iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_with_other_content_is_named_and_left_unchanged() {
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
    fn an_api_key_is_added_beside_others_and_revoked_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let names = || list(&path).unwrap().into_iter().map(|stored| stored.name).collect::<Vec<_>>();
        let key = add_api_key(&path, "one").unwrap();
        assert!(key.starts_with("gw_") && key.len() == 46 && !fs::read_to_string(&path).unwrap().contains(&key[3..]));
        assert!(phc::verify(&key, &list(&path).unwrap()[0].api));
        add_api_key(&path, "two").unwrap();
        add_api_key(&path, "three").unwrap();
        assert!(matches!(revoke(&path, "none"), Err(FileError::Unknown { .. })));
        revoke(&path, "two").unwrap();
        assert_eq!(names(), ["one", "three"]);
        revoke(&path, "one").unwrap();
        revoke(&path, "three").unwrap();
        assert!(names().is_empty() && fs::read_to_string(&path).unwrap().starts_with("# API keys"));
        fs::write(
            &path,
            format!(
                "key = [{{ name = \"x\", created = \"2026-01-01T00:00:00Z\", api = \"{}\" }}]\n",
                phc::cheap_hash("k").unwrap()
            ),
        )
        .unwrap();
        assert!(matches!(revoke(&path, "x"), Err(FileError::Content { .. })), "it is left as it is");
    }

    #[test]
    fn a_symbolic_link_is_kept_and_its_target_is_written() {
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
