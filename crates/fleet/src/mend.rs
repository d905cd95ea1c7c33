//! The ways out of a failure: the operator's word, a changed file (of the model or of the engine), memory given back.
//!
//! A changed wish is one more, see `Member::reshape`. Whichever it is, the model gets a new plan and a new instance,
//! so that nothing of the failure counts against it.

use std::sync::Arc;

use auxot_instance::State;
use tokio::time::Instant;
use tracing::info;

use crate::identity::FileId;
use crate::judge::{Door, Judge, MemberId, Wished};
use crate::member::Member;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::work::Work;

impl Shared {
    /// Gives a model another chance at once: one that has failed, or waits for its next try.
    pub(crate) fn reset(&self, model: Option<&str>) -> Result<(), Refusal> {
        let mut judge = self.lock();
        let id = judge.find(model)?;
        self.reset_one(&mut judge, id);
        drop(judge);
        self.changed();
        Ok(())
    }

    pub(crate) fn reset_failed(&self) -> usize {
        let mut judge = self.lock();
        let ids: Vec<_> = judge.members.keys().copied().collect();
        let reset = ids.into_iter().filter(|id| self.reset_one(&mut judge, *id)).count();
        drop(judge);
        self.changed();
        reset
    }

    /// Whether there was something to mend.
    fn reset_one(&self, judge: &mut Judge, id: MemberId) -> bool {
        match judge.members.get(&id).map(|member| &member.status.state) {
            Some(State::Failed { .. }) => self.revive(judge, id, "reset"),
            Some(State::BackingOff { .. }) => {
                if let Some(member) = judge.members.get(&id) {
                    member.handle.reset();
                }
            }
            _ => return false,
        }
        true
    }

    /// Looks after those that have failed: whether their files have changed, whether it is time to try again.
    pub(crate) fn look_after_failed(&self) {
        let mut judge = self.lock();
        if judge.door != Door::Open {
            return;
        }
        let now = Instant::now().into_std();
        let retry = self.config.failed_retry;
        let due = |member: &Member| match &member.status.state {
            State::Failed { cause } => {
                cause.class.may_pass() && now.saturating_duration_since(member.status.since) >= retry
            }
            _ => false,
        };
        let failed: Vec<(MemberId, bool)> =
            judge.staying().filter(|(_, member)| member.has_failed()).map(|(id, member)| (id, due(member))).collect();
        for (id, due) in failed {
            if due {
                self.revive(&mut judge, id, "what was missing may be there by now");
            } else {
                judge.inspect(id);
            }
        }
        drop(judge);
        self.at_work.notify_one();
    }

    /// Takes in what the files of a failed model are now.
    pub(crate) fn inspected(&self, id: MemberId, now: Vec<FileId>) {
        let mut judge = self.lock();
        let Some(member) = judge.members.get_mut(&id).filter(|member| member.has_failed()) else { return };
        if now == *member.plan.key.files() || member.changed.as_ref() == Some(&now) {
            return;
        }
        member.changed = Some(now);
        judge.look_now();
        drop(judge);
        self.at_work.notify_one();
    }

    /// After a look through the folders: models whose files have changed, and can be used again, are.
    pub(crate) fn revive_changed(&self, judge: &mut Judge) {
        let changed = judge.staying().filter(|(_, member)| member.has_failed() && member.changed.is_some());
        for id in changed.map(|(id, _)| id).collect::<Vec<_>>() {
            let Some(member) = judge.members.get_mut(&id) else { continue };
            // Still no model, perhaps half written: the next change is looked at again.
            let file = &member.model.file;
            let Some(model) = judge.shelf.catalog.models().iter().find(|model| model.file == *file) else { continue };
            member.model = Arc::new(model.clone());
            self.revive(judge, id, "a file of it has changed");
        }
    }

    /// A new plan and a new instance for a member that has failed.
    fn revive(&self, judge: &mut Judge, id: MemberId, why: &str) {
        let Some(model) = judge.members.get(&id).map(|member| Arc::clone(&member.model)) else { return };
        let wish = match &judge.wished {
            Wished::Member { wish, .. } => Some(wish.clone()),
            Wished::Nothing | Wished::Missing { .. } => None,
        };
        let plan = self.plan(judge, &model, wish.as_ref());
        if let Some(member) = judge.members.get_mut(&id).filter(|member| member.has_failed()) {
            info!(model = member.name(), why, "a failed model is tried again");
            member.begin_anew(plan);
            judge.work.push(Work::Reshape { member: id });
        }
    }
}

impl Judge {
    /// Leaves it to the staff to look at the files of a member.
    pub(crate) fn inspect(&mut self, id: MemberId) {
        if let Some(member) = self.members.get(&id) {
            self.work.push(Work::Inspect { member: id, files: member.plan.key.paths().to_owned() });
        }
    }
}
