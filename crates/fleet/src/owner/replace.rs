//! Changed files of loaded models: a new version is loaded when its model is idle, and a deleted model is removed.
//!
//! An engine keeps the file that it has mapped, so nothing is urgent. A new version is not used before a scan has found it
//! complete, see `Spec::files`.

use std::sync::Arc;
use std::time::Duration;

use auxot_backoff::Backoff;
use auxot_catalog::Model;
use tracing::info;

use crate::model::managed::{Files, KeepReason, ManagedId, ManagedModel};
use crate::owner::Shared;
use crate::owner::requests::{PendingAnswer, send_answers};
use crate::state::work::Work;
use crate::state::{Desired, FleetState, Intake, Missing};
use auxot_scheduler::Action;

/// What has become of the file of a loaded model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileChange {
    Same,
    Changed,
    /// The file cannot be used: perhaps a new version is half written.
    Unusable,
    Gone,
}

/// The pauses from the second scan on; the first one begins at once. A file that is rewritten for minutes costs a scan and a
/// start each time.
const SCAN_PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// The pause before the next scan, after this many consecutive starts that found another file: 0, 1, 2, 4 … 30 s.
fn pause_before_scan(earlier: u32) -> Duration {
    earlier.checked_sub(1).map_or(Duration::ZERO, |earlier| SCAN_PAUSES.pause(earlier))
}

impl Shared {
    /// Handles models whose files have changed or are gone, after a scan.
    pub(crate) fn replace_changed(self: &Arc<Self>, state: &mut FleetState) {
        let file_changes: Vec<(ManagedId, FileChange)> = state
            .staying()
            .filter(|(_, managed)| managed.files != Files::AwaitScan)
            .map(|(id, managed)| (id, state.file_change(managed)))
            .collect();
        for (id, file_change) in file_changes {
            match file_change {
                FileChange::Same => state.is_up_to_date(id),
                FileChange::Unusable => {}
                FileChange::Changed if self.settings().fleet.reload_changed => self.mark_outdated(state, id),
                FileChange::Changed => {}
                FileChange::Gone => self.file_is_gone(state, id),
            }
        }
    }

    fn mark_outdated(self: &Arc<Self>, state: &mut FleetState, id: ManagedId) {
        let Some(managed) = state.models.get_mut(&id) else { return };
        if std::mem::replace(&mut managed.files, Files::Outdated) != Files::Outdated {
            info!(model = managed.name(), "a file of the model has changed: the new version is loaded once it is idle");
        }
        self.replace_if_idle(state, id);
    }

    /// Loads the new version of an outdated model, unless it has jobs.
    pub(crate) fn replace_if_idle(self: &Arc<Self>, state: &mut FleetState, id: ManagedId) {
        let Some(managed) = state.models.get(&id) else { return };
        let (scheduler_id, file) = (managed.scheduler_id, &managed.model.file);
        if state.scheduler.busy(scheduler_id) > 0 || state.scheduler.waiting(scheduler_id) > 0 {
            return;
        }
        let Some(model) = state.scan.model(file).cloned() else {
            if state.file_change(managed) == FileChange::Gone {
                self.file_is_gone(state, id);
            }
            return;
        };
        self.replace(state, id, model);
        let now = self.moment();
        state.decisions.extend(state.scheduler.unload(scheduler_id, now + self.settings().fleet.drain_timeout, now));
    }

    /// Switches a model to the new version of its file, with a new plan.
    fn replace(&self, state: &mut FleetState, id: ManagedId, model: Model) {
        let desired = state.desired_for(id);
        let plan = self.plan(state, &model, desired.as_ref());
        let Some(managed) = state.models.get_mut(&id) else { return };
        managed.replace(Arc::new(model), plan);
        info!(model = managed.name(), "a new version of the model is loaded");
    }

    /// Handles an engine that did not start because a file has changed. Jobs wait until a scan shows the new file; during a
    /// shutdown there is no scan, and they fail.
    pub(crate) fn awaits_scan(self: &Arc<Self>, state: &mut FleetState, id: ManagedId) -> Vec<Action> {
        let now = self.moment();
        let Some(managed) = state.models.get_mut(&id) else { return Vec::new() };
        if state.intake != Intake::Open {
            return state.scheduler.engine_failed(managed.scheduler_id, now);
        }
        managed.files = Files::AwaitScan;
        let pause = pause_before_scan(managed.changed_starts);
        managed.changed_starts = managed.changed_starts.saturating_add(1);
        let actions = state.scheduler.engine_lost(managed.scheduler_id, false, now);
        match pause {
            Duration::ZERO => state.scan_change(),
            pause => state.work.push(Work::ScanAfter(pause)),
        }
        self.work_ready.notify_one();
        actions
    }

    /// Settles the models that waited for this scan: those with a new version load it, the others have failed, as have all
    /// where the scan itself failed.
    pub(crate) fn settle_scanned(self: &Arc<Self>, state: &mut FleetState, is_scanned: bool) {
        let waiting = state.models.iter().filter(|(_, managed)| managed.files == Files::AwaitScan);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            let is_gone = is_scanned
                && state.models.get(&id).is_some_and(|managed| state.file_change(managed) == FileChange::Gone);
            let Some(managed) = state.models.get_mut(&id) else { continue };
            managed.files = Files::Planned;
            let (scheduler_id, keep, file, now) =
                (managed.scheduler_id, managed.keep, managed.model.file.clone(), self.moment());
            if keep == KeepReason::Leaving {
                state.decisions.extend(state.scheduler.memory_freed(scheduler_id, now));
                self.remove_gone(state, id);
                continue;
            }
            if is_gone {
                send_answers(self.dismiss_gone(state, id));
                state.decisions.extend(state.scheduler.memory_freed(scheduler_id, now));
                self.file_is_gone(state, id);
                continue;
            }
            let Some(model) = state.scan.model(&file).filter(|_| is_scanned).cloned() else {
                // Without a scan, nothing is known of the file.
                if is_scanned {
                    managed.mark_file_bad();
                }
                state.decisions.extend(state.scheduler.engine_failed(scheduler_id, now));
                continue;
            };
            self.replace(state, id, model);
            self.update_profile(state, id);
            state.decisions.extend(state.scheduler.memory_freed(scheduler_id, now));
            self.want(state, id, keep);
        }
    }

    /// Removes a model without a file: its jobs drain, and a listed or desired one becomes missing. Waiting jobs come first:
    /// their load serves them or fails.
    fn file_is_gone(self: &Arc<Self>, state: &mut FleetState, id: ManagedId) {
        let Some(managed) = state.models.get_mut(&id) else { return };
        if state.scheduler.waiting(managed.scheduler_id) > 0 {
            managed.files = Files::Outdated;
            return;
        }
        let (keep, name) = (managed.keep, managed.name().to_owned());
        let reason = format!("the file of {name} is gone");
        if let Some(desired) = state.desired_for(id) {
            state.desired = Desired::Missing { desired, reason: reason.clone(), before: None };
        }
        if keep == KeepReason::Operator {
            state.missing.push(Missing { name, reason: reason.clone() });
        }
        send_answers(self.dismiss_model(state, id, &reason));
    }

    /// Refuses jobs that wait for a model whose file is gone, like any other job that names it.
    fn dismiss_gone(&self, state: &mut FleetState, id: ManagedId) -> Vec<PendingAnswer> {
        let Some(managed) = state.models.get_mut(&id) else { return Vec::new() };
        let (scheduler_id, name) = (managed.scheduler_id, managed.name().to_owned());
        let waiting = state.scheduler.take_waiting(scheduler_id);
        let refusal = state.unknown(&name);
        self.dismiss(state, waiting, || refusal.clone())
    }
}

impl FleetState {
    /// The files on disk are those that the engine has loaded, perhaps again.
    fn is_up_to_date(&mut self, id: ManagedId) {
        if let Some(managed) = self.models.get_mut(&id).filter(|managed| managed.files == Files::Outdated) {
            managed.files = Files::Planned;
        }
    }

    fn file_change(&self, managed: &ManagedModel) -> FileChange {
        let file = &managed.model.file;
        let Some(model) = self.scan.model(file) else {
            let is_there = self.scan.catalog.damaged().iter().any(|damaged| damaged.path == *file);
            return if is_there { FileChange::Unusable } else { FileChange::Gone };
        };
        let runs = managed.engine.as_ref().map(|engine| &engine.spec.files);
        if runs.is_none_or(|files| *files == self.scan.of(model)) { FileChange::Same } else { FileChange::Changed }
    }
}
