//! Scans of the models folders: a file that comes later needs no restart.
//!
//! A watcher reports changes as they happen. Where it cannot see all of them, and while a wanted model is missing, the folders
//! are also scanned at an interval.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::CatalogWatcher;
use auxot_engine::FileId;
use tokio::time::Instant;
use tracing::error;

use crate::model::managed::Files;
use crate::owner::Shared;
use crate::state::scan::{Scan, Scanning};
use crate::state::work::Work;
use crate::state::{Desired, FleetState, Intake};

impl Shared {
    /// Scans the folders, unless that was done a moment ago. Returns whether a scan ended by `until`.
    pub(crate) async fn scan_again(&self, until: std::time::Instant) -> bool {
        let mut ended = self.scanned.subscribe();
        if !self.lock().may_scan_now(self.settings().fleet.rescan_interval) {
            return false;
        }
        self.work_ready.notify_one();
        tokio::time::timeout_at(until.into(), ended.changed()).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Watches the folders for ever, and scans them after each change.
    pub(crate) async fn watch_folders(self: Arc<Self>) {
        let (watcher, mut signal) = CatalogWatcher::open();
        let catalog = {
            let mut state = self.lock();
            state.scans.watcher = Some(Arc::clone(&watcher));
            Arc::clone(&state.scan.catalog)
        };
        // Adding the folders may block. A change since the catalog was made is reported as a change.
        if let Err(fault) = tokio::task::spawn_blocking(move || watcher.follow(&catalog)).await {
            error!(%fault, "cannot watch the models folders");
        }
        loop {
            signal.changed().await;
            self.lock().scan_change();
            self.work_ready.notify_one();
        }
    }

    /// Scans the folders at the interval, if a wanted model is missing or a change may have gone unnoticed. A recent scan for
    /// another reason does not postpone this one, which would double the interval.
    pub(crate) fn scan_for_missing(&self) {
        let mut state = self.lock();
        let missing = !state.missing.is_empty() || matches!(state.desired, Desired::Missing { .. });
        if state.intake == Intake::Open && (missing || state.scans.misses_changes()) {
            state.scan_now();
            drop(state);
            self.work_ready.notify_one();
        }
    }

    /// Handles the result of a scan; `None` is a failed scan. Models that were missing and are here now are loaded.
    pub(crate) fn take_scan(self: &Arc<Self>, found: Option<Scan>) {
        let found = found.map(Arc::new);
        if let Some(scan) = &found {
            let before = Arc::clone(&self.lock().scan);
            if before.catalog.aliases() != scan.catalog.aliases() {
                scan.warn_of_aliases();
            }
        }
        let mut state = self.lock();
        let again = state.scans.state == Scanning::RunningAndStale;
        state.scans.state = Scanning::Idle(Instant::now());
        let is_scanned = found.is_some();
        if let Some(scan) = found {
            state.scan = scan;
        }
        if !again {
            self.settle_scanned(&mut state, is_scanned);
        }
        if is_scanned {
            self.retry_missing(&mut state);
            state.mark_changed();
            self.retry_changed(&mut state);
            self.refresh_unloaded(&mut state);
            self.replace_changed(&mut state);
            self.serve_fallback(&mut state);
        }
        if again {
            state.scan_change();
        }
        self.conclude(state, Vec::new());
        self.scanned.send_modify(|count| *count += 1);
        self.changed();
    }
}

impl FleetState {
    /// Marks failed models whose files have changed. A file that is gone is no reason to retry.
    fn mark_changed(&mut self) {
        let failed: Vec<_> =
            self.models.iter().filter(|(_, managed)| self.has_failed(managed)).map(|(id, _)| *id).collect();
        for id in failed {
            let Some(managed) = self.models.get_mut(&id) else { continue };
            let now: Vec<FileId> = managed.plan.key.paths().iter().map(|path| self.scan.file(path)).collect();
            if now != *managed.plan.key.files() && !now.contains(&FileId::default()) {
                managed.files = Files::Changed(now);
            }
        }
    }

    fn may_scan_now(&mut self, pause: Duration) -> bool {
        if self.intake != Intake::Open || !self.scans.may(pause, Instant::now()) {
            return false;
        }
        self.scan_now();
        true
    }

    /// Scans what has just changed, after a running scan if there is one.
    pub(crate) fn scan_change(&mut self) {
        match self.scans.state {
            Scanning::Idle(_) if self.intake == Intake::Open => self.scan_now(),
            Scanning::Idle(_) => {}
            Scanning::Running | Scanning::RunningAndStale => self.scans.state = Scanning::RunningAndStale,
        }
    }

    /// Scans at once, however recent the last scan is.
    pub(crate) fn scan_now(&mut self) {
        if matches!(self.scans.state, Scanning::Idle(_)) {
            self.scans.state = Scanning::Running;
            self.work.push(Work::Scan);
        }
    }
}
