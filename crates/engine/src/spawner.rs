//! The one permanent thread that spawns every child, so that no child outlives the worker.
//!
//! The kernel sends a parent-death signal when the *thread* that forked ends, not the process. From a pool thread it
//! would therefore kill healthy children whenever the pool shrinks. This thread ends when the last [`Spawner`] clone is
//! dropped, and every driver holds one.

mod child;
mod setup;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::oneshot;
use tracing::warn;

pub(crate) use child::Child;

use crate::file_id::{FileId, unchanged};
use crate::host::descendants;
use crate::host::identity::Record;
use crate::host::runtime_dir::RuntimeDir;

/// How often adopted processes (those whose parent has exited) are reaped.
const REAP: Duration = Duration::from_secs(60);

/// Requests that may wait for the thread; each takes a millisecond.
const REQUESTS: usize = 64;

/// A request to the thread.
enum Request {
    Spawn(Box<SpawnRequest>),
    Remove(Vec<PathBuf>),
}

struct SpawnRequest {
    command: Command,
    files: Files,
    home: Option<Arc<RuntimeDir>>,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// The files that belong to one child.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Its socket: removed before the start, because an engine cannot bind to the path of an old socket.
    pub(crate) socket: Option<PathBuf>,
    /// The model files; the start fails where one has changed.
    pub(crate) model: Vec<(PathBuf, FileId)>,
    /// Where its identity is recorded, for the next worker's cleanup.
    pub(crate) record: Option<PathBuf>,
    /// The mark of all its descendants, see [`descendants`].
    pub(crate) mark: Option<String>,
}

/// The children that their owners reap.
#[derive(Debug, Clone, Default)]
struct Owned(Arc<Mutex<BTreeSet<u32>>>);

impl Owned {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
        // Each change is one call, so a panic elsewhere leaves the set complete.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A handle of the thread.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    requests: SyncSender<Request>,
    /// The working directory of the children, and its owner.
    home: Option<Arc<RuntimeDir>>,
}

impl Spawner {
    /// Starts the thread. It runs in the context of the current runtime, which handles the children's pipes and exits.
    pub(crate) fn start() -> io::Result<Spawner> {
        let (requests, queue) = sync_channel(REQUESTS);
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            let _inside = runtime.enter();
            serve(&queue);
        })?;
        Ok(Spawner { requests, home: None })
    }

    /// The same thread, for children with this working directory.
    pub(crate) fn within(&self, home: &Arc<RuntimeDir>) -> Spawner {
        Spawner { requests: self.requests.clone(), home: Some(Arc::clone(home)) }
    }

    /// Starts a process in a group of its own; the answer comes as soon as it runs the program, or has failed to.
    pub(crate) fn spawn(&self, mut command: Command, files: Files) -> oneshot::Receiver<io::Result<Child>> {
        let (reply, answer) = oneshot::channel();
        setup::prepare(&mut command);
        if let Some(mark) = &files.mark {
            command.env(descendants::MARK, mark);
        }
        let home = self.home.clone();
        if let Some(home) = &home {
            command.current_dir(home.working_dir());
        }
        let request = Request::Spawn(Box::new(SpawnRequest { command, files, home, reply }));
        if let Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) = self.requests.try_send(request)
            && let Request::Spawn(request) = request
        {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, "the spawner thread has too many requests");
            // The send fails only if the caller is gone.
            let _caller_gone = request.reply.send(Err(busy));
        }
        answer
    }

    /// Removes the files of a child.
    pub(crate) fn remove(&self, files: Files) {
        let paths = files.socket.into_iter().chain(files.record).collect();
        if self.requests.try_send(Request::Remove(paths)).is_err() {
            warn!("cannot remove the files of a child now: they go with the directory");
        }
    }
}

fn serve(queue: &Receiver<Request>) {
    let owned = Owned::default();
    loop {
        match queue.recv_timeout(REAP) {
            Ok(Request::Spawn(request)) => {
                let reply = request.reply;
                let started = start(request.command, request.files, request.home.as_deref(), &owned);
                // If the caller is gone, the child is dropped, which kills it.
                let _caller_gone = reply.send(started);
            }
            Ok(Request::Remove(paths)) => paths.iter().for_each(remove),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        #[cfg(target_os = "linux")]
        if nix::sys::prctl::get_child_subreaper() == Ok(true) {
            descendants::reap_adopted(|pid| owned.change(|owned| owned.contains(&pid)));
        }
    }
}

fn start(mut command: Command, files: Files, home: Option<&RuntimeDir>, owned: &Owned) -> io::Result<Child> {
    unchanged(&files.model).map_err(io::Error::other)?;
    if let Some(home) = home {
        home.ensure().map_err(io::Error::other)?;
    }
    files.socket.iter().for_each(remove);
    let child = Child::new(command.spawn()?, files.mark, owned)?;
    if let Some(path) = &files.record
        && let Some(record) = Record::of(child.pid())
        && let Err(fault) = record.write(path)
    {
        // Only the cleanup after a crash of the whole worker would miss this child; everything else still works.
        warn!(path = %path.display(), pid = child.pid(), "cannot record a child's identity: {fault}");
    }
    Ok(child)
}

fn remove(path: &PathBuf) {
    if let Err(fault) = std::fs::remove_file(path)
        && fault.kind() != io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), "cannot remove a file of a child: {fault}");
    }
}

#[cfg(test)]
mod tests;
