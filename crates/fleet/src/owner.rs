//! What the handles, the leases and the staff of one fleet share: the judge under its lock, and who hears of changes.

mod actions;
pub(crate) mod dry_run;
mod engine_status;
mod enrol;
mod profile;
mod reconfigure;
pub(crate) mod release;
mod replace;
mod requests;
mod rescan;
mod retry;
mod text_limit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use auxot_engine::State;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::config::Config;
use crate::config::with_layers;
use crate::devices::Devices;
use crate::factory::Engines;
use crate::model::managed::MemberId;
use crate::model::managed::{Member, Tenure};
use crate::model::measurements::Lessons;
use crate::model::process::After;
use crate::model::remembered::Remembered;
use crate::orders::Orders;
use crate::places::Places;
use crate::refusal::refusal;
use crate::report::{ModelView, Report, memory_of};
use crate::state::Judge;
use crate::state::shelf::Shelf;
use crate::state::work::Work;
use auxot_placement::{Ground, Sight};
use auxot_scheduler::{Admission, Life, Limits, Moment, Reason};

/// What all handles, leases and tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<Judge>,
    pub(crate) engines: Box<dyn Engines>,
    orders: RwLock<Arc<Orders>>,
    pub(crate) experience: Arc<Lessons>,
    pub(crate) remembered: Remembered,
    pub(crate) devices: Devices,
    /// Which of them its engine can use.
    sight: Sight,
    /// The beginning of all moments.
    began: Instant,
    /// Counts the changes of anything that `hello` or `config` tells.
    pub(crate) changes: watch::Sender<u64>,
    /// Counts the looks through the models folders.
    pub(crate) looked: watch::Sender<u64>,
    /// Tells the staff, its only waiter, that there may be work, or an earlier time to wake up at.
    pub(crate) at_work: Notify,
}

impl Shared {
    pub(crate) fn new(orders: Orders, engines: Box<dyn Engines>, places: Places, devices: Devices) -> Self {
        let admission = Admission::new(limits(&orders.fleet), orders.placement.rules(true), Vec::new());
        let shelf = Shelf::new(places.catalog, &engines.program());
        let sight = Sight::new(engines.devices());
        for device in sight.blind_to(&devices.now()) {
            warn!(
                device = device.id,
                name = device.name,
                kind = %device.kind,
                "the engine cannot use a device of this host: models are placed elsewhere; was it built for such devices, and does it find their driver?"
            );
        }
        let shared = Self {
            state: Mutex::new(Judge::new(shelf, admission)),
            engines,
            orders: RwLock::new(Arc::new(orders)),
            experience: Arc::new(Lessons::open(&places.state)),
            remembered: Remembered::open(&places.state),
            devices,
            sight,
            began: Instant::now(),
            changes: watch::Sender::new(0),
            looked: watch::Sender::new(0),
            at_work: Notify::new(),
        };
        shared.measure(&mut shared.lock());
        shared
    }

    /// Never held across an await, and no caller's code runs under it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Judge> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the operator wants at present.
    pub(crate) fn orders(&self) -> Arc<Orders> {
        Arc::clone(&self.orders.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the operator wants from now on.
    pub(crate) fn order(&self, orders: Orders) {
        *self.orders.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(orders);
    }

    /// This moment on the runtime's clock, as the admission counts.
    pub(crate) fn moment(&self) -> Moment {
        self.began.elapsed()
    }

    /// Takes in the newest reading of the devices: what is free, and what of it our own children hold.
    pub(crate) fn measure(&self, judge: &mut Judge) {
        let sample = self.devices.now();
        let ground = self.sight.of(Ground::of(&sample, |pid| judge.held_twice_by(pid)), &sample);
        let orders = self.orders();
        let rules = with_layers(&orders.placement.rules(!ground.devices.is_empty()), orders.engine.gpu_layers);
        let now = self.moment();
        let Judge { members, admission, work, decisions, .. } = judge;
        admission.configure(limits(&orders.fleet), rules);
        for member in members.values_mut() {
            member.strays.look(&member.model.name, &sample);
            let Some(engine) = &mut member.engine else { continue };
            if engine.is_shown_by(&sample) {
                admission.shown(member.seat);
            }
            let holds = memory_of(engine, &sample);
            if engine.is_learnt_from(&holds, &self.experience) {
                work.push(Work::Learn);
            }
            // Where nobody tells what it holds, what it was given counts.
            if !holds.is_empty() {
                admission.holds(member.seat, holds);
            }
            if engine.after.is_none() && engine.has_lost_a_device(&sample) {
                error!(model = member.model.name, "a device of the model is lost; it is loaded elsewhere if it can be");
                engine.after = Some(After::Anew);
                decisions.extend(admission.unload(member.seat, now, now));
            }
        }
        admission.measured(ground);
    }

    /// A reading of the devices has come.
    pub(crate) fn measured(self: &Arc<Self>) {
        let mut judge = self.lock();
        self.measure(&mut judge);
        // What was in doubt for want of this reading.
        let loading = judge
            .members
            .iter()
            .filter(|(_, member)| matches!(judge.admission.life(member.seat), Life::Loading { .. }));
        let ready = loading.filter_map(|(id, member)| {
            let engine = member.engine.as_ref()?;
            matches!(engine.status.state, State::Ready(_)).then_some((*id, member.generation))
        });
        let ready: Vec<_> = ready.collect();
        drop(judge);
        self.tick();
        for (id, generation) in ready {
            self.turn(id, generation);
        }
    }

    /// No reading has come in time for a process that waits for one.
    pub(crate) fn believe(self: &Arc<Self>, id: MemberId, generation: u64) {
        let mut judge = self.lock();
        let member = judge.members.get_mut(&id).filter(|member| member.generation == generation);
        let Some(engine) = member.and_then(|member| member.engine.as_mut()) else { return };
        engine.believed = true;
        drop(judge);
        self.turn(id, generation);
    }

    /// Time has passed.
    pub(crate) fn tick(self: &Arc<Self>) {
        let mut judge = self.lock();
        let effects = judge.admission.tick(self.moment());
        let changed = !effects.is_empty();
        self.conclude(judge, effects);
        if changed {
            self.changed();
        }
    }

    /// When something happens of itself, on the runtime's clock.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let due = self.lock().admission.due();
        due.map(|moment| self.began + moment)
    }

    /// Tells everybody that something may be new: doors, and the staff.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.at_work.notify_one();
    }

    /// What the judge has left to be done since the last call.
    pub(crate) fn take_work(&self) -> Vec<Work> {
        std::mem::take(&mut self.lock().work)
    }

    pub(crate) fn report(&self) -> Report {
        let devices = self.devices.now();
        let judge = self.lock();
        let mut unmet: Vec<String> = judge.missing.iter().map(|missing| missing.reason.clone()).collect();
        unmet.extend(judge.gaps());
        unmet.extend(judge.staying().filter_map(|(_, member)| member.shortfall()));
        unmet.extend(judge.staying().filter_map(|(_, member)| member.deviation()));
        unmet.extend(judge.staying().filter_map(|(_, member)| member.strays.unmet().cloned()));
        unmet.extend(judge.staying().filter_map(|(_, member)| {
            let misfit = member.misfit.as_ref().filter(|_| member.tenure != Tenure::Demand)?;
            Some(format!("{} is not loaded: {misfit}", member.name()))
        }));
        unmet.extend(judge.staying().filter_map(|(_, member)| {
            let named = judge.has_failed(member) && member.tenure != Tenure::Demand;
            named.then(|| refusal(member, Reason::Failed).to_string())
        }));
        let primary = judge.primary();
        let mut order: Vec<(&MemberId, &Member)> = judge.members.iter().collect();
        // Stable, so that all others stay as they came.
        order.sort_by_key(|(id, member)| (Some(**id) != primary, member.tenure == Tenure::Leaving));
        let models = order.into_iter().map(|(_, member)| ModelView::of(member, &judge.admission, &devices)).collect();
        let out_of_reach = self.sight.blind_to(&devices).map(|device| device.id.clone()).collect();
        Report { models, devices, out_of_reach, unmet }
    }
}

/// The times and numbers that the admission decides by.
fn limits(config: &Config) -> Limits {
    Limits {
        max_wait: config.max_wait,
        max_waiting: config.max_waiting,
        residency: config.residency,
        patience: config.patience,
        drain: config.drain_timeout,
        doubt: config.failed_retry,
    }
}
