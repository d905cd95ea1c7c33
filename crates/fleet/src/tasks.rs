//! The one owner of all tasks of the fleet: it drives the processes, and brings their news to the judge.

use std::sync::Arc;
use std::time::SystemTime;

use auxot_engine::{FileId, Status};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::model::managed::MemberId;
use crate::owner::Shared;
use crate::owner::dry_run;
use crate::owner::release;
use crate::state::shelf::Shelf;
use crate::state::work::Work;

/// Drives the processes of a fleet. Dropping it drops them all, which kills what still runs.
#[derive(Debug)]
pub struct Staff {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Staff {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: JoinSet::new() }
    }

    /// Drives everything; never returns by itself, so the caller ends it by dropping it once
    /// [`crate::Fleet::stop`] has resolved.
    pub async fn run(mut self) {
        let mut devices = self.shared.devices.samples.clone();
        self.tasks.spawn(Arc::clone(&self.shared).watch_folders());
        let mut looked = Instant::now();
        loop {
            for work in self.shared.take_work() {
                self.take_on(work);
            }
            let wake = self.shared.wake_at();
            // Asked for anew each time: the operator may want another interval by now.
            let look = looked.checked_add(self.shared.orders().fleet.rescan_interval);
            tokio::select! {
                () = self.shared.at_work.notified() => {}
                Some(ended) = self.tasks.join_next() => {
                    if let Err(fault) = ended {
                        // A panic in one driver ends one instance, never the program.
                        error!(%fault, "the task of one model has failed");
                    }
                }
                Ok(()) = devices.changed() => self.shared.measured(),
                () = until(wake) => self.shared.tick(),
                () = until(look) => {
                    looked = Instant::now();
                    self.shared.look_for_missing();
                    self.shared.look_after_failed();
                }
            }
        }
    }

    fn take_on(&mut self, work: Work) {
        let shared = Arc::clone(&self.shared);
        match work {
            Work::Drive { member, generation, status, driver } => {
                self.tasks.spawn(driver);
                self.tasks.spawn(listen(shared, member, generation, status));
            }
            Work::DryRun { member, generation, dry_run, ended } => {
                self.tasks.spawn(dry_run::run(shared, member, generation, dry_run, ended));
            }
            Work::Release { member, generation, after, release } => {
                self.tasks.spawn(release::run(shared, member, generation, after, release));
            }
            Work::Remember { key, size } => {
                self.tasks.spawn_blocking(move || {
                    if let Err(fault) = shared.remembered.keep(key, size, SystemTime::now()) {
                        warn!(%fault, "cannot remember the size that fits; the next start searches again");
                    }
                });
            }
            Work::Inspect { member, files } => {
                self.tasks.spawn_blocking(move || {
                    let now = files.iter().map(|path| FileId::of(path)).collect();
                    shared.inspected(member, now);
                });
            }
            Work::Believe { member, generation } => {
                self.tasks.spawn(async move {
                    tokio::time::sleep(shared.orders().fleet.release_timeout).await;
                    shared.believe(member, generation);
                });
            }
            Work::Learn => {
                self.tasks.spawn_blocking(move || shared.experience.save());
            }
            Work::Look => {
                self.tasks.spawn(look(shared));
            }
            Work::LookAfter(pause) => {
                self.tasks.spawn(async move {
                    tokio::time::sleep(pause).await;
                    shared.lock().look_at_change();
                    shared.at_work.notify_one();
                });
            }
        }
    }
}

/// Resolves at that time; never where there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Brings every state of one process to the judge, in order, until the process's task is gone.
async fn listen(shared: Arc<Shared>, member: MemberId, generation: u64, mut statuses: watch::Receiver<Status>) {
    loop {
        statuses.borrow_and_update();
        shared.turn(member, generation);
        if statuses.changed().await.is_err() {
            return;
        }
    }
}

/// Looks through the models folders, beside the runtime's thread: it reads the header of every file that is not as it was.
async fn look(shared: Arc<Shared>) {
    let (files, program) = (shared.orders().catalog.clone(), shared.engines.program());
    let (known, lookout) = {
        let judge = shared.lock();
        (Arc::clone(&judge.shelf.catalog), judge.looks.lookout.clone())
    };
    let look = move || {
        let (catalog, _) = match lookout {
            Some(lookout) => lookout.rescan(&known, &files, &[]),
            None => known.rescan(&files, &[]),
        };
        Shelf::new(Arc::new(catalog), &program)
    };
    let found = tokio::task::spawn_blocking(look).await;
    if let Err(fault) = &found {
        error!(%fault, "cannot look through the models folders");
    }
    shared.shelve(found.ok());
}
