//! The owner of all tasks of the fleet: engine drivers, status listeners, file I/O.

use std::sync::Arc;
use std::time::SystemTime;

use auxot_engine::{FileId, Status};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::model::managed::ManagedId;
use crate::owner::{Shared, dry_run, release};
use crate::state::scan::Scan;
use crate::state::work::Work;

/// The tasks of a fleet. Dropping it drops them all, which kills the engines that still run.
#[derive(Debug)]
pub struct Tasks {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Tasks {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: JoinSet::new() }
    }

    /// Runs all tasks. It never returns; the caller drops it after [`crate::Fleet::stop`].
    pub async fn run(mut self) {
        let mut devices = self.shared.devices.samples.clone();
        self.tasks.spawn(Arc::clone(&self.shared).watch_folders());
        let mut scanned = Instant::now();
        loop {
            for work in self.shared.take_work() {
                self.spawn(work);
            }
            let wake = self.shared.wake_at();
            // Read each time, because the settings may have changed.
            let rescan = scanned.checked_add(self.shared.settings().fleet.rescan_interval);
            tokio::select! {
                () = self.shared.work_ready.notified() => {}
                Some(ended) = self.tasks.join_next() => {
                    if let Err(fault) = ended {
                        // A panic in one driver ends one engine, never the program.
                        error!(%fault, "a task of one model has failed");
                    }
                }
                Ok(()) = devices.changed() => self.shared.measured(),
                () = until(wake) => self.shared.tick(),
                () = until(rescan) => {
                    scanned = Instant::now();
                    self.shared.scan_for_missing();
                    self.shared.retry_failed();
                }
            }
        }
    }

    fn spawn(&mut self, work: Work) {
        let shared = Arc::clone(&self.shared);
        match work {
            Work::Drive { managed, generation, status, driver } => {
                self.tasks.spawn(driver);
                self.tasks.spawn(listen(shared, managed, generation, status));
            }
            Work::DryRun { managed, generation, dry_run, ended } => {
                self.tasks.spawn(dry_run::run(shared, managed, generation, dry_run, ended));
            }
            Work::Release { managed, generation, after, release } => {
                self.tasks.spawn(release::run(shared, managed, generation, after, release));
            }
            Work::Remember { key, size } => {
                self.tasks.spawn_blocking(move || {
                    if let Err(fault) = shared.found_sizes.keep(key, size, SystemTime::now()) {
                        warn!(%fault, "cannot save the size that fits; the next start searches again");
                    }
                });
            }
            Work::Inspect { managed, files } => {
                self.tasks.spawn_blocking(move || {
                    let now = files.iter().map(|path| FileId::of(path)).collect();
                    shared.inspected(managed, now);
                });
            }
            Work::AcceptUnread { managed, generation } => {
                self.tasks.spawn(async move {
                    tokio::time::sleep(shared.settings().fleet.release_timeout).await;
                    shared.accept_unread(managed, generation);
                });
            }
            Work::Learn => {
                self.tasks.spawn_blocking(move || shared.measurements.save());
            }
            Work::Scan => {
                self.tasks.spawn(scan(shared));
            }
            Work::ScanAfter(pause) => {
                self.tasks.spawn(async move {
                    tokio::time::sleep(pause).await;
                    shared.lock().scan_change();
                    shared.work_ready.notify_one();
                });
            }
        }
    }
}

/// Resolves at that time; never without one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Reports each status of one engine to the fleet, in order, until the driver ends.
async fn listen(shared: Arc<Shared>, managed: ManagedId, generation: u64, mut statuses: watch::Receiver<Status>) {
    loop {
        statuses.borrow_and_update();
        shared.on_engine_status(managed, generation);
        if statuses.changed().await.is_err() {
            return;
        }
    }
}

/// Scans the models folders on a blocking thread. It reads the header of every changed file.
async fn scan(shared: Arc<Shared>) {
    let (files, program) = (shared.settings().catalog.clone(), shared.engines.program());
    let (known, watcher, desired) = {
        let state = shared.lock();
        (Arc::clone(&state.scan.catalog), state.scans.watcher.clone(), state.policy().cloned())
    };
    let names = shared.names_of(desired.as_ref());
    let read = move || {
        let (catalog, _) = match watcher {
            Some(watcher) => watcher.rescan(&known, &files, &[]),
            None => known.rescan(&files, &[]),
        };
        let scan = Scan::new(Arc::new(catalog), &program);
        scan.resolve_all(&names);
        scan
    };
    let found = tokio::task::spawn_blocking(read).await;
    if let Err(fault) = &found {
        error!(%fault, "cannot scan the models folders");
    }
    shared.take_scan(found.ok());
}
