//! Who is a member: how models come in, by the operator's list or the router's wish, and how they go.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auxot_catalog::Model;
use auxot_instance::{InstanceHandle, Spec};
use tracing::{error, info};

use crate::acquire::{Settled, settle_all};
use crate::judge::{Door, Judge, MemberId, Missing, Wished};
use crate::member::{Member, Shape, Tenure};
use crate::plan::Plan;
use crate::remembered::Key;
use crate::shared::Shared;
use crate::wish::{Sizing, Wish, size};
use crate::work::Work;

impl Shared {
    /// Takes in the operator's list, and the router's wish as of the last run.
    pub(crate) fn found(&self, wish: Option<Wish>) {
        let mut judge = self.lock();
        for name in &self.config.autoload {
            if let Err(reason) = self.enrol(&mut judge, name, Tenure::Operator, wish.as_ref()) {
                error!(reason, "cannot load a model of the autoload list");
                judge.missing.push(Missing { name: name.clone(), reason });
            }
        }
        if let Some(wish) = wish {
            self.adopt(&mut judge, wish);
            for gap in judge.gaps() {
                info!(gap, "the router's last policy cannot be honoured yet");
            }
        }
    }

    /// Takes in the router's wish: its model becomes the primary one, in the size that it wishes for.
    pub(crate) fn adopt(&self, judge: &mut Judge, wish: Wish) {
        if judge.door != Door::Open {
            return;
        }
        if wish.model.is_empty() {
            judge.wished = Wished::Nothing;
            return;
        }
        judge.wished = match self.enrol(judge, &wish.model, Tenure::Router, Some(&wish)) {
            Ok(id) => {
                self.resize(judge, id, &wish);
                Wished::Member { id, wish }
            }
            Err(reason) => Wished::Missing { wish, reason, before: judge.wished.member() },
        };
    }

    /// Tries once more to take in what was not here.
    pub(crate) fn retry_missing(&self, judge: &mut Judge) {
        let wish = match &judge.wished {
            Wished::Nothing => None,
            Wished::Member { wish, .. } | Wished::Missing { wish, .. } => Some(wish.clone()),
        };
        for missing in std::mem::take(&mut judge.missing) {
            if let Err(reason) = self.enrol(judge, &missing.name, Tenure::Operator, wish.as_ref()) {
                judge.missing.push(Missing { reason, ..missing });
            }
        }
        if let (Wished::Missing { .. }, Some(wish)) = (&judge.wished, wish) {
            self.adopt(judge, wish);
        }
    }

    /// Makes a model a member, unless it is one.
    fn enrol(&self, judge: &mut Judge, name: &str, tenure: Tenure, wish: Option<&Wish>) -> Result<MemberId, String> {
        let shelf = Arc::clone(&judge.shelf);
        let model = shelf.catalog.resolve(name).map_err(|error| error.to_string())?;
        if let Some((id, member)) = judge.members.iter_mut().find(|(_, member)| member.model.file == model.file) {
            member.stay(tenure);
            return Ok(*id);
        }
        let plan = self.plan(judge, model, wish);
        let spec = plan.spec();
        info!(model = %model.name, slots = spec.slots, ctx_per_slot = spec.ctx_per_slot, file = %model.file.display(), "model enrolled");
        let (handle, driver) = self.engines.create(spec);
        let (status, model) = (handle.status(), Arc::new(model.clone()));
        let member = Member::new(model, tenure, plan, handle, self.config.max_waiting);
        member.handle.start();
        let generation = member.generation;
        let id = judge.add(member);
        judge.work.push(Work::Drive { member: id, generation, status, driver });
        Ok(id)
    }

    /// What a model is to run as.
    pub(crate) fn plan(&self, judge: &Judge, model: &Model, wish: Option<&Wish>) -> Plan {
        // A policy speaks of its own model; the others have the operator's word only.
        let wish =
            wish.filter(|wish| judge.shelf.catalog.resolve(&wish.model).is_ok_and(|wished| wished.file == model.file));
        let operator = Sizing { slots: self.engine.slots, ctx_size: self.engine.ctx_size };
        let (slots, ctx_per_slot) = size(operator, wish, model.ctx_train);
        let wanted = Spec {
            model: model.name.clone(),
            file: model.file.clone(),
            mmproj: model.mmproj.clone(),
            embedding: model.kind == auxot_catalog::Kind::Embedding,
            slots,
            ctx_per_slot: Some(ctx_per_slot),
            layout: Vec::new(),
            kv_type: None,
            extra_args: Vec::new(),
            env: Vec::new(),
        };
        let devices = self.devices.borrow().devices.iter().map(|device| device.id.clone()).collect();
        // All that its process depends on: the program, the model with its shards, its projector.
        let program = self.engines.program();
        let paths = [&program].into_iter().chain(&model.files).chain(&model.mmproj);
        let files = paths.map(|path| (path.clone(), judge.shelf.file(path))).collect();
        let key = Key::new(files, self.engines.line(&wanted), devices);
        let found = self.remembered.recall(&key, SystemTime::now());
        Plan::new(wanted, key, found)
    }

    /// Brings a member to the size that a wish asks for, if it has another.
    fn resize(&self, judge: &mut Judge, id: MemberId, wish: &Wish) {
        let Some(model) = judge.members.get(&id).map(|member| Arc::clone(&member.model)) else { return };
        let plan = self.plan(judge, &model, Some(wish));
        if judge.members.get_mut(&id).is_some_and(|member| member.reshape(plan)) {
            judge.work.push(Work::Reshape { member: id });
        }
    }

    /// Lets the models of earlier policies go once that of the newest serves: their running jobs end within the drain
    /// time, those that wait for any model wait for the new one.
    pub(crate) fn retire(self: &Arc<Self>, judge: &mut Judge) -> Vec<Settled> {
        let serves = |id: &MemberId| judge.members.get(id).is_some_and(|member| member.ready().is_some());
        let Some(wished) = judge.wished.member().filter(serves) else { return Vec::new() };
        let earlier = judge.members.iter().filter(|(id, member)| member.tenure == Tenure::Router && **id != wished);
        let earlier: Vec<MemberId> = earlier.map(|(id, _)| *id).collect();
        let mut settled = Vec::new();
        for id in earlier {
            if let Some(member) = judge.members.get_mut(&id) {
                info!(model = member.name(), "model of an earlier policy is let go");
                member.tenure = Tenure::Leaving;
                member.handle.stop(self.config.drain_timeout);
            }
            settled.extend(self.move_waiters(judge, id, wished));
        }
        settled
    }

    /// What is to be done next about a member that is changing.
    pub(crate) fn next_step(self: &Arc<Self>, id: MemberId) -> Step {
        let judge = self.lock();
        let Some(member) = judge.members.get(&id) else { return Step::Over };
        match &member.shape {
            Shape::Settled => Step::Over,
            Shape::Trying { .. } => Step::Wait,
            Shape::Ending { .. } => {
                let next = member.plan.spec();
                info!(
                    model = member.name(),
                    slots = next.slots,
                    ctx_per_slot = next.ctx_per_slot,
                    "model gets another size"
                );
                Step::End { handle: member.handle.clone(), generation: member.generation }
            }
        }
    }

    /// Puts the next instance in the place of the one that has ended, and starts it; or not, if nothing may be
    /// started any more.
    pub(crate) fn begin(self: &Arc<Self>, id: MemberId, ended: u64) {
        let mut judge = self.lock();
        let open = judge.door == Door::Open;
        let Some(member) = judge.members.get_mut(&id).filter(|member| member.generation == ended) else { return };
        let Shape::Ending { before } = &mut member.shape else { return };
        let mut settled = Vec::new();
        if open && member.tenure != Tenure::Leaving {
            let (next, before) = (member.plan.spec(), before.take());
            let (handle, driver) = self.engines.create(next.clone());
            let status = handle.status();
            member.replace(next, handle);
            member.shape = Shape::Trying { before };
            member.handle.start();
            let generation = member.generation;
            judge.work.push(Work::Drive { member: id, generation, status, driver });
        } else {
            member.shape = Shape::Settled;
            let waiting = member.queue.dismiss();
            settled = self.dismiss(&mut judge, id, waiting);
        }
        let gone = judge.forget(id);
        drop(judge);
        settle_all(settled);
        drop(gone);
        self.changed();
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        self.config.drain_timeout
    }
}

/// What is to be done about a member that is changing.
pub(crate) enum Step {
    /// It is as it should be.
    Over,
    /// The new process has not told yet how it fares.
    Wait,
    /// The present process is to be ended.
    End { handle: InstanceHandle, generation: u64 },
}

impl Judge {
    /// Takes a member out that was let go and whose process has ended.
    pub(crate) fn forget(&mut self, id: MemberId) -> Option<Member> {
        let member = self.members.get(&id)?;
        let gone = member.tenure == Tenure::Leaving && member.is_settled() && member.is_gone();
        gone.then(|| self.members.remove(&id)).flatten()
    }
}
