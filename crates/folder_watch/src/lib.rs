//! Changes of folders, as the system reports them.
//!
//! [`open`] gives a [`Watcher`], which is given folders, and their [`Events`]. An [`Event`] is what can make a reader find
//! something else: a name that came or went, a file that was written and closed, or one whose permissions changed. The
//! writing itself is no event. Which of the events matter, and when several count as one, the caller decides.
//!
//! A [`FileWatch`] reports the changes of one file, also of one that is reached by links.
//!
//! Linux has inotify. On other systems [`open`] fails with [`std::io::ErrorKind::Unsupported`], and callers look at their
//! folders at an interval instead.
//!
//! # Why not `notify`
//!
//! `notify` 8.2 loses what the catalog relies on. An unmounted file system gives no event at all. Two paths to one folder
//! share one watch, and the end of the one ends the other. A watch that ends by itself, or that means another folder
//! since a folder above it was replaced, looks like one that was there all the time, so that a change before the new watch
//! is missed. It also subscribes to each write and each opening: one file of 256 MiB gave 12,036 events where this crate
//! gives two.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # #[cfg(target_os = "linux")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let (mut watcher, mut events) = auxot_folder_watch::open()?;
//! let id = watcher.watch(folder.path())?;
//! std::fs::create_dir(folder.path().join("new"))?;
//! let event = events.next().await?;
//! assert!(matches!(event, auxot_folder_watch::Event::Entry(changed, entry) if changed == id && entry.name == "new"));
//! # std::io::Result::Ok(())
//! # })?;
//! # Ok(())
//! # }
//! ```

mod event;
mod file_watch;
mod folder_id;
#[cfg(target_os = "linux")]
mod inotify;
#[cfg(not(target_os = "linux"))]
#[path = "unsupported.rs"]
mod inotify;

pub use event::{Change, Entry, Event};
pub use file_watch::FileWatch;
pub use folder_id::FolderId;
pub use inotify::{Events, Watcher, open};
