//! Why not every change of the models folders gives an event, so that they are scanned at an interval.

use std::io;
use std::path::{Path, PathBuf};

/// Which changes give no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WatchGap {
    /// All: the system cannot watch.
    Unsupported(io::ErrorKind),
    /// Those in folders beyond the system's limit of watches.
    LimitReached {
        /// Folders that are watched.
        watched: usize,
    },
    /// Those that other hosts make in a shared folder.
    Shared { folder: PathBuf, file_system: SharedFileSystem },
    /// Those in a folder that cannot be watched.
    Unwatched { folder: PathBuf, kind: io::ErrorKind },
}

impl WatchGap {
    pub(super) fn log(&self) {
        const INSTEAD: &str = "the models folders are scanned every fleet.rescan_interval";
        match self {
            Self::Unsupported(fault) => tracing::warn!(%fault, "cannot watch folders: {INSTEAD}"),
            Self::LimitReached { watched } => tracing::warn!(
                watched,
                "cannot watch all folders, the system's fs.inotify.max_user_watches is reached: {INSTEAD}"
            ),
            Self::Shared { folder, file_system } => tracing::info!(
                folder = %folder.display(),
                file_system = file_system.name(),
                "changes made by other hosts are not reported: {INSTEAD}"
            ),
            Self::Unwatched { folder, kind } => {
                tracing::warn!(folder = %folder.display(), fault = %kind, "cannot watch a folder: {INSTEAD}");
            }
        }
    }
}

/// A file system that other hosts may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SharedFileSystem(&'static str);

impl SharedFileSystem {
    fn name(self) -> &'static str {
        self.0
    }

    /// The shared file system of a folder, if it is on one.
    #[cfg(target_os = "linux")]
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let kind = nix::sys::statfs::statfs(folder).ok()?.filesystem_type().0;
        SHARED.iter().find(|(magic, _)| *magic == kind as u32).map(|(_, name)| Self(name))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: &Path) -> Option<Self> {
        None
    }
}

/// By the numbers in the kernel's `magic.h` and in the file systems' sources.
#[cfg(target_os = "linux")]
const SHARED: &[(u32, &str)] = &[
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0x517b, "smb"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
];
