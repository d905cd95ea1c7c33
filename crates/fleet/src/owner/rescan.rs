//! The models folders, scanned again when something in them changes: a file that comes later needs no restart.
//!
//! A lookout tells of changes as they happen. Where it does not see all of them, and while something is missing that is
//! wanted, the folders are scanned at an interval too.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::CatalogWatcher;
use auxot_engine::FileId;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::owner::Shared;
use crate::state::scan::{Scan, Scanning};
use crate::state::work::Work;
use crate::state::{Desired, FleetState, Intake};

impl Shared {
    /// Has the folders scanned, unless that was done a moment ago. Whether a scan ended by `until`.
    pub(crate) async fn scan_again(&self, until: std::time::Instant) -> bool {
        let mut ended = self.scanned.subscribe();
        if !self.lock().may_scan_now(self.settings().fleet.rescan_interval) {
            return false;
        }
        self.work_ready.notify_one();
        tokio::time::timeout_at(until.into(), ended.changed()).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Watches the folders for ever, and has them scanned whenever something has changed.
    pub(crate) async fn watch_folders(self: Arc<Self>) {
        let (watcher, mut signal) = CatalogWatcher::open();
        let catalog = {
            let mut state = self.lock();
            state.scans.watcher = Some(Arc::clone(&watcher));
            Arc::clone(&state.scan.catalog)
        };
        // Naming the folders may block. What has changed since the catalog was made is told as a change.
        if let Err(fault) = tokio::task::spawn_blocking(move || watcher.follow(&catalog)).await {
            error!(%fault, "cannot watch the models folders");
        }
        loop {
            signal.changed().await;
            self.lock().scan_change();
            self.work_ready.notify_one();
        }
    }

    /// It is time: has the folders scanned if a model that somebody wants is not here, or if a change may have gone
    /// by unnoticed. A look for another reason a moment ago does not put this one off, which would double the interval.
    pub(crate) fn scan_for_missing(&self) {
        let mut state = self.lock();
        let missing = !state.missing.is_empty() || matches!(state.desired, Desired::Missing { .. });
        if state.intake == Intake::Open && (missing || state.scans.misses_changes()) {
            state.scan_now();
            drop(state);
            self.work_ready.notify_one();
        }
    }

    /// Takes in what a scan has found; `None` is a scan that failed. What was missing and is here now is loaded.
    pub(crate) fn take_scan(self: &Arc<Self>, found: Option<Scan>) {
        let mut state = self.lock();
        let again = state.scans.state == Scanning::RunningAndStale;
        state.scans.state = Scanning::Idle(Instant::now());
        let is_scanned = found.is_some();
        if let Some(scan) = found {
            let are_new = state.scan.catalog.aliases() != scan.catalog.aliases();
            state.scan = Arc::new(scan);
            if are_new {
                state.warn_of_aliases();
            }
        }
        if !again {
            self.settle_scanned(&mut state, is_scanned);
        }
        if is_scanned {
            self.retry_missing(&mut state);
            state.note_changed();
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
    /// Warns of the operator's own names that mean no model, or several.
    pub(crate) fn warn_of_aliases(&self) {
        for setting in self.scan.catalog.alias_warnings() {
            warn!(setting, "an alias means no model");
        }
    }

    /// Marks those that have failed whose files are others by now. One that is not there any more is no way out.
    fn note_changed(&mut self) {
        let failed: Vec<_> =
            self.models.iter().filter(|(_, managed)| self.has_failed(managed)).map(|(id, _)| *id).collect();
        for id in failed {
            let Some(managed) = self.models.get_mut(&id) else { continue };
            let now: Vec<FileId> = managed.plan.key.paths().iter().map(|path| self.scan.file(path)).collect();
            if now != *managed.plan.key.files() && !now.contains(&FileId::default()) {
                managed.changed = Some(now);
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

    /// Has the tasks look at what has changed just now.
    pub(crate) fn scan_change(&mut self) {
        match self.scans.state {
            Scanning::Idle(_) if self.intake == Intake::Open => self.scan_now(),
            Scanning::Idle(_) => {}
            Scanning::Running | Scanning::RunningAndStale => self.scans.state = Scanning::RunningAndStale,
        }
    }

    /// Has the tasks look, however short the last scan is ago.
    pub(crate) fn scan_now(&mut self) {
        if matches!(self.scans.state, Scanning::Idle(_)) {
            self.scans.state = Scanning::Running;
            self.work.push(Work::Scan);
        }
    }
}
