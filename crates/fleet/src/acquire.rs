//! How a job gets a slot: at once, after waiting, or not at all.

use std::sync::Arc;
use std::time::Instant;

use auxot_instance::State;
use tokio::sync::oneshot;

use crate::judge::{Door, Judge, MemberId, Waiter};
use crate::lease::Lease;
use crate::member::Member;
use crate::queue::{Asked, Run, Ticket};
use crate::refusal::Refusal;
use crate::shared::Shared;

/// A place in a queue, given up when dropped.
struct Place {
    shared: Arc<Shared>,
    ticket: Ticket,
    model: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut judge = self.shared.lock();
        let waiter = judge.waiters.remove(&self.ticket);
        if let Some(member) = waiter.as_ref().and_then(|waiter| judge.members.get_mut(&waiter.member)) {
            member.queue.withdraw(self.ticket);
        }
        drop(judge);
        drop(waiter);
    }
}

enum Answer {
    Lease(Lease),
    Wait(oneshot::Receiver<Result<Lease, Refusal>>, Place),
}

/// An answer on its way; it is sent only after the lock is gone.
pub(crate) type Settled = (oneshot::Sender<Result<Lease, Refusal>>, Result<Lease, Refusal>);

/// Sends the answers.
pub(crate) fn settle_all(settled: Vec<Settled>) {
    for (answer, outcome) in settled {
        // An `Err` gives the lease back, and its drop frees the slot for the next one.
        let _ = answer.send(outcome);
    }
}

impl Shared {
    /// Waits for a slot until `deadline`, or as long as the operator lets a job wait.
    pub(crate) async fn acquire(self: &Arc<Self>, model: Option<&str>, deadline: Instant) -> Result<Lease, Refusal> {
        let since = now();
        let until = deadline.min(since + self.config.max_wait);
        let answer = match self.ask(model) {
            Err(Refusal::UnknownModel { .. } | Refusal::NoModel { .. }) if self.look_again(until).await => {
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

    fn ask(self: &Arc<Self>, model: Option<&str>) -> Result<Answer, Refusal> {
        let mut guard = self.lock();
        let judge = &mut *guard;
        if judge.door == Door::Closed {
            return Err(Refusal::Draining);
        }
        let id = judge.find(model)?;
        let named = model.is_some_and(|name| !name.is_empty());
        let ticket = judge.ticket();
        let Some(member) = judge.members.get_mut(&id) else { return Err(Refusal::Draining) };
        match &member.status.state {
            State::Failed { cause } if member.is_settled() => {
                return Err(Refusal::Failed { model: member.name().to_owned(), cause: Arc::clone(cause) });
            }
            State::Stopped if member.is_settled() => match judge.door {
                Door::Open => member.handle.start(),
                Door::Frozen | Door::Closed => return Err(Refusal::Draining),
            },
            _ => {}
        }
        match member.queue.ask(ticket) {
            Asked::Granted => match lease(self, id, member) {
                Some(lease) => Ok(Answer::Lease(lease)),
                None => Err(Refusal::Stopped { model: member.name().to_owned() }),
            },
            Asked::Full { waiting } => Err(Refusal::QueueFull { model: member.name().to_owned(), waiting }),
            Asked::Waiting => {
                let (answer, awaited) = oneshot::channel();
                let model = member.name().to_owned();
                judge.waiters.insert(ticket, Waiter { member: id, named, answer });
                Ok(Answer::Wait(awaited, Place { shared: Arc::clone(self), ticket, model }))
            }
        }
    }

    /// A lease has ended.
    pub(crate) fn release(self: &Arc<Self>, id: MemberId, run: Run) {
        let mut judge = self.lock();
        let Some(member) = judge.members.get_mut(&id) else { return };
        let granted = member.queue.release(run);
        let settled = self.grant(&mut judge, id, granted);
        drop(judge);
        // A caller that has gone meanwhile gives its lease back by dropping it, which comes here again.
        settle_all(settled);
    }

    /// Leases for those who got a slot.
    pub(crate) fn grant(self: &Arc<Self>, judge: &mut Judge, id: MemberId, tickets: Vec<Ticket>) -> Vec<Settled> {
        let Some(member) = judge.members.get(&id) else { return Vec::new() };
        let stopped = || Refusal::Stopped { model: member.name().to_owned() };
        let waiters = tickets.into_iter().filter_map(|ticket| judge.waiters.remove(&ticket));
        waiters.map(|waiter| (waiter.answer, lease(self, id, member).ok_or_else(stopped))).collect()
    }

    /// The reason for those who are sent away.
    pub(crate) fn dismiss(&self, judge: &mut Judge, id: MemberId, tickets: Vec<Ticket>) -> Vec<Settled> {
        let Some(member) = judge.members.get(&id) else { return Vec::new() };
        let model = || member.name().to_owned();
        let reason = || match &member.status.state {
            State::Failed { cause } => Refusal::Failed { model: model(), cause: Arc::clone(cause) },
            _ if judge.door != Door::Open => Refusal::Draining,
            _ => Refusal::Stopped { model: model() },
        };
        let waiters = tickets.into_iter().filter_map(|ticket| judge.waiters.remove(&ticket));
        waiters.map(|waiter| (waiter.answer, Err(reason()))).collect()
    }

    /// Moves those who wait for one member and asked for no model by name to another one; sends the others away.
    pub(crate) fn move_waiters(self: &Arc<Self>, judge: &mut Judge, from: MemberId, to: MemberId) -> Vec<Settled> {
        let tickets = judge.members.get_mut(&from).map(|member| member.queue.dismiss()).unwrap_or_default();
        let (mut gone, mut settled) = (Vec::new(), Vec::new());
        for ticket in tickets {
            let Some(waiter) = judge.waiters.get_mut(&ticket) else { continue };
            let Some(member) = judge.members.get_mut(&to).filter(|_| !waiter.named) else {
                gone.push(ticket);
                continue;
            };
            waiter.member = to;
            match member.queue.ask(ticket) {
                Asked::Waiting => {}
                Asked::Granted => settled.extend(self.grant(judge, to, vec![ticket])),
                Asked::Full { .. } => gone.push(ticket),
            }
        }
        settled.extend(self.dismiss(judge, from, gone));
        settled
    }
}

/// This moment on the runtime's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// One slot of a member's engine, if it takes jobs.
fn lease(shared: &Arc<Shared>, id: MemberId, member: &Member) -> Option<Lease> {
    let ready = member.ready()?;
    Some(Lease {
        shared: Arc::clone(shared),
        member: id,
        model: Arc::clone(&member.model),
        ready: Arc::clone(ready),
        run: member.run(ready),
        claim: member.handle.claim(),
        status: member.handle.status(),
    })
}
