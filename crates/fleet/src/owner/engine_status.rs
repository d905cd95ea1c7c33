//! The news of a process, taken in: what it means for its model, for those who wait, and for all others.

use std::sync::Arc;

use tracing::{info, warn};

use crate::lease::{Settled, settle_all};
use crate::model::managed::MemberId;
use crate::model::managed::{News, Tenure};
use crate::model::plan::need;
use crate::model::process::After;
use crate::model::release::Release;
use crate::model::size_search::Size;
use crate::owner::Shared;
use crate::refusal::Refusal;
use crate::report::metrics;
use crate::state::Judge;
use crate::state::work::Work;
use auxot_scheduler::{Effect, Life};

/// Says that a model takes jobs, and what its engine made of the numbers that it was started with.
fn says_loaded(judge: &Judge, id: MemberId) {
    let Some(member) = judge.members.get(&id) else { return };
    if !matches!(judge.admission.life(member.seat), Life::Loading { .. }) {
        return;
    }
    if let Some(ready) = member.ready() {
        let (slots, ctx_per_slot) = (ready.props.total_slots, ready.props.n_ctx);
        info!(model = member.name(), slots, ctx_per_slot, load_s = ready.load_time.as_secs_f64(), "model is loaded");
    }
    if let Some(deviation) = member.deviation() {
        warn!(deviation, "the engine runs with other numbers than it was given");
    }
}

impl Shared {
    /// Takes in a new state of a member's process.
    pub(crate) fn turn(self: &Arc<Self>, id: MemberId, generation: u64) {
        let mut guard = self.lock();
        let (judge, now) = (&mut *guard, self.moment());
        let Some(member) = judge.members.get_mut(&id).filter(|member| member.generation == generation) else { return };
        // The newest, read under the lock: of two who bring news the later one may have the older.
        let Some(status) = member.engine.as_ref().map(|engine| engine.handle.status().borrow().clone()) else { return };
        let seat = member.seat;
        let leaving = matches!(judge.admission.life(seat), Life::Leaving { .. });
        let present = status.pid;
        let pid = present.or_else(|| member.last.as_ref().and_then(|last| last.pid));
        let effects = match member.turn(status, leaving) {
            News::Same => Vec::new(),
            // It takes jobs once its devices have been read: see `measured`.
            News::Serves { .. } if member.engine.as_ref().is_some_and(|engine| engine.is_in_doubt(&self.devices)) => {
                self.devices.look();
                judge.work.push(Work::Believe { member: id, generation });
                Vec::new()
            }
            News::Away => {
                // Its keeper starts it again: where its device is lost that would be in vain, or on the processor.
                let served = matches!(judge.admission.life(seat), Life::Ready { .. });
                if served {
                    self.devices.look();
                }
                if served || present.is_none() { judge.admission.lost(seat, now) } else { Vec::new() }
            }
            News::Stuck => judge.admission.failed(seat, now),
            News::GivesWay => {
                if let Some(engine) = &mut member.engine {
                    engine.stop(&self.devices);
                }
                judge.admission.lost(seat, now)
            }
            News::Serves { run, slots, size } => {
                self.remember(judge, id, size);
                says_loaded(judge, id);
                self.learn_at_rest(judge, id);
                // Until a reading shows what it holds, that counts as promised.
                self.devices.look();
                judge.admission.ready(seat, run, slots, now)
            }
            News::Ended(after) => self.ended(judge, id, after, pid),
        };
        let mut settled = self.carry_out(judge, effects);
        settled.extend(self.retire(judge));
        self.forget(judge, id);
        self.stand_in(judge);
        drop(guard);
        settle_all(settled);
        self.changed();
    }

    /// What a process holds of the host's memory before its first job is worth remembering.
    fn learn_at_rest(&self, judge: &mut Judge, id: MemberId) {
        let Judge { members, admission, work, .. } = judge;
        let Some(member) = members.get_mut(&id) else { return };
        let is_new = matches!(admission.life(member.seat), Life::Loading { .. });
        if let Some(engine) = member.engine.as_mut().filter(|_| is_new)
            && engine.is_learnt_from_at_rest(&self.experience)
        {
            work.push(Work::Learn);
        }
    }

    /// The size in which a model was loaded is worth remembering if it is another than the wanted one, and a load has shown
    /// that the wanted one is too large.
    fn remember(&self, judge: &mut Judge, id: MemberId, size: Size) {
        let dial = &judge.members[&id].plan.dial;
        if dial.is_reckoned() {
            return;
        }
        let (key, size) = (judge.members[&id].plan.key.clone(), Some(size).filter(|size| *size != dial.wanted()));
        judge.work.push(Work::Remember { key, size });
    }

    /// Nothing is left of a process. What follows waits until its memory is seen to be free; a failure waits for nothing.
    fn ended(self: &Arc<Self>, judge: &mut Judge, id: MemberId, after: After, pid: Option<u32>) -> Vec<Effect> {
        let Some(member) = judge.members.get_mut(&id) else { return Vec::new() };
        let (seat, generation) = (member.seat, member.generation);
        // The last handle: the driver ends with it.
        let Some(engine) = member.engine.take() else { return Vec::new() };
        if after == After::Failed {
            self.devices.look();
            let effects = judge.admission.failed(seat, self.moment());
            // At once, and not only at the next turn: a file that is gone for a moment may be the reason.
            judge.inspect(id);
            return effects;
        }
        if after == After::Rescan {
            return self.awaits_scan(judge, id);
        }
        // Its slots are gone, and its place stays reserved.
        let effects = judge.admission.lost(seat, self.moment());
        let release = Release::new(pid, &engine.placement, engine.before);
        judge.work.push(Work::Release { member: id, generation, after, release });
        effects
    }

    /// The memory of a process that has ended is free, as far as anybody can tell.
    pub(crate) fn released(self: &Arc<Self>, id: MemberId, generation: u64, after: After) {
        let mut judge = self.lock();
        self.measure(&mut judge);
        let now = self.moment();
        let Judge { members, admission, .. } = &mut *judge;
        let Some(member) = members.get_mut(&id).filter(|member| member.generation == generation) else { return };
        let (seat, tenure) = (member.seat, member.tenure);
        let leaving = tenure == Tenure::Leaving;
        if after == After::Again {
            let (model, ask) = (&member.model, member.plan.ask);
            member.plan.dial.estimate(|size| admission.could_hold(seat, need(model, &ask, *size)));
        }
        if !leaving {
            if after == After::Rest {
                self.refresh(&mut judge, id);
            }
            self.reprofile(&mut judge, id);
        }
        let effects = match after {
            After::Again if !leaving => judge.admission.again(seat, now),
            After::Rest | After::Again | After::Anew | After::Failed | After::Rescan => judge.admission.gone(seat, now),
        };
        if !leaving && matches!(after, After::Again | After::Anew) {
            self.want(&mut judge, id, tenure);
        }
        let settled = self.carry_out(&mut judge, effects);
        self.forget(&mut judge, id);
        drop(judge);
        settle_all(settled);
        self.changed();
    }

    /// Takes a member out that was let go and of which nothing is left, and its series with it.
    pub(crate) fn forget(&self, judge: &mut Judge, id: MemberId) {
        if let Some(gone) = judge.forget(id) {
            metrics::forget(gone.name(), &self.devices.now());
        }
    }

    /// Lets the models of earlier policies go once that of the newest serves: their running jobs end within the drain
    /// time, those that wait for any model wait for the new one. One that jobs wait for by its name stays.
    pub(crate) fn retire(self: &Arc<Self>, judge: &mut Judge) -> Vec<Settled> {
        let serves = |id: &MemberId| judge.members.get(id).is_some_and(|member| judge.serving(member).is_some());
        let Some(wished) = judge.wished.member().filter(serves) else { return Vec::new() };
        let earlier = judge.members.iter().filter(|(id, member)| member.tenure == Tenure::Router && **id != wished);
        let earlier: Vec<MemberId> = earlier.map(|(id, _)| *id).collect();
        let mut settled = Vec::new();
        for id in earlier {
            settled.extend(self.move_waiters(judge, id, wished));
            settled.extend(self.let_go(judge, id, "a model of an earlier policy"));
        }
        settled
    }

    /// Lets a model go that nobody has a reason to keep any more: its running jobs end within the drain time. One that jobs
    /// wait for by its name stays for them, where jobs may name any.
    pub(crate) fn let_go(self: &Arc<Self>, judge: &mut Judge, id: MemberId, why: &str) -> Vec<Settled> {
        let (now, orders) = (self.moment(), self.orders());
        let Some(member) = judge.members.get_mut(&id) else { return Vec::new() };
        let (seat, model) = (member.seat, member.name().to_owned());
        if judge.admission.waiting(seat) > 0 && orders.fleet.on_demand {
            member.tenure = Tenure::Demand;
            return Vec::new();
        }
        info!(model, why, "model is let go");
        member.tenure = Tenure::Leaving;
        let named = judge.admission.dismiss(seat);
        let mut settled = self.dismiss(judge, named, || Refusal::Stopped { model: model.clone() });
        let effects = judge.admission.unload(seat, now + orders.fleet.drain_timeout, now);
        settled.extend(self.carry_out(judge, effects));
        self.forget(judge, id);
        settled
    }
}
