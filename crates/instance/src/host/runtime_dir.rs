//! The private directory of one worker: its children's sockets, their records, and a lock that says it lives.
//!
//! ```text
//! <base>/                 0700, ours: $AUXOT_RUNTIME_DIR, $XDG_RUNTIME_DIR/auxot-worker or /tmp/auxot-worker-UID
//!   lock                  held for the moment in which a directory is made or swept
//!   w-4f1c09ae/           one worker
//!     lock                held for as long as that worker lives: the kernel lets go of it however it dies
//!     config/             the engines' XDG_CONFIG_HOME, always empty
//!     3-17.sock  3-17.json  socket and identity of life 17 of instance 3
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use tracing::{info, warn};

use crate::host::identity::Record;

/// Socket paths longer than this fail on some system (104 bytes on macOS, 108 on Linux, the end mark included).
const SOCKET_PATH: usize = 100;
/// The longest name below a worker's directory: `<instance>-<run>.sock` with generous numbers.
const SOCKET_NAME: usize = 20;

/// Why there is no runtime directory.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// The system said no.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could put things there, or read them.
    #[error("cannot use {} as runtime directory: {reason}; remove it or set AUXOT_RUNTIME_DIR", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Sockets in it would have paths that the system does not take.
    #[error("cannot use {} as runtime directory: socket paths would be {length} bytes, {SOCKET_PATH} is the most; \
        set AUXOT_RUNTIME_DIR to a shorter path", path.display())]
    TooLong {
        /// The directory.
        path: PathBuf,
        /// What a socket path would come to.
        length: usize,
    },
}

/// One worker's directory; dropping it removes it.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
    /// Closing it gives up the lock, so it lives as long as the directory.
    _lock: File,
}

impl RuntimeDir {
    /// Makes the directory of this worker, after cleaning up after workers that are gone. Blocks.
    pub(crate) fn create(base: &Path, name: &str) -> Result<RuntimeDir, RuntimeDirError> {
        make_private(base)?;
        // A relative path would make a relative socket, and children are started elsewhere.
        let base = &base.canonicalize().map_err(io_fault("resolve", base))?;
        let path = base.join(format!("w-{name}"));
        let length = path.as_os_str().as_bytes().len() + 1 + SOCKET_NAME;
        if length > SOCKET_PATH {
            return Err(RuntimeDirError::TooLong { path, length });
        }
        // Without this, a worker that starts at the same moment could sweep our directory before its lock is taken.
        let gate = lock_file(&base.join("lock"))?;
        gate.lock().map_err(io_fault("lock", base))?;
        sweep(base);
        make_private(&path)?;
        make_private(&path.join("config"))?;
        let lock = lock_file(&path.join("lock"))?;
        lock.try_lock().map_err(|fault| match fault {
            TryLockError::Error(source) => io_fault("lock", &path)(source),
            TryLockError::WouldBlock => io_fault("lock", &path)(io::ErrorKind::AlreadyExists.into()),
        })?;
        Ok(RuntimeDir { path, _lock: lock })
    }

    /// The empty directory that stands for the user's configuration.
    pub(crate) fn config_home(&self) -> PathBuf {
        self.path.join("config")
    }

    /// A path for one life; `kind` is the ending.
    pub(crate) fn file(&self, instance: u64, run: u64, kind: &str) -> PathBuf {
        self.path.join(format!("{instance}-{run}.{kind}"))
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if let Err(fault) = std::fs::remove_dir_all(&self.path) {
            warn!(path = %self.path.display(), "cannot remove the runtime directory: {fault}");
        }
    }
}

/// Where runtime directories are, unless one is configured.
pub(crate) fn default_base() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() => dir.join("auxot-worker"),
        _ => PathBuf::from(format!("/tmp/auxot-worker-{}", geteuid())),
    }
}

/// Makes a directory that only we can enter, or makes sure that an existing one is such.
fn make_private(path: &Path) -> Result<(), RuntimeDirError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
        Err(fault) => return Err(io_fault("create", path)(fault)),
    }
    // Not following links: in /tmp anybody may have put one there.
    let meta = path.symlink_metadata().map_err(io_fault("inspect", path))?;
    let reason = if !meta.is_dir() {
        "it is not a directory".to_owned()
    } else if meta.uid() != geteuid().as_raw() {
        format!("it belongs to user {}, not to {}", meta.uid(), geteuid())
    } else if meta.mode() & 0o077 != 0 {
        format!("its mode is {:o}, so others can enter it", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(RuntimeDirError::NotPrivate { path: path.to_owned(), reason })
}

fn lock_file(path: &Path) -> Result<File, RuntimeDirError> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(io_fault("open", path))
}

fn io_fault<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RuntimeDirError + use<'a> {
    move |source| RuntimeDirError::Io { what, path: path.to_owned(), source }
}

/// Ends what dead workers left running and removes their directories. Trouble with one is no reason not to start.
fn sweep(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for dir in entries.flatten().map(|entry| entry.path()) {
        let ours = dir.file_name().is_some_and(|name| name.as_bytes().starts_with(b"w-"));
        if !ours || !dir.is_dir() || dir.is_symlink() {
            continue;
        }
        let Ok(lock) = lock_file(&dir.join("lock")) else { continue };
        if lock.try_lock().is_err() {
            continue; // Its worker lives.
        }
        let ended = end_children(&dir);
        match std::fs::remove_dir_all(&dir) {
            Ok(()) => info!(dir = %dir.display(), ended, "cleaned up after a worker that is gone"),
            Err(fault) => warn!(dir = %dir.display(), ended, "cannot remove what a dead worker left: {fault}"),
        }
    }
}

/// Ends every process that is exactly the one a record in `dir` names.
fn end_children(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let records =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    records.filter_map(|path| Record::read(&path).ok()).filter(Record::end).count()
}

#[cfg(test)]
mod tests;
