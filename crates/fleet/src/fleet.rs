//! The judge: which models run here, who gets a slot, who waits and who is sent away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auxot_catalog::{Catalog, Model};
use auxot_gpu::Sample;
use auxot_instance::{Config as EngineConfig, Host, InstanceHandle, Spec, State, Status};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

use crate::config::Config;
use crate::lease::Lease;
use crate::member::{Member, Shape, Turn};
use crate::metrics;
use crate::queue::{Asked, Run, Ticket};
use crate::refusal::Refusal;
use crate::report::{ModelView, Report, memory_of};
use crate::staff::{Hire, Staff};
use crate::wish::{Sizing, Wish, size};

/// New models on their way to the task that runs them: more than a router ever wishes for at once.
const HIRES: usize = 16;

/// A handle to the fleet; clones are cheap and mean the same fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

/// What all handles and leases share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<Judge>,
    catalog: Arc<Catalog>,
    host: Host,
    engine: EngineConfig,
    config: Config,
    devices: watch::Receiver<Arc<Sample>>,
    /// Counts the changes of anything that `hello` or `config` tells.
    changes: watch::Sender<u64>,
    hires: mpsc::Sender<Hire>,
}

/// Everything that decisions are made from.
#[derive(Debug, Default)]
struct Judge {
    members: Vec<Member>,
    waiters: HashMap<Ticket, Waiter>,
    tickets: Ticket,
    /// Which member jobs without a model name mean, once the router has wished for one.
    wished: Option<(usize, Wish)>,
    unresolved: Vec<String>,
    /// Why the router's model is not here, as long as it wishes for one that is not.
    wish_unresolved: Option<String>,
    draining: bool,
}

#[derive(Debug)]
struct Waiter {
    member: usize,
    answer: oneshot::Sender<Result<Lease, Refusal>>,
}

impl Fleet {
    /// Opens a fleet of the models to be loaded at start, and starts them all. Nothing runs before the
    /// returned [`Staff`] is driven.
    #[must_use]
    pub fn open(
        config: Config,
        catalog: Arc<Catalog>,
        host: Host,
        engine: EngineConfig,
        devices: watch::Receiver<Arc<Sample>>,
        wish: Option<Wish>,
    ) -> (Self, Staff) {
        let (hires, to_hire) = mpsc::channel(HIRES);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            catalog,
            host,
            engine,
            devices,
            changes: watch::Sender::new(0),
            hires,
            config,
        });
        let fleet = Self { shared: Arc::clone(&shared) };
        let mut staff = Staff::new(Arc::clone(&shared), to_hire);
        let mut names = shared.config.autoload.clone();
        names.extend(wish.iter().filter(|wish| !wish.model.is_empty()).map(|wish| wish.model.clone()));
        for name in names {
            match shared.enrol(&name, wish.as_ref()) {
                Ok(Some(hire)) => staff.hire(hire),
                Ok(None) => {}
                Err(reason) => shared.note_unresolved(reason),
            }
        }
        if let Some(wish) = wish {
            // The members were made to this wish, so there is no size to change.
            shared.adopt_wish(wish);
        }
        (fleet, staff)
    }

    /// Waits for a slot of a model: the one named, else the primary one.
    ///
    /// Resolves at once where a slot is free. Waits while the model loads or restarts, never longer than
    /// until `deadline` or the configured maximum. Dropping the future gives the place up.
    ///
    /// # Errors
    /// A typed refusal with the numbers in it.
    pub async fn acquire(&self, model: Option<&str>, deadline: Instant) -> Result<Lease, Refusal> {
        let since = Instant::now();
        let (answer, waiting) = match self.shared.ask(model)? {
            Answer::Lease(lease) => return Ok(lease),
            Answer::Wait(answer, waiting) => (answer, waiting),
        };
        let until = deadline.min(since + self.shared.config.max_wait);
        match tokio::time::timeout_at(until.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_) => Err(Refusal::TooLate { model: waiting.model.clone(), waited: since.elapsed() }),
        }
    }

    /// Takes in the router's wish: its model becomes the primary one, and is loaded if it is here.
    ///
    /// Returns what cannot be honoured, one sentence each.
    pub async fn wish(&self, wish: Wish) -> Vec<String> {
        self.shared.lock().wish_unresolved = None;
        if !wish.model.is_empty() {
            match self.shared.enrol(&wish.model, Some(&wish)) {
                Ok(Some(hire)) => {
                    // The staff is gone only when the worker ends; then there is nothing to load.
                    let _ = self.shared.hires.send(hire).await;
                }
                Ok(None) => {}
                Err(reason) => {
                    self.shared.lock().wish_unresolved = Some(reason.clone());
                    self.shared.changes.send_modify(|count| *count += 1);
                    return vec![reason];
                }
            }
        }
        if let Some(hire) = self.shared.adopt_wish(wish) {
            // As above; and the gaps are what is true now, until the new size is there.
            let _ = self.shared.hires.send(hire).await;
        }
        self.shared.unmet()
    }

    /// Everything as it is now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// Brings the fleet's gauges up to this moment, before a scrape.
    pub fn publish_metrics(&self) {
        metrics::publish(&self.report());
    }

    /// Changes whenever something changes that the router is told in `hello` or `config`.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Whether any model takes jobs now.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.shared.lock().members.iter().any(|member| member.ready().is_some())
    }

    /// Whether every model has failed for good, so that nothing can be served until something changes.
    #[must_use]
    pub fn all_failed(&self) -> bool {
        let judge = self.shared.lock();
        !judge.members.is_empty()
            && judge.members.iter().all(|member| matches!(member.status.state, State::Failed { .. }))
    }

    /// Whether there is any model that could ever take jobs.
    #[must_use]
    pub fn has_models(&self) -> bool {
        !self.shared.lock().members.is_empty()
    }

    /// Takes no more jobs; those that wait are sent away, those that run go on.
    pub fn refuse(&self) {
        let mut judge = self.shared.lock();
        judge.draining = true;
        let waiters: Vec<Waiter> = judge.waiters.drain().map(|(_, waiter)| waiter).collect();
        for member in &mut judge.members {
            member.queue.dismiss();
        }
        drop(judge);
        for waiter in waiters {
            let _ = waiter.answer.send(Err(Refusal::Draining));
        }
    }

    /// Kills every engine without waiting for anything.
    pub fn kill(&self) {
        for member in &self.shared.lock().members {
            member.handle.kill();
        }
    }

    /// Stops every engine: drains it for so long, then the ladder. Resolves when all are gone.
    pub async fn stop(&self, drain: Duration) {
        self.refuse();
        let handles: Vec<_> = self.shared.lock().members.iter().map(|member| member.handle.clone()).collect();
        for handle in &handles {
            handle.stop(drain);
        }
        for handle in &handles {
            handle.stopped().await;
        }
    }
}

/// A place in a queue, given up when dropped.
struct Place {
    shared: Arc<Shared>,
    ticket: Ticket,
    member: usize,
    model: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut judge = self.shared.lock();
        let waiter = judge.waiters.remove(&self.ticket);
        if let Some(member) = judge.members.get_mut(self.member) {
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

impl Shared {
    /// Never held across an await, and no caller's code runs under it.
    fn lock(&self) -> MutexGuard<'_, Judge> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(self: &Arc<Self>, model: Option<&str>) -> Result<Answer, Refusal> {
        let mut guard = self.lock();
        let judge = &mut *guard;
        if judge.draining {
            return Err(Refusal::Draining);
        }
        let at = judge.find(model, &self.catalog)?;
        judge.tickets += 1;
        let ticket = judge.tickets;
        let member = &mut judge.members[at];
        match &member.status.state {
            State::Failed { cause } if member.shape == Shape::Settled => {
                return Err(Refusal::Failed { model: member.name().to_owned(), cause: Arc::clone(cause) });
            }
            State::Stopped if member.shape == Shape::Settled => member.handle.start(),
            _ => {}
        }
        match member.queue.ask(ticket) {
            Asked::Granted => match lease(self, at, member) {
                Some(lease) => Ok(Answer::Lease(lease)),
                None => Err(Refusal::Stopped { model: member.name().to_owned() }),
            },
            Asked::Full { waiting } => Err(Refusal::QueueFull { model: member.name().to_owned(), waiting }),
            Asked::Waiting => {
                let (answer, awaited) = oneshot::channel();
                let model = member.name().to_owned();
                judge.waiters.insert(ticket, Waiter { member: at, answer });
                Ok(Answer::Wait(awaited, Place { shared: Arc::clone(self), ticket, member: at, model }))
            }
        }
    }

    /// Takes in a new state of a member's process.
    pub(crate) fn turn(self: &Arc<Self>, at: usize, generation: u64, status: Status) {
        let mut judge = self.lock();
        if judge.members[at].generation != generation {
            return;
        }
        let turn = judge.members[at].turn(status);
        let settled = self.settle(&mut judge, at, turn);
        drop(judge);
        settle_all(settled);
        self.changes.send_modify(|count| *count += 1);
    }

    /// A lease has ended.
    pub(crate) fn release(self: &Arc<Self>, at: usize, run: Run) {
        let mut judge = self.lock();
        let granted = judge.members[at].queue.release(run);
        let settled = self.settle(&mut judge, at, Turn::Granted(granted));
        drop(judge);
        // A caller that has gone meanwhile gives its lease back by dropping it, which comes here again.
        settle_all(settled);
    }

    /// Answers for those whose waiting is over; sent only after the lock is gone.
    fn settle(self: &Arc<Self>, judge: &mut Judge, at: usize, turn: Turn) -> Vec<Settled> {
        let (tickets, granted) = match turn {
            Turn::Granted(tickets) => (tickets, true),
            Turn::Dismissed(tickets) => (tickets, false),
        };
        let mut settled = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            let Some(waiter) = judge.waiters.remove(&ticket) else { continue };
            debug_assert_eq!(waiter.member, at);
            let member = &judge.members[at];
            let answer = match (granted, lease(self, at, member), &member.status.state) {
                (true, Some(lease), _) => Ok(lease),
                (_, _, State::Failed { cause }) => {
                    Err(Refusal::Failed { model: member.name().to_owned(), cause: Arc::clone(cause) })
                }
                _ => Err(Refusal::Stopped { model: member.name().to_owned() }),
            };
            settled.push((waiter.answer, answer));
        }
        settled
    }

    /// Makes a model a member, unless it is one; the hire is its process's task.
    fn enrol(self: &Arc<Self>, name: &str, wish: Option<&Wish>) -> Result<Option<Hire>, String> {
        let model = self.catalog.resolve(name).map_err(|error| error.to_string())?;
        let mut judge = self.lock();
        if judge.members.iter().any(|member| member.model.file == model.file) {
            return Ok(None);
        }
        let spec = self.spec(model, wish);
        info!(model = %model.name, slots = spec.slots, ctx_per_slot = spec.ctx_per_slot, file = %model.file.display(), "model enrolled");
        let (handle, instance) = self.host.create(spec.clone());
        let member = Member::new(Arc::new(model.clone()), spec, handle.clone(), self.config.max_waiting);
        let generation = member.generation;
        judge.members.push(member);
        handle.start();
        Ok(Some(Hire::Instance { member: judge.members.len() - 1, generation, handle, instance: Box::pin(instance) }))
    }

    fn spec(&self, model: &Model, wish: Option<&Wish>) -> Spec {
        // A policy speaks of its own model; the others have the operator's word only.
        let wish = wish.filter(|wish| self.catalog.resolve(&wish.model).is_ok_and(|wished| wished.file == model.file));
        let operator = Sizing { slots: self.engine.slots, ctx_size: self.engine.ctx_size };
        let (slots, ctx_per_slot) = size(operator, wish, model.ctx_train);
        Spec {
            model: model.name.clone(),
            file: model.file.clone(),
            mmproj: model.mmproj.clone(),
            embedding: model.kind == auxot_catalog::Kind::Embedding,
            slots,
            ctx_per_slot: Some(ctx_per_slot),
            devices: None,
            extra_args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Makes the wished model the primary one; returns the work of bringing it to the wished size, if any.
    fn adopt_wish(&self, wish: Wish) -> Option<Hire> {
        let mut judge = self.lock();
        let wished = self.catalog.resolve(&wish.model).ok();
        let at = judge.members.iter().position(|member| wished.is_some_and(|model| model.file == member.model.file));
        let spec = wished.map(|model| self.spec(model, Some(&wish)));
        let hire = at.zip(spec).and_then(|(at, spec)| judge.reshape(at, spec).then_some(Hire::Reshape { member: at }));
        judge.wished = at.map(|at| (at, wish));
        drop(judge);
        self.changes.send_modify(|count| *count += 1);
        hire
    }

    fn unmet(&self) -> Vec<String> {
        let judge = self.lock();
        judge.wished.as_ref().map(|(at, wish)| judge.members[*at].gaps(wish)).unwrap_or_default()
    }

    fn note_unresolved(&self, reason: String) {
        error!(reason, "cannot load a model of the autoload list");
        self.lock().unresolved.push(reason);
    }

    /// The size that a member is to have next, with its present instance; `None` settles it.
    pub(crate) fn next_shape(&self, at: usize) -> Option<(Spec, Spec, InstanceHandle)> {
        let mut judge = self.lock();
        let draining = judge.draining;
        let member = &mut judge.members[at];
        let newest = match &mut member.shape {
            Shape::Changing { newest } => newest.take().filter(|newest| **newest != member.spec && !draining),
            Shape::Settled => None,
        };
        match newest {
            Some(newest) => Some((*newest, member.spec.clone(), member.handle.clone())),
            None => {
                member.shape = Shape::Settled;
                None
            }
        }
    }

    /// Puts another instance in the place of a member's ended one, and starts it.
    pub(crate) async fn replace(&self, at: usize, spec: Spec) -> InstanceHandle {
        let (handle, instance) = self.host.create(spec.clone());
        let generation = {
            let mut judge = self.lock();
            judge.members[at].replace(spec, handle.clone());
            judge.members[at].generation
        };
        handle.start();
        let hire = Hire::Instance { member: at, generation, handle: handle.clone(), instance: Box::pin(instance) };
        // The staff is gone only when the worker ends; then the instance is dropped unborn.
        let _ = self.hires.send(hire).await;
        handle
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        self.config.drain_timeout
    }

    /// Changes with every new reading of the devices.
    pub(crate) fn watch_devices(&self) -> watch::Receiver<Arc<Sample>> {
        self.devices.clone()
    }

    pub(crate) fn report(&self) -> Report {
        let devices = self.devices.borrow().clone();
        let judge = self.lock();
        let mut unmet = judge.unresolved.clone();
        unmet.extend(judge.wish_unresolved.clone());
        if let Some((at, wish)) = &judge.wished {
            unmet.extend(judge.members[*at].gaps(wish));
        }
        let mut order: Vec<usize> = (0..judge.members.len()).collect();
        if let Some(primary) = judge.primary() {
            order.retain(|at| *at != primary);
            order.insert(0, primary);
        }
        let models = order.into_iter().map(|at| view(&judge.members[at], &devices)).collect();
        Report { models, devices, unmet }
    }
}

type Settled = (oneshot::Sender<Result<Lease, Refusal>>, Result<Lease, Refusal>);

fn settle_all(settled: Vec<Settled>) {
    for (answer, outcome) in settled {
        // An `Err` gives the lease back, and its drop frees the slot for the next one.
        let _ = answer.send(outcome);
    }
}

fn lease(shared: &Arc<Shared>, at: usize, member: &Member) -> Option<Lease> {
    Some(Lease {
        shared: Arc::clone(shared),
        member: at,
        model: Arc::clone(&member.model),
        ready: Arc::clone(member.ready()?),
        run: member.run(member.ready()?),
        claim: member.handle.claim(),
        status: member.handle.status(),
    })
}

fn view(member: &Member, devices: &Sample) -> ModelView {
    ModelView {
        model: Arc::clone(&member.model),
        memory: member.status.pid.map(|pid| memory_of(pid, devices)).unwrap_or_default(),
        status: member.status.clone(),
        ready: member.ready().cloned(),
        slots_busy: member.queue.busy(),
        waiting: member.queue.waiting(),
    }
}

impl Judge {
    /// Notes that a member should have another size; whether somebody must see to it (or already does).
    fn reshape(&mut self, at: usize, spec: Spec) -> bool {
        let member = &mut self.members[at];
        match &mut member.shape {
            Shape::Settled if member.spec == spec => false,
            Shape::Settled => {
                member.shape = Shape::Changing { newest: Some(Box::new(spec)) };
                true
            }
            // Only the newest wish counts, and one task sees to it.
            Shape::Changing { newest } => {
                *newest = Some(Box::new(spec));
                false
            }
        }
    }

    /// The member that jobs without a model name mean: the router's model while it serves, else the first
    /// that serves, else the router's, else the first.
    fn primary(&self) -> Option<usize> {
        let wished = self.wished.as_ref().map(|(at, _)| *at);
        let serves = |at: &usize| self.members[*at].ready().is_some();
        wished
            .filter(serves)
            .or_else(|| (0..self.members.len()).find(serves))
            .or(wished)
            .or_else(|| (!self.members.is_empty()).then_some(0))
    }

    fn find(&self, model: Option<&str>, catalog: &Catalog) -> Result<usize, Refusal> {
        let Some(name) = model.filter(|name| !name.is_empty()) else {
            return self.primary().ok_or_else(|| Refusal::NoModel {
                reason: self.unresolved.first().cloned().unwrap_or_else(|| "none is configured".to_owned()),
            });
        };
        let by_name = self.members.iter().position(|member| member.name() == name || member.model.base_name == name);
        let resolved = || catalog.resolve(name).ok().map(|model| &model.file);
        by_name
            .or_else(|| {
                let file = resolved()?;
                self.members.iter().position(|member| member.model.file == *file)
            })
            .ok_or_else(|| Refusal::UnknownModel {
                name: name.to_owned(),
                serves: self.members.iter().map(|member| member.name().to_owned()).collect(),
            })
    }
}
