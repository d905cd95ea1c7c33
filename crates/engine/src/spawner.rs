//! The one permanent thread that starts every child, so that no child outlives the worker.
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

/// How often the exit statuses of processes are taken that came to us when their parent ended.
const REAP: Duration = Duration::from_secs(60);

/// Orders on their way to the thread; each takes a millisecond.
const ORDERS: usize = 64;

/// What the thread does.
enum Order {
    Spawn(Box<SpawnOrder>),
    Remove(Vec<PathBuf>),
}

struct SpawnOrder {
    command: Command,
    files: Files,
    home: Option<Arc<RuntimeDir>>,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// The files that belong to one child.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Its socket: removed before the start, because an engine cannot bind over what another left behind.
    pub(crate) socket: Option<PathBuf>,
    /// What it is to be started of, and must be the same still.
    pub(crate) model: Vec<(PathBuf, FileId)>,
    /// Where its identity is written down, for whoever has to clean up after us.
    pub(crate) record: Option<PathBuf>,
    /// What all processes that come of it are known by.
    pub(crate) mark: Option<String>,
}

/// The children whose exit statuses are taken by those who own them.
#[derive(Debug, Clone, Default)]
struct Owned(Arc<Mutex<BTreeSet<u32>>>);

impl Owned {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
        // Each change is one call, so a panic elsewhere leaves the set as it should be.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A way to the thread.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    orders: SyncSender<Order>,
    /// Where children work, and what has to be there for that.
    home: Option<Arc<RuntimeDir>>,
}

impl Spawner {
    /// Starts the thread. It works within the current runtime, which watches the children's pipes and exits.
    pub(crate) fn start() -> io::Result<Spawner> {
        let (orders, queue) = sync_channel(ORDERS);
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            let _inside = runtime.enter();
            serve(&queue);
        })?;
        Ok(Spawner { orders, home: None })
    }

    /// The same thread, for children that work in this directory.
    pub(crate) fn within(&self, home: &Arc<RuntimeDir>) -> Spawner {
        Spawner { orders: self.orders.clone(), home: Some(Arc::clone(home)) }
    }

    /// Starts a process in a group of its own; the answer comes as soon as it runs the program, or cannot.
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
        let order = Order::Spawn(Box::new(SpawnOrder { command, files, home, reply }));
        if let Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) = self.orders.try_send(order)
            && let Order::Spawn(order) = order
        {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, "the spawner thread has too much to do");
            // Nobody hears it only if the caller is gone.
            let _unheard = order.reply.send(Err(busy));
        }
        answer
    }

    /// Removes what a child has left behind.
    pub(crate) fn remove(&self, files: Files) {
        let paths = files.socket.into_iter().chain(files.record).collect();
        if self.orders.try_send(Order::Remove(paths)).is_err() {
            warn!("cannot remove the files of a child now: they go with the directory");
        }
    }
}

fn serve(queue: &Receiver<Order>) {
    let owned = Owned::default();
    loop {
        match queue.recv_timeout(REAP) {
            Ok(Order::Spawn(order)) => {
                let reply = order.reply;
                let started = start(order.command, order.files, order.home.as_deref(), &owned);
                // A caller that is gone drops the child, which ends it.
                let _unheard = reply.send(started);
            }
            Ok(Order::Remove(paths)) => paths.iter().for_each(remove),
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
        // The other layers still hold; only a sweep after a crash of the whole worker would miss this child.
        warn!(path = %path.display(), pid = child.pid(), "cannot write down a child's identity: {fault}");
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
