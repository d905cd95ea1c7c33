//! The models folders, looked through again when something in them changes: a file that comes later needs no restart.
//!
//! A lookout tells of changes as they happen. Where it does not see all of them, and while something is missing that is
//! wanted, the folders are looked through at an interval too.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Lookout;
use auxot_engine::FileId;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::owner::Shared;
use crate::state::shelf::{Looking, Shelf};
use crate::state::work::Work;
use crate::state::{Door, Judge, Wished};

impl Shared {
    /// Has the folders looked through, unless that was done a moment ago. Whether a look ended by `until`.
    pub(crate) async fn look_again(&self, until: std::time::Instant) -> bool {
        let mut ended = self.looked.subscribe();
        if !self.lock().ask_for_a_look(self.orders().fleet.rescan_interval) {
            return false;
        }
        self.at_work.notify_one();
        tokio::time::timeout_at(until.into(), ended.changed()).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Watches the folders for ever, and has them looked through whenever something has changed.
    pub(crate) async fn watch_folders(self: Arc<Self>) {
        let (lookout, mut signal) = Lookout::open();
        let catalog = {
            let mut judge = self.lock();
            judge.looks.lookout = Some(Arc::clone(&lookout));
            Arc::clone(&judge.shelf.catalog)
        };
        // Naming the folders may block. What has changed since the catalog was made is told as a change.
        if let Err(fault) = tokio::task::spawn_blocking(move || lookout.follow(&catalog)).await {
            error!(%fault, "cannot watch the models folders");
        }
        loop {
            signal.changed().await;
            self.lock().look_at_change();
            self.at_work.notify_one();
        }
    }

    /// It is time: has the folders looked through if a model that somebody wants is not here, or if a change may have gone
    /// by unnoticed. A look for another reason a moment ago does not put this one off, which would double the interval.
    pub(crate) fn look_for_missing(&self) {
        let mut judge = self.lock();
        let missing = !judge.missing.is_empty() || matches!(judge.wished, Wished::Missing { .. });
        if judge.door == Door::Open && (missing || judge.looks.is_blind()) {
            judge.look_now();
            drop(judge);
            self.at_work.notify_one();
        }
    }

    /// Takes in what a look has found; `None` is a look that failed. What was missing and is here now is loaded.
    pub(crate) fn shelve(self: &Arc<Self>, found: Option<Shelf>) {
        let mut judge = self.lock();
        let again = judge.looks.state == Looking::NowAndAgain;
        judge.looks.state = Looking::No(Instant::now());
        let is_scanned = found.is_some();
        if let Some(shelf) = found {
            let are_new = judge.shelf.catalog.aliases() != shelf.catalog.aliases();
            judge.shelf = Arc::new(shelf);
            if are_new {
                judge.tell_of_aliases();
            }
        }
        if !again {
            self.settle_scanned(&mut judge, is_scanned);
        }
        if is_scanned {
            self.retry_missing(&mut judge);
            judge.note_changed();
            self.revive_changed(&mut judge);
            self.renew(&mut judge);
            self.replace_changed(&mut judge);
            self.stand_in(&mut judge);
        }
        if again {
            judge.look_at_change();
        }
        self.conclude(judge, Vec::new());
        self.looked.send_modify(|count| *count += 1);
        self.changed();
    }
}

impl Judge {
    /// Warns of the operator's own names that mean no model, or several.
    pub(crate) fn tell_of_aliases(&self) {
        for setting in self.shelf.catalog.alias_warnings() {
            warn!(setting, "an alias means no model");
        }
    }

    /// Marks those that have failed whose files are others by now. One that is not there any more is no way out.
    fn note_changed(&mut self) {
        let failed: Vec<_> =
            self.members.iter().filter(|(_, member)| self.has_failed(member)).map(|(id, _)| *id).collect();
        for id in failed {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let now: Vec<FileId> = member.plan.key.paths().iter().map(|path| self.shelf.file(path)).collect();
            if now != *member.plan.key.files() && !now.contains(&FileId::default()) {
                member.changed = Some(now);
            }
        }
    }

    fn ask_for_a_look(&mut self, pause: Duration) -> bool {
        if self.door != Door::Open || !self.looks.may(pause, Instant::now()) {
            return false;
        }
        self.look_now();
        true
    }

    /// Has the staff look at what has changed just now.
    pub(crate) fn look_at_change(&mut self) {
        match self.looks.state {
            Looking::No(_) if self.door == Door::Open => self.look_now(),
            Looking::No(_) => {}
            Looking::Now | Looking::NowAndAgain => self.looks.state = Looking::NowAndAgain,
        }
    }

    /// Has the staff look, however short the last look is ago.
    pub(crate) fn look_now(&mut self) {
        if matches!(self.looks.state, Looking::No(_)) {
            self.looks.state = Looking::Now;
            self.work.push(Work::Look);
        }
    }
}
