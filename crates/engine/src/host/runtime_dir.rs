//! The private directory of one worker: the sockets and records of its engines, locked as long as the worker runs.
//!
//! ```text
//! <base>/                 0700, ours: $AUXOT_RUNTIME_DIR, $RUNTIME_DIRECTORY/engines, $XDG_RUNTIME_DIR/auxot-worker or
//!                         /tmp/auxot-worker-UID; locked while a directory is made or cleaned up
//!   w-4f1c09ae/           one worker; locked as long as it runs: the kernel releases the lock however it ends
//!     config/             the engines' XDG_CONFIG_HOME, always empty
//!     work/               the engines' working directory, always empty
//!     3-17.sock  3-17.json  socket and identity of run 17 of engine 3
//! ```
//!
//! The lock is on the directory itself: a lock file could be removed, and then a running worker would look dead. A removed
//! directory is made again for the next start.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use auxot_private_folder::{PrivateFolderError, is_at, make as make_private, open as open_dir};
use nix::unistd::geteuid;
use tracing::{info, warn};

use crate::host::descendants;
use crate::host::identity::Record;
use crate::metrics;

/// Socket paths longer than this fail on some system (104 bytes on macOS, 108 on Linux, the end mark included).
const SOCKET_PATH: usize = 100;
/// The longest name below a worker's directory: `<engine>-<run>.sock` with generous numbers.
const SOCKET_NAME: usize = 20;

/// The base of the installed service, in the runtime directory of the system or of a user: `RuntimeDirectory=` of its unit.
const SERVICE_BASE: &str = "auxot/engines";

/// Why there is no runtime directory.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// A system call failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Other users could write or read there.
    #[error("cannot use {} as runtime directory: {reason}; remove it or set AUXOT_RUNTIME_DIR", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Sockets in it would have paths that are too long for the system.
    #[error("cannot use {} as runtime directory: socket paths would be {length} bytes, {SOCKET_PATH} is the most; \
        set AUXOT_RUNTIME_DIR to a shorter path", path.display())]
    TooLong {
        /// The directory.
        path: PathBuf,
        /// The length of a socket path there.
        length: usize,
    },
}

impl From<PrivateFolderError> for RuntimeDirError {
    fn from(fault: PrivateFolderError) -> Self {
        match fault {
            PrivateFolderError::Io { what, path, source } => Self::Io { what, path, source },
            PrivateFolderError::NotPrivate { path, reason } => Self::NotPrivate { path, reason },
        }
    }
}

/// One worker's directory; dropping it removes it.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    base: PathBuf,
    path: PathBuf,
    /// The directory, open and locked; closing it releases the lock.
    lock: Mutex<File>,
}

impl RuntimeDir {
    /// Makes the directory of this worker, after cleaning up after dead workers. Blocks.
    pub(crate) fn create(base: &Path, name: &str) -> Result<RuntimeDir, RuntimeDirError> {
        make_private(base)?;
        // A relative path would give a relative socket, and engines have another working directory.
        let base = base.canonicalize().map_err(io_fault("resolve", base))?;
        let path = base.join(format!("w-{name}"));
        let length = path.as_os_str().as_bytes().len() + 1 + SOCKET_NAME;
        if length > SOCKET_PATH {
            return Err(RuntimeDirError::TooLong { path, length });
        }
        let lock = Mutex::new(make_and_lock(&base, &path)?);
        Ok(RuntimeDir { base, path, lock })
    }

    /// Makes the directory again if it was removed. Blocks.
    pub(crate) fn ensure(&self) -> Result<(), RuntimeDirError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_at(&lock, &self.path) {
            warn!(path = %self.path.display(), "the runtime directory is gone; making it again");
            // The parent can be removed too: ours is only a part of $RUNTIME_DIRECTORY.
            if let Some(above) = self.base.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(above).map_err(io_fault("create", above))?;
            }
            make_private(&self.base)?;
            *lock = make_and_lock(&self.base, &self.path)?;
        }
        make_private(&self.config_home())?;
        make_private(&self.working_dir())?;
        Ok(())
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The empty directory in place of the user's configuration.
    pub(crate) fn config_home(&self) -> PathBuf {
        self.path.join("config")
    }

    /// The empty working directory of engines: some load libraries from their working directory.
    pub(crate) fn working_dir(&self) -> PathBuf {
        self.path.join("work")
    }

    /// A path for one run; `kind` is the extension.
    pub(crate) fn file(&self, engine: u64, run: u64, kind: &str) -> PathBuf {
        self.path.join(format!("{engine}-{run}.{kind}"))
    }

    /// The mark of the processes of one run, see [`descendants`].
    pub(crate) fn mark(&self, engine: u64, run: u64) -> String {
        format!("{}{engine}-{run}", mark_prefix(&self.path))
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // Another directory can be in its place.
        let lock = self.lock.get_mut().unwrap_or_else(PoisonError::into_inner);
        if is_at(lock, &self.path)
            && let Err(fault) = std::fs::remove_dir_all(&self.path)
        {
            warn!(path = %self.path.display(), "cannot remove the runtime directory: {fault}");
        }
    }
}

/// The prefix of the marks of all runs of one worker.
fn mark_prefix(dir: &Path) -> String {
    format!("{}/", dir.display())
}

fn make_and_lock(base: &Path, path: &Path) -> Result<File, RuntimeDirError> {
    // Without this, a worker that starts at the same time could clean up our directory before its lock is taken.
    let gate = open_dir(base)?;
    gate.lock().map_err(io_fault("lock", base))?;
    clean_up(base);
    make_private(path)?;
    make_private(&path.join("config"))?;
    make_private(&path.join("work"))?;
    let lock = open_dir(path)?;
    lock.try_lock().map_err(|fault| match fault {
        TryLockError::Error(source) => io_fault("lock", path)(source),
        TryLockError::WouldBlock => io_fault("lock", path)(io::ErrorKind::AlreadyExists.into()),
    })?;
    Ok(lock)
}

/// Where running workers of this host may have their directories: in the configured base, else in that of this environment, of
/// the installed service, or of a worker without either.
#[must_use]
pub fn runtime_bases(configured: Option<&Path>) -> Vec<PathBuf> {
    match configured {
        Some(base) => vec![base.to_owned()],
        None => {
            let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
            let of_services = session.into_iter().chain([PathBuf::from("/run")]).map(|path| path.join(SERVICE_BASE));
            [default_base()].into_iter().chain(of_services).chain([base_from(|_| None)]).collect()
        }
    }
}

/// The base of runtime directories, unless one is configured.
pub(crate) fn default_base() -> PathBuf {
    base_from(|name| std::env::var_os(name))
}

fn base_from(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
    // The service manager can give several, separated by colons.
    let first = |name: &str| std::env::split_paths(&variable(name)?).next();
    let absolute = |name: &str| first(name).filter(|dir| dir.is_absolute());
    // Other users can enter the service manager's directory, so ours is a folder in it.
    let of_service = absolute("RUNTIME_DIRECTORY").map(|dir| dir.join("engines"));
    of_service
        .or_else(|| absolute("XDG_RUNTIME_DIR").map(|dir| dir.join("auxot-worker")))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/auxot-worker-{}", geteuid())))
}

fn io_fault<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RuntimeDirError + use<'a> {
    move |source| RuntimeDirError::Io { what, path: path.to_owned(), source }
}

/// Kills the processes that dead workers left, and removes their directories. A failure with one does not prevent the
/// start.
fn clean_up(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for dir in entries.flatten().map(|entry| entry.path()) {
        let ours = dir.file_name().is_some_and(|name| name.as_bytes().starts_with(b"w-"));
        if !ours {
            continue;
        }
        let Ok(lock) = open_dir(&dir) else { continue };
        if lock.try_lock().is_err() {
            continue; // Its worker runs.
        }
        let recorded = kill_recorded(&dir);
        let ended = recorded.len() + descendants::end_marked_anywhere(&mark_prefix(&dir), &recorded);
        metrics::orphans_ended(ended);
        match std::fs::remove_dir_all(&dir) {
            Ok(()) => info!(dir = %dir.display(), ended, "cleaned up after a worker that is gone"),
            Err(fault) => warn!(dir = %dir.display(), ended, "cannot remove what a dead worker left: {fault}"),
        }
    }
}

/// Kills every process that a record in `dir` identifies.
fn kill_recorded(dir: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let records =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    records.filter_map(|path| Record::read(&path).ok()?.kill()).collect()
}

#[cfg(test)]
mod tests;
