//! What the admission has decided, carried out: processes begin and end, jobs get their answers.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::lease::{Settled, settle_all};
use crate::model::managed::Member;
use crate::model::plan::need;
use crate::model::process::Engine;
use crate::owner::Shared;
use crate::refusal::refusal;
use crate::state::Judge;
use crate::state::work::Work;
use auxot_placement::{Misfit, Placement, bytes_text};
use auxot_scheduler::{Effect, ModelId};

impl Shared {
    /// Carries out effects, those that the judge has put aside, and what follows from them.
    pub(crate) fn carry_out(self: &Arc<Self>, judge: &mut Judge, effects: Vec<Effect>) -> Vec<Settled> {
        let mut effects = VecDeque::from(effects);
        let mut settled = Vec::new();
        loop {
            effects.extend(std::mem::take(&mut judge.decisions));
            let Some(effect) = effects.pop_front() else { return settled };
            match effect {
                Effect::Admit { ticket, .. } => settled.extend(self.admit(judge, ticket)),
                Effect::Refuse { ticket, reason } => {
                    let waits_for = judge.waiters.get(&ticket).map(|waiter| waiter.member);
                    if let Some(member) = waits_for.and_then(|id| judge.members.get(&id)) {
                        let why = refusal(member, reason);
                        settled.extend(self.dismiss(judge, vec![ticket], || why.clone()));
                    }
                }
                Effect::Load { model, placement } => self.load(judge, model, *placement),
                Effect::Drain { model, until, to_make_room_for } => {
                    let limit = until.saturating_sub(self.moment());
                    drains(judge, model, limit, to_make_room_for);
                }
                Effect::Stop { model } => {
                    ends(judge, model);
                    let engine = member_of(judge, model).and_then(|member| member.engine.as_mut());
                    if let Some(engine) = engine {
                        engine.stop(&self.devices);
                    }
                }
                Effect::TooLarge { model, misfit } => effects.extend(self.shrink(judge, model, &misfit)),
                Effect::NoRoom { model, misfit } => {
                    if let Some(member) = member_of(judge, model) {
                        warn!(model = member.name(), reason = %misfit, "no room for a model that is to be loaded; it waits");
                        member.misfit = Some(misfit);
                    }
                }
            }
        }
    }

    /// Carries out effects and what was put aside, gives the lock back, and only then answers.
    pub(crate) fn conclude(self: &Arc<Self>, mut judge: MutexGuard<'_, Judge>, effects: Vec<Effect>) {
        let settled = self.carry_out(&mut judge, effects);
        drop(judge);
        settle_all(settled);
    }

    /// Starts a process for a model, in its place.
    fn load(&self, judge: &mut Judge, seat: ModelId, placement: Placement) {
        let Some(id) = judge.seats.get(&seat).copied() else { return };
        let subject = self.subject(judge, id);
        let Some(member) = judge.members.get_mut(&id) else { return };
        let spec = member.plan.spec();
        let mut placed = spec.clone();
        placed.layout = placement.arguments();
        placed.env.extend(placement.environment());
        let places: Vec<String> = placement
            .bytes()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(at, bytes)| format!("{at} {}", bytes_text(bytes)))
            .collect();
        info!(
            model = member.name(),
            slots = spec.slots,
            ctx_per_slot = spec.ctx_per_slot,
            place = places.join(", "),
            "model is being loaded"
        );
        let (handle, driver) = self.engines.create(placed.clone());
        let status = handle.status();
        let mut engine = Engine::new(handle, &member.plan, placement, subject);
        let is_forewarned = member.forewarned.take().is_some_and(|sent_back| sent_back == spec);
        let is_known = is_forewarned || engine.is_measured(&self.experience);
        let dry_run = if is_known { None } else { self.engines.dry_run(placed) };
        let generation = member.generation + 1;
        judge.work.push(Work::Drive { member: id, generation, status, driver });
        match dry_run {
            Some(dry_run) => {
                let (ended, end) = oneshot::channel();
                engine.dry_run = Some(end);
                judge.work.push(Work::DryRun { member: id, generation, dry_run, ended });
            }
            None => engine.handle.start(),
        }
        member.load(engine);
    }

    /// A model that can never fit in its size: the largest size that counts as fitting is next, if there is one.
    fn shrink(&self, judge: &mut Judge, seat: ModelId, misfit: &Misfit) -> Vec<Effect> {
        let Some(id) = judge.seats.get(&seat).copied() else { return Vec::new() };
        let Judge { members, admission, .. } = judge;
        let Some(member) = members.get_mut(&id) else { return Vec::new() };
        let (model, ask) = (&member.model, member.plan.ask);
        if !member.plan.dial.reckon(|size| admission.could_hold(seat, need(model, &ask, *size))) {
            if member.misfit.replace(misfit.clone()).is_none() {
                warn!(model = member.name(), reason = %misfit, "model does not fit in any size");
            }
            return admission.turn_away(seat, misfit);
        }
        let size = member.plan.dial.size();
        info!(model = member.name(), slots = size.slots, ctx_per_slot = size.ctx, reason = %misfit, "model gets a size that fits");
        self.reprofile(judge, id);
        judge.admission.tick(self.moment())
    }
}

fn member_of(judge: &mut Judge, seat: ModelId) -> Option<&mut Member> {
    let id = judge.seats.get(&seat)?;
    judge.members.get_mut(id)
}

fn ends(judge: &Judge, seat: ModelId) {
    let to_make_room_for = judge.admission.makes_room_for(seat).and_then(|other| judge.name_of(other));
    info!(model = judge.name_of(seat), to_make_room_for, "model is unloaded");
}

fn drains(judge: &Judge, seat: ModelId, limit: Duration, to_make_room_for: Option<ModelId>) {
    info!(
        model = judge.name_of(seat),
        from = "ready",
        to = "draining",
        limit_s = limit.as_secs_f64(),
        to_make_room_for = to_make_room_for.and_then(|other| judge.name_of(other)),
        "model"
    );
}
