//! Files of loaded models that change: a new version is loaded when its model is idle, and what is deleted is let go.
//!
//! An engine goes on with the file that it has mapped, so nothing is urgent. Until its own look through the folders has found
//! a new version whole, that one is not used either: see `Spec::files`.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Model;
use tracing::info;

use crate::lease::{Settled, settle_all};
use crate::model::managed::MemberId;
use crate::model::managed::{Member, Tenure};
use crate::owner::Shared;
use crate::state::work::Work;
use crate::state::{Door, Judge, Missing, Wished};
use auxot_scheduler::Effect;

/// What has become of the file of a loaded model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Same,
    Changed,
    /// There is something that cannot be used: perhaps the half of a new version.
    Unusable,
    Gone,
}

/// The first scan after a start that found another file begins at once.
const FIRST_SCAN_PAUSE: Duration = Duration::from_secs(1);

/// A file that is rewritten for minutes costs a scan and a start each time; it is never longer between two of them.
const LONGEST_SCAN_PAUSE: Duration = Duration::from_secs(30);

/// The pause before the next scan, after so many starts in a row that had found another file before: 0, 1, 2, 4 … 30 s.
fn pause_before_scan(earlier: u32) -> Duration {
    match earlier.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_SCAN_PAUSE.saturating_mul(1 << doublings.min(8)).min(LONGEST_SCAN_PAUSE),
    }
}

impl Shared {
    /// After a look through the folders: models whose files have changed or are gone.
    pub(crate) fn replace_changed(self: &Arc<Self>, judge: &mut Judge) {
        let fates: Vec<(MemberId, Fate)> = judge
            .staying()
            .filter(|(_, member)| !member.awaits_scan)
            .map(|(id, member)| (id, judge.fate(member)))
            .collect();
        for (id, fate) in fates {
            match fate {
                Fate::Same => _ = judge.members.get_mut(&id).map(|member| member.is_outdated = false),
                Fate::Unusable => {}
                Fate::Changed if self.orders().fleet.reload_changed => self.outdate(judge, id),
                Fate::Changed => {}
                Fate::Gone => self.file_is_gone(judge, id),
            }
        }
    }

    fn outdate(self: &Arc<Self>, judge: &mut Judge, id: MemberId) {
        let Some(member) = judge.members.get_mut(&id) else { return };
        if !std::mem::replace(&mut member.is_outdated, true) {
            info!(model = member.name(), "a file of the model has changed: the new version is loaded once it is idle");
        }
        self.replace_if_idle(judge, id);
    }

    /// Loads the new version of a model whose files have changed, unless it has jobs.
    pub(crate) fn replace_if_idle(self: &Arc<Self>, judge: &mut Judge, id: MemberId) {
        let Some(member) = judge.members.get(&id).filter(|member| member.is_outdated) else { return };
        let (seat, file) = (member.seat, &member.model.file);
        if judge.admission.busy(seat) > 0 || judge.admission.waiting(seat) > 0 {
            return;
        }
        let Some(model) = judge.shelf.model(file).cloned() else {
            if judge.fate(member) == Fate::Gone {
                self.file_is_gone(judge, id);
            }
            return;
        };
        self.replace(judge, id, model);
        let now = self.moment();
        judge.decisions.extend(judge.admission.unload(seat, now + self.orders().fleet.drain_timeout, now));
    }

    /// Makes a member what its model is by now, with a plan for that.
    fn replace(&self, judge: &mut Judge, id: MemberId, model: Model) {
        let wish = judge.wish_for(id);
        let plan = self.plan(judge, &model, wish.as_ref());
        let Some(member) = judge.members.get_mut(&id) else { return };
        member.replace(Arc::new(model), plan);
        info!(model = member.name(), "a new version of the model is loaded");
    }

    /// A process could not start because a file is another one by now. Jobs wait until the folders show what is there;
    /// where the worker ends nothing is looked at any more, and they end.
    pub(crate) fn awaits_scan(self: &Arc<Self>, judge: &mut Judge, id: MemberId) -> Vec<Effect> {
        let now = self.moment();
        let Some(member) = judge.members.get_mut(&id) else { return Vec::new() };
        if judge.door != Door::Open {
            return judge.admission.failed(member.seat, now);
        }
        member.awaits_scan = true;
        let pause = pause_before_scan(member.changed_starts);
        member.changed_starts = member.changed_starts.saturating_add(1);
        let effects = judge.admission.lost(member.seat, now);
        match pause {
            Duration::ZERO => judge.look_at_change(),
            pause => judge.work.push(Work::LookAfter(pause)),
        }
        self.at_work.notify_one();
        effects
    }

    /// After a scan that began when they waited for it: models with a new version load that, the others have failed, as all
    /// have where the scan itself failed.
    pub(crate) fn settle_scanned(self: &Arc<Self>, judge: &mut Judge, is_scanned: bool) {
        let waiting = judge.members.iter().filter(|(_, member)| member.awaits_scan);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            let is_gone = is_scanned && judge.members.get(&id).is_some_and(|member| judge.fate(member) == Fate::Gone);
            let Some(member) = judge.members.get_mut(&id) else { continue };
            member.awaits_scan = false;
            let (seat, tenure, file, now) = (member.seat, member.tenure, member.model.file.clone(), self.moment());
            if tenure == Tenure::Leaving {
                judge.decisions.extend(judge.admission.gone(seat, now));
                self.forget(judge, id);
                continue;
            }
            if is_gone {
                settle_all(self.dismiss_gone(judge, id));
                judge.decisions.extend(judge.admission.gone(seat, now));
                self.file_is_gone(judge, id);
                continue;
            }
            let Some(model) = judge.shelf.model(&file).filter(|_| is_scanned).cloned() else {
                // Where no scan was made, nothing is known of the file.
                if is_scanned {
                    member.file_is_bad();
                }
                judge.decisions.extend(judge.admission.failed(seat, now));
                continue;
            };
            self.replace(judge, id, model);
            self.reprofile(judge, id);
            judge.decisions.extend(judge.admission.gone(seat, now));
            self.want(judge, id, tenure);
        }
    }

    /// A model without a file is not offered: its jobs end, and it is looked for where somebody has named it. Jobs that wait
    /// for it come first: their load serves them or fails.
    fn file_is_gone(self: &Arc<Self>, judge: &mut Judge, id: MemberId) {
        let Some(member) = judge.members.get_mut(&id) else { return };
        if judge.admission.waiting(member.seat) > 0 {
            member.is_outdated = true;
            return;
        }
        let (tenure, name) = (member.tenure, member.name().to_owned());
        let reason = format!("the file of {name} is gone");
        if let Some(wish) = judge.wish_for(id) {
            judge.wished = Wished::Missing { wish, reason: reason.clone(), before: None };
        }
        if tenure == Tenure::Operator {
            judge.missing.push(Missing { name, reason: reason.clone() });
        }
        settle_all(self.let_go(judge, id, &reason));
    }

    /// Jobs that waited for a model whose file is gone are told what any other job is told.
    fn dismiss_gone(&self, judge: &mut Judge, id: MemberId) -> Vec<Settled> {
        let Some(member) = judge.members.get_mut(&id) else { return Vec::new() };
        let (seat, name) = (member.seat, member.name().to_owned());
        let waiting = judge.admission.dismiss(seat);
        let refusal = judge.unknown(&name);
        self.dismiss(judge, waiting, || refusal.clone())
    }
}

impl Judge {
    fn fate(&self, member: &Member) -> Fate {
        let file = &member.model.file;
        let Some(model) = self.shelf.model(file) else {
            let is_there = self.shelf.catalog.damaged().iter().any(|damaged| damaged.path == *file);
            return if is_there { Fate::Unusable } else { Fate::Gone };
        };
        let runs = member.engine.as_ref().map(|engine| &engine.spec.files);
        if runs.is_none_or(|files| *files == self.shelf.of(model)) { Fate::Same } else { Fate::Changed }
    }
}
