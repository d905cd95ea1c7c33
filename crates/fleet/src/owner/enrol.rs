//! Who is a member: how models come in, by the operator's list or the router's wish, and how they go.

use std::sync::Arc;
use std::time::SystemTime;

use auxot_catalog::{Model, Task};
use auxot_engine::Spec;
use tracing::{error, info, warn};

use crate::config::table_warnings;
use crate::model::managed::MemberId;
use crate::model::managed::{Member, Tenure};
use crate::model::plan::need;
use crate::model::plan::{Plan, task_of};
use crate::model::process::After;
use crate::model::remembered::Key;
use crate::model::wish::{MOST_SLOTS, Wish, ask};
use crate::outlook::Outlook;
use crate::owner::Shared;
use crate::state::{Door, Judge, Missing, Wished};
use auxot_scheduler::{Life, Profile, Want};

impl Shared {
    /// Takes in the operator's list, and the router's wish as of the last run.
    pub(crate) fn found(self: &Arc<Self>, wish: Option<Wish>) {
        let mut judge = self.lock();
        self.tell_of_tables(&judge);
        judge.tell_of_aliases();
        for name in &self.orders().fleet.autoload {
            match self.enrol(&mut judge, name, Tenure::Operator, wish.as_ref()) {
                Ok(id) => self.want(&mut judge, id, Tenure::Operator),
                Err(reason) => {
                    error!(reason, "cannot load a model of the autoload list");
                    judge.missing.push(Missing { name: name.clone(), reason });
                }
            }
        }
        if let Some(wish) = wish {
            self.adopt(&mut judge, wish);
            for gap in judge.gaps() {
                info!(gap, "the router's last policy cannot be honoured yet");
            }
        }
        // Nobody waits yet, so nobody is to be answered.
        self.conclude(judge, Vec::new());
    }

    /// Warns of tables in the settings that change nothing.
    pub(crate) fn tell_of_tables(&self, judge: &Judge) {
        for setting in table_warnings(&self.orders().fleet, &judge.shelf.catalog) {
            warn!(setting, "a table for single models changes nothing");
        }
    }

    /// Takes in the router's wish: its model becomes the primary one, in the size that it wishes for.
    pub(crate) fn adopt(self: &Arc<Self>, judge: &mut Judge, wish: Wish) {
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
                self.want(judge, id, Tenure::Router);
                Wished::Member { id, wish }
            }
            Err(reason) => Wished::Missing { wish, reason, before: judge.present_wish() },
        };
    }

    /// Tries once more to take in what was not here.
    pub(crate) fn retry_missing(self: &Arc<Self>, judge: &mut Judge) {
        let wish = match &judge.wished {
            Wished::Nothing => None,
            Wished::Member { wish, .. } | Wished::Missing { wish, .. } => Some(wish.clone()),
        };
        for missing in std::mem::take(&mut judge.missing) {
            match self.enrol(judge, &missing.name, Tenure::Operator, wish.as_ref()) {
                Ok(id) => self.want(judge, id, Tenure::Operator),
                Err(reason) => judge.missing.push(Missing { reason, ..missing }),
            }
        }
        if let (Wished::Missing { .. }, Some(wish)) = (&judge.wished, wish) {
            self.adopt(judge, wish);
        }
    }

    /// Takes in the first model of the folders, where there is no other that stays and jobs may name any.
    pub(crate) fn take_any(self: &Arc<Self>) -> bool {
        let mut judge = self.lock();
        if judge.staying().next().is_some() {
            return true;
        }
        let taken = self.enrol_any(&mut judge).is_some();
        drop(judge);
        self.changed();
        taken
    }

    /// Where every model that was named has failed, another one of the folders is what a job without a name means, if jobs may
    /// name any. A failure of the program itself would meet that one too.
    pub(crate) fn stand_in(self: &Arc<Self>, judge: &mut Judge) {
        let of_the_program =
            |(_, member): (_, &Member)| member.cause().is_some_and(|cause| cause.class.is_of_the_program());
        if judge.door != Door::Open || judge.outlook() != Outlook::Failed || judge.staying().any(of_the_program) {
            return;
        }
        if let Some(member) = self.enrol_any(judge).and_then(|id| judge.members.get(&id)) {
            warn!(model = member.name(), "every model that was named has failed: another one of the folders is served");
        }
    }

    /// Takes in the first model of the folders that can chat and is not a member, or is about to go.
    pub(crate) fn enrol_any(self: &Arc<Self>, judge: &mut Judge) -> Option<MemberId> {
        let shelf = Arc::clone(&judge.shelf);
        let known = |model: &Model| judge.staying().any(|(_, member)| member.model.file == model.file);
        let first = shelf.catalog.models().iter().find(|model| model.task == Task::Chat && !known(model));
        let name = first.filter(|_| self.orders().fleet.on_demand)?.name.clone();
        self.enrol(judge, &name, Tenure::Demand, None).ok()
    }

    /// Makes a model a member, unless it is one. Whether it is wanted is another question.
    pub(crate) fn enrol(
        self: &Arc<Self>,
        judge: &mut Judge,
        name: &str,
        tenure: Tenure,
        wish: Option<&Wish>,
    ) -> Result<MemberId, String> {
        let shelf = Arc::clone(&judge.shelf);
        let model = shelf.catalog.resolve(name).map_err(|error| error.to_string())?;
        if !model.task.is_served() {
            return Err(format!("cannot serve {}: a {} model has no task here", model.name, model.arch));
        }
        let known = judge.members.iter_mut().find(|(_, member)| member.model.file == model.file);
        let id = if let Some((id, member)) = known {
            member.stay(tenure);
            *id
        } else {
            let plan = self.plan(judge, model, wish);
            let spec = plan.spec();
            info!(model = %model.name, slots = spec.slots, ctx_per_slot = spec.ctx_per_slot, file = %model.file.display(), "model enrolled");
            let need = Arc::new(need(model, &plan.ask, plan.dial.size()));
            let seat = judge.admission.add(Profile::new(model.name.as_str(), need));
            let id = judge.add(Member::new(Arc::new(model.clone()), tenure, plan, seat));
            self.reprofile(judge, id);
            id
        };
        Ok(id)
    }

    /// Has a member loaded as its tenure asks for.
    pub(crate) fn want(self: &Arc<Self>, judge: &mut Judge, id: MemberId, tenure: Tenure) {
        let now = self.moment();
        let want = match tenure {
            Tenure::Operator => Want::IfRoom(now),
            Tenure::Router => Want::Since(now),
            Tenure::Demand | Tenure::Leaving => Want::Nobody,
        };
        // One that gives way to another size of itself comes back by itself.
        let stays = |member: &&Member| member.engine.as_ref().is_none_or(|engine| engine.after.is_none());
        let Some(seat) = judge.members.get(&id).filter(stays).map(|member| member.seat) else { return };
        judge.decisions.extend(judge.admission.want(seat, want, now));
    }

    /// What a model is to run as.
    pub(crate) fn plan(&self, judge: &Judge, model: &Model, wish: Option<&Wish>) -> Plan {
        // A policy speaks of its own model; the others have the operator's word only.
        let wish =
            wish.filter(|wish| judge.shelf.catalog.resolve(&wish.model).is_ok_and(|wished| wished.file == model.file));
        let own = self.config_of(judge, model);
        let engine = &self.orders().engine;
        let ask = ask(engine, &own, wish, model);
        let (slots, ctx_per_slot) = (ask.slots, ask.ctx);
        let wanted = Spec {
            model: model.name.clone(),
            file: model.file.clone(),
            files: judge.shelf.of(model),
            mmproj: model.mmproj.clone(),
            task: task_of(model),
            slots,
            ctx_per_slot: Some(ctx_per_slot),
            layout: Vec::new(),
            kv_type: own.kv_type.map(|kind| kind.name().to_owned()),
            extra_args: own.args.clone(),
            env: own.env.clone().into_iter().collect(),
        };
        let devices = self.devices.now().devices.iter().map(|device| device.id.clone()).collect();
        // All that its process depends on: the program, the model with its shards, its projector.
        let program = self.engines.program();
        let paths = [&program].into_iter().chain(&model.files).chain(&model.mmproj);
        let files = paths.map(|path| (path.clone(), judge.shelf.file(path))).collect();
        // Where it may lie is as much a part of its command line as what it is told.
        let bounds = format!("devices {:?} layers {:?}", own.devices, own.gpu_layers.unwrap_or(engine.gpu_layers));
        let key = Key::new(files, format!("{} {bounds}", self.engines.line(&wanted)), devices);
        let found = self.remembered.recall(&key, SystemTime::now());
        Plan::new(wanted, ask, key, found)
    }

    /// Brings a member to the size that a wish asks for, if it has another.
    fn resize(self: &Arc<Self>, judge: &mut Judge, id: MemberId, wish: &Wish) {
        let Some(model) = judge.members.get(&id).map(|member| Arc::clone(&member.model)) else { return };
        let mut wish = wish.clone();
        // What no engine can do is a gap, and no reason for another size.
        if wish.slots.is_some_and(|slots| slots > MOST_SLOTS) {
            wish.slots = judge.members.get(&id).map(|member| member.plan.dial.wanted().slots);
        }
        let plan = self.plan(judge, &model, Some(&wish));
        self.reshape(judge, id, plan);
    }

    /// Gives a member another plan. If it runs in another way than that, its jobs end within the drain time, and it is
    /// loaded anew; jobs that arrive meanwhile wait for the new engine.
    pub(crate) fn reshape(self: &Arc<Self>, judge: &mut Judge, id: MemberId, plan: Plan) {
        let now = self.moment();
        let Some(member) = judge.members.get_mut(&id).filter(|member| !member.plan.is_for(&plan)) else { return };
        let seat = member.seat;
        if member.reshape(plan) {
            let next = member.plan.spec();
            info!(
                model = member.name(),
                slots = next.slots,
                ctx_per_slot = next.ctx_per_slot,
                "model gets another size"
            );
            // One that goes for another comes back as what it is to be then, if somebody wants it.
            if judge.admission.makes_room_for(seat).is_some() {
                return;
            }
            if let Some(engine) = &mut member.engine {
                engine.after = Some(After::Anew);
            }
            judge.decisions.extend(judge.admission.unload(seat, now + self.orders().fleet.drain_timeout, now));
            return;
        }
        let goes = member.engine.as_mut().is_some_and(|engine| engine.after.take().is_some());
        let (has_failed, tenure) = (matches!(judge.admission.life(seat), Life::Failed), member.tenure);
        self.reprofile(judge, id);
        if has_failed {
            judge.decisions.extend(judge.admission.revive(seat, now));
        }
        if has_failed || goes {
            self.want(judge, id, tenure);
        }
    }
}
