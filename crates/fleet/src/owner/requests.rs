//! How a job gets a slot: it asks, it waits in its turn, it is admitted or told why not.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::lease::{Lease, Owner, Settled};
use crate::model::managed::MemberId;
use crate::model::managed::Tenure;
use crate::owner::Shared;
use crate::refusal::{Refusal, refusal};
use crate::state::{Door, Judge, Waiter};
use auxot_scheduler::{Decision, Effect, Run, Ticket};

/// A place among those who wait, given up when dropped.
struct Place {
    shared: Arc<Shared>,
    ticket: Ticket,
    model: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut judge = self.shared.lock();
        let Some(waiter) = judge.waiters.remove(&self.ticket) else { return };
        let effects = judge.admission.cancelled(self.ticket, self.shared.moment());
        self.shared.conclude(judge, effects);
        drop(waiter);
        // Models that were asked to go for it may stay.
        self.shared.changed();
    }
}

enum Answer {
    Lease(Lease),
    Wait(oneshot::Receiver<Result<Lease, Refusal>>, Place),
}

impl Shared {
    /// Waits for a slot until `deadline`, or as long as the operator lets a job wait.
    pub(crate) async fn acquire(self: &Arc<Self>, model: Option<&str>, deadline: Instant) -> Result<Lease, Refusal> {
        let since = now();
        let until = deadline.min(since + self.orders().fleet.max_wait);
        let answer = match self.ask(model) {
            Err(Refusal::UnknownModel { .. } | Refusal::NoneChats { .. } | Refusal::NoModel { .. })
                if self.look_again(until).await =>
            {
                self.ask(model)?
            }
            answer => answer?,
        };
        let (answer, waiting) = match answer {
            Answer::Lease(lease) => return Ok(lease),
            Answer::Wait(answer, waiting) => (answer, waiting),
        };
        match tokio::time::timeout_at(until.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_) => {
                Err(Refusal::TooLate { model: waiting.model.clone(), waited: now().saturating_duration_since(since) })
            }
        }
    }

    /// The member that a job means. One that nobody has named before becomes one, and one that was about to go stays.
    fn meant(self: &Arc<Self>, judge: &mut Judge, model: Option<&str>) -> Result<MemberId, Refusal> {
        let found = judge.find(model);
        if let Some(refused) = judge.no_chat(found.as_ref().ok(), model) {
            return Err(refused);
        }
        let leaves = |id: &MemberId| judge.members.get(id).is_some_and(|member| member.tenure == Tenure::Leaving);
        match (found, model) {
            (Ok(id), _) if !leaves(&id) => Ok(id),
            (Ok(id), _) if self.orders().fleet.on_demand && judge.door == Door::Open && judge.has_file(id) => {
                if let Some(member) = judge.members.get_mut(&id) {
                    member.stay(Tenure::Demand);
                }
                self.want(judge, id, Tenure::Demand);
                Ok(id)
            }
            (Ok(_), name) => Err(judge.unknown(name.unwrap_or_default())),
            (Err(refused @ Refusal::UnknownModel { .. }), Some(name)) if self.orders().fleet.on_demand => {
                self.enrol(judge, name, Tenure::Demand, None).map_err(|_| refused)
            }
            // Of the models of the folders the first that chats is meant.
            (Err(refused @ (Refusal::NoneChats { .. } | Refusal::NoModel { .. })), _) if judge.door == Door::Open => {
                self.enrol_any(judge).ok_or(refused)
            }
            (Err(refused), _) => Err(refused),
        }
    }

    fn ask(self: &Arc<Self>, model: Option<&str>) -> Result<Answer, Refusal> {
        let mut guard = self.lock();
        let judge = &mut *guard;
        if judge.door == Door::Closed {
            return Err(Refusal::Draining);
        }
        let id = self.meant(judge, model)?;
        let named = model.is_some_and(|name| !name.is_empty());
        let (ticket, moment) = (judge.ticket(), self.moment());
        let Some(member) = judge.members.get(&id) else { return Err(Refusal::Draining) };
        let (seat, name) = (member.seat, member.name().to_owned());
        let (decision, effects) = judge.admission.arrive(ticket, seat, moment);
        let answer = match decision {
            Decision::Admit => match lease(self, judge, id) {
                Some(lease) => Ok(Answer::Lease(lease)),
                None => {
                    // Never seen: its engine is gone, and with it all of its slots.
                    let lost = judge.admission.lost(seat, moment);
                    judge.decisions.extend(lost);
                    Err(Refusal::Stopped { model: name })
                }
            },
            Decision::Refuse(reason) => Err(refusal(&judge.members[&id], reason)),
            Decision::Wait => {
                let (answer, awaited) = oneshot::channel();
                judge.waiters.insert(ticket, Waiter { member: id, named, answer });
                // Its time may be the next that runs out.
                self.at_work.notify_one();
                Ok(Answer::Wait(awaited, Place { shared: Arc::clone(self), ticket, model: name }))
            }
        };
        let changed = !effects.is_empty();
        self.conclude(guard, effects);
        if changed {
            self.changed();
        }
        answer
    }

    /// Sends those away who have been taken out of the line.
    pub(crate) fn dismiss(
        &self,
        judge: &mut Judge,
        tickets: Vec<Ticket>,
        refusal: impl Fn() -> Refusal,
    ) -> Vec<Settled> {
        let waiters = tickets.into_iter().filter_map(|ticket| judge.waiters.remove(&ticket));
        waiters.map(|waiter| (waiter.answer, Err(refusal()))).collect()
    }

    /// Moves those who wait for one member and asked for no model by name to another one; the others stay.
    pub(crate) fn move_waiters(self: &Arc<Self>, judge: &mut Judge, from: MemberId, to: MemberId) -> Vec<Settled> {
        let seats =
            (judge.members.get(&from).map(|member| member.seat), judge.members.get(&to).map(|member| member.seat));
        let (Some(seat), Some(target)) = seats else { return Vec::new() };
        let now = self.moment();
        let (mut settled, mut effects) = (Vec::new(), Vec::new());
        for ticket in judge.admission.dismiss(seat) {
            let Some(waiter) = judge.waiters.get_mut(&ticket) else { continue };
            let to_seat = if waiter.named { seat } else { target };
            if !waiter.named {
                waiter.member = to;
            }
            let (decision, more) = judge.admission.arrive(ticket, to_seat, now);
            effects.extend(more);
            match decision {
                Decision::Admit => settled.extend(self.admit(judge, ticket)),
                Decision::Refuse(reason) => {
                    let waits_for = if to_seat == seat { from } else { to };
                    let why = refusal(&judge.members[&waits_for], reason);
                    settled.extend(self.dismiss(judge, vec![ticket], || why.clone()));
                }
                Decision::Wait => {}
            }
        }
        settled.extend(self.carry_out(judge, effects));
        settled
    }

    /// The lease of one who waited, and has a slot now.
    pub(crate) fn admit(self: &Arc<Self>, judge: &mut Judge, ticket: Ticket) -> Option<Settled> {
        let waiter = judge.waiters.remove(&ticket)?;
        let stopped = || Refusal::Stopped {
            model: judge.members.get(&waiter.member).map(|member| member.name().to_owned()).unwrap_or_default(),
        };
        let outcome = lease(self, judge, waiter.member).ok_or_else(stopped);
        Some((waiter.answer, outcome))
    }
}

/// This moment on the runtime's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// One slot of a member's engine.
fn lease(shared: &Arc<Shared>, judge: &Judge, id: MemberId) -> Option<Lease> {
    let member = judge.members.get(&id)?;
    let (engine, ready) = (member.engine.as_ref()?, member.ready()?);
    let status = engine.handle.status();
    let blamed = status.borrow().last_error.clone();
    Some(Lease {
        owner: Arc::clone(shared) as Arc<dyn Owner>,
        member: id,
        model: Arc::clone(&member.model),
        ready: Arc::clone(ready),
        run: member.run(ready),
        claim: engine.handle.claim(),
        status,
        blamed,
    })
}

impl Owner for Shared {
    /// A lease has ended.
    fn release(self: Arc<Self>, id: MemberId, run: Run) {
        let mut judge = self.lock();
        let Some(seat) = judge.members.get(&id).map(|member| member.seat) else { return };
        let due = judge.admission.due();
        let effects = judge.admission.left(seat, run, self.moment());
        // Most jobs change nothing but who has their slot.
        let changed = effects.iter().any(|effect| !matches!(effect, Effect::Admit { .. }));
        self.replace_if_idle(&mut judge, id);
        let wakes = judge.admission.due() != due;
        // A caller that has gone meanwhile gives its lease back by dropping it, which comes here again.
        self.conclude(judge, effects);
        if changed {
            self.changed();
        } else if wakes {
            self.at_work.notify_one();
        }
    }

    fn status_changed(self: Arc<Self>, member: MemberId, generation: u64) {
        self.turn(member, generation);
    }
}
