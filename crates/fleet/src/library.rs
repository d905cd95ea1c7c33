//! The models folders, looked through again while something is missing: a file that comes later needs no restart.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Catalog;
use tokio::time::Instant;

use crate::judge::{Door, Judge, Wished};
use crate::shared::Shared;
use crate::work::Work;

/// When the folders were looked through, so that no crowd of strangers' names keeps the disk busy.
#[derive(Debug)]
pub(crate) struct Looks {
    last: Instant,
    running: bool,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { last: Instant::now(), running: false }
    }

    /// Whether a look is under way or may begin now.
    fn may(&self, pause: Duration, now: Instant) -> bool {
        self.running || now.saturating_duration_since(self.last) >= pause
    }
}

impl Shared {
    /// Has the folders looked through, unless that was done a moment ago. Whether a look ended by `until`.
    pub(crate) async fn look_again(&self, until: std::time::Instant) -> bool {
        let mut ended = self.looked.subscribe();
        if !self.lock().ask_for_a_look(self.config.rescan_interval) {
            return false;
        }
        self.at_work.notify_one();
        tokio::time::timeout_at(until.into(), ended.changed()).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Has the folders looked through if a model that somebody wants is not here.
    pub(crate) fn look_for_missing(&self) {
        let mut judge = self.lock();
        let missing = !judge.missing.is_empty() || matches!(judge.wished, Wished::Missing { .. });
        if missing && judge.ask_for_a_look(self.config.rescan_interval) {
            drop(judge);
            self.at_work.notify_one();
        }
    }

    /// Takes in what a look has found; `None` is a look that failed. What was missing and is here now is loaded.
    pub(crate) fn shelve(self: &Arc<Self>, found: Option<Catalog>) {
        let mut judge = self.lock();
        judge.looks = Looks::new();
        if let Some(catalog) = found {
            judge.catalog = Arc::new(catalog);
            self.retry_missing(&mut judge);
            self.revive_changed(&mut judge);
        }
        drop(judge);
        self.looked.send_modify(|count| *count += 1);
        self.changed();
    }
}

impl Judge {
    fn ask_for_a_look(&mut self, pause: Duration) -> bool {
        if self.door != Door::Open || !self.looks.may(pause, Instant::now()) {
            return false;
        }
        self.look_now();
        true
    }

    /// Has the staff look, however short the last look is ago.
    pub(crate) fn look_now(&mut self) {
        if !std::mem::replace(&mut self.looks.running, true) {
            self.work.push(Work::Look);
        }
    }
}
