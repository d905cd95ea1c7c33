//! The ways out of a failure: the operator's word, a changed file (of the model or of the engine), and time, for whatever
//! may pass: memory that was short, a driver that was lost, crashes.
//!
//! A changed wish is one more, see `Member::reshape`. Whichever it is, the model gets a new plan and a new instance,
//! so that nothing of the failure counts against it.

use std::sync::Arc;

use auxot_engine::{FileId, State};
use tokio::time::Instant;
use tracing::info;

use crate::model::managed::MemberId;
use crate::model::managed::{Attempt, Member, Tenure};
use crate::model::wish::Wish;
use crate::owner::Shared;
use crate::refusal::Refusal;
use crate::state::work::Work;
use crate::state::{Door, Judge, Wished};
use auxot_scheduler::Life;

impl Shared {
    /// Gives a model another chance at once: one that has failed, or waits for its next try.
    pub(crate) fn reset(self: &Arc<Self>, model: Option<&str>) -> Result<(), Refusal> {
        let mut judge = self.lock();
        let id = judge.find(model)?;
        self.reset_one(&mut judge, id);
        self.conclude(judge, Vec::new());
        self.changed();
        Ok(())
    }

    pub(crate) fn reset_failed(self: &Arc<Self>) -> usize {
        let mut judge = self.lock();
        let ids: Vec<_> = judge.members.keys().copied().collect();
        let reset = ids.into_iter().filter(|id| self.reset_one(&mut judge, *id)).count();
        self.conclude(judge, Vec::new());
        self.changed();
        reset
    }

    /// Whether there was something to mend.
    fn reset_one(self: &Arc<Self>, judge: &mut Judge, id: MemberId) -> bool {
        let Some(member) = judge.members.get(&id) else { return false };
        match &member.engine {
            Some(engine) if matches!(engine.status.state, State::BackingOff { .. }) => engine.handle.reset(),
            None if judge.has_failed(member) => self.revive(judge, id, "reset"),
            _ => return false,
        }
        true
    }

    /// Looks after those that have failed: whether their files have changed, whether it is time to try again.
    pub(crate) fn look_after_failed(self: &Arc<Self>) {
        let mut judge = self.lock();
        if judge.door != Door::Open {
            return;
        }
        let now = Instant::now().into_std();
        let retry = self.orders().fleet.failed_retry;
        let due = |member: &Member| match (member.cause(), &member.last) {
            (Some(cause), Some(last)) => cause.class.may_pass() && now.saturating_duration_since(last.since) >= retry,
            _ => false,
        };
        let failed = judge.staying().filter(|(_, member)| judge.has_failed(member));
        let failed: Vec<(MemberId, bool)> = failed.map(|(id, member)| (id, due(member))).collect();
        for (id, due) in failed {
            if due {
                self.revive(&mut judge, id, "what was missing may be there by now");
            } else {
                judge.inspect(id);
            }
        }
        self.conclude(judge, Vec::new());
        self.at_work.notify_one();
    }

    /// Takes in what the files of a failed model are now.
    pub(crate) fn inspected(&self, id: MemberId, now: Vec<FileId>) {
        let mut judge = self.lock();
        if !judge.members.get(&id).is_some_and(|member| judge.has_failed(member)) {
            return;
        }
        let Some(member) = judge.members.get_mut(&id) else { return };
        if now == *member.plan.key.files() || member.changed.as_ref() == Some(&now) {
            return;
        }
        member.changed = Some(now);
        judge.look_now();
        drop(judge);
        self.at_work.notify_one();
    }

    /// After a look through the folders: models whose files have changed, and can be used again, are.
    pub(crate) fn revive_changed(self: &Arc<Self>, judge: &mut Judge) {
        let changed = judge.staying().filter(|(_, member)| judge.has_failed(member) && member.changed.is_some());
        for id in changed.map(|(id, _)| id).collect::<Vec<_>>() {
            let Some(member) = judge.members.get_mut(&id) else { continue };
            // Still no model, perhaps half written: the next change is looked at again.
            let file = &member.model.file;
            let Some(model) = judge.shelf.model(file) else { continue };
            member.model = Arc::new(model.clone());
            self.revive(judge, id, "a file of it has changed");
        }
    }

    /// A new plan and a new instance for a member that has failed.
    fn revive(self: &Arc<Self>, judge: &mut Judge, id: MemberId, why: &str) {
        let Some(model) = judge.members.get(&id).map(|member| Arc::clone(&member.model)) else { return };
        let wish = judge.wish_for(id);
        let plan = self.plan(judge, &model, wish.as_ref());
        let Some(member) = judge.members.get_mut(&id) else { return };
        info!(model = member.name(), why, "a failed model is tried again");
        (member.plan, member.attempt, member.changed) = (plan, Attempt::Settled, None);
        let (seat, tenure, now) = (member.seat, member.tenure, self.moment());
        self.reprofile(judge, id);
        judge.decisions.extend(judge.admission.revive(seat, now));
        self.want(judge, id, tenure);
    }

    /// After a look through the folders: models that do not run are known as they are now, and those whose file is gone
    /// and that nobody has listed are forgotten.
    pub(crate) fn renew(self: &Arc<Self>, judge: &mut Judge) {
        let resting = judge
            .members
            .iter()
            .filter(|(_, member)| member.engine.is_none() && matches!(judge.admission.life(member.seat), Life::Absent));
        for id in resting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.refresh(judge, id);
        }
    }

    /// Makes a model that does not run what it is by now: its file may be another one, and it is as large as is wanted again.
    pub(crate) fn refresh(self: &Arc<Self>, judge: &mut Judge, id: MemberId) {
        let Some(member) = judge.members.get(&id) else { return };
        let shelf = Arc::clone(&judge.shelf);
        let file = &member.model.file;
        match shelf.model(file) {
            Some(model) if Arc::ptr_eq(&model.header, &member.model.header) && !member.plan.dial.is_reckoned() => {}
            Some(model) => {
                let wish = judge.wish_for(id);
                let plan = self.plan(judge, model, wish.as_ref());
                let Some(member) = judge.members.get_mut(&id) else { return };
                (member.model, member.plan, member.attempt) = (Arc::new(model.clone()), plan, Attempt::Settled);
                self.reprofile(judge, id);
            }
            None if member.tenure == Tenure::Demand && judge.admission.waiting(member.seat) == 0 => {
                info!(model = member.name(), "model is gone from its folder");
                if let Some(member) = judge.members.get_mut(&id) {
                    member.tenure = Tenure::Leaving;
                }
                self.forget(judge, id);
            }
            None => {}
        }
    }
}

impl Judge {
    /// Whether a member has failed, nothing is left of its process, and nothing is being done about it.
    pub(crate) fn has_failed(&self, member: &Member) -> bool {
        matches!(self.admission.life(member.seat), Life::Failed) && member.engine.is_none()
    }

    /// The router's wish, if it is for this member.
    pub(crate) fn wish_for(&self, wanted: MemberId) -> Option<Wish> {
        match &self.wished {
            Wished::Member { id, wish } | Wished::Missing { before: Some((id, wish)), .. } if *id == wanted => {
                Some(wish.clone())
            }
            Wished::Member { .. } | Wished::Nothing | Wished::Missing { .. } => None,
        }
    }

    /// The router's model and the wish that it was loaded for.
    pub(crate) fn present_wish(&self) -> Option<(MemberId, Wish)> {
        let id = self.wished.member()?;
        Some((id, self.wish_for(id)?))
    }

    /// Leaves it to the staff to look at the files of a member.
    pub(crate) fn inspect(&mut self, id: MemberId) {
        if let Some(member) = self.members.get(&id) {
            self.work.push(Work::Inspect { member: id, files: member.plan.key.paths().to_owned() });
        }
    }
}
