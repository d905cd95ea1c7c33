//! The data that handles, leases and tasks share: the fleet state behind its lock, and the channels that report changes.

mod actions;
mod add_model;
mod downloads;
pub(crate) mod dry_run;
mod engine_status;
mod operator;
mod reconfigure;
pub(crate) mod release;
mod replace;
pub(crate) mod requests;
mod rescan;
mod retry;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use auxot_engine::State;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::config::{Config, with_layers};
use crate::devices::Devices;
use crate::factory::Engines;
use crate::job_log::JobLog;
use crate::job_task::JobTask;
use crate::kept_connections::KeptConnections;
use crate::model::history::{FoundSizes, Measurements};
use crate::model::managed::{KeepReason, ManagedId, ManagedModel};
use crate::model::process::AfterExit;
use crate::paths::Paths;
use crate::refusal::refusal;
use crate::report::{ModelView, Report, memory_of};
use crate::settings::FleetSettings;
use crate::state::FleetState;
use crate::state::scan::Scan;
use crate::state::work::Work;
use auxot_placement::{Capacity, DeviceVisibility};
use auxot_scheduler::{Limits, Moment, Reason, Scheduler};

/// The data that handles, leases and tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<FleetState>,
    pub(crate) engines: Box<dyn Engines>,
    settings: RwLock<Arc<FleetSettings>>,
    pub(crate) measurements: Arc<Measurements>,
    pub(crate) found_sizes: FoundSizes,
    pub(crate) devices: Devices,
    pub(crate) jobs: Arc<JobLog>,
    /// Connections to engines, for the next requests.
    pub(crate) kept: Arc<KeptConnections>,
    /// Which devices the engine can use.
    visibility: DeviceVisibility,
    /// The zero point of the scheduler's clock.
    start: Instant,
    /// Counts the changes of anything that `hello` or `config` reports.
    pub(crate) changes: watch::Sender<u64>,
    /// Counts the scans of the models folders.
    pub(crate) scanned: watch::Sender<u64>,
    /// Wakes the tasks for new work, or for an earlier timer. The tasks are its only waiter.
    pub(crate) work_ready: Notify,
}

impl Shared {
    pub(crate) fn new(settings: FleetSettings, engines: Box<dyn Engines>, places: Paths, devices: Devices) -> Self {
        let scheduler = Scheduler::new(limits(&settings.fleet), settings.placement.rules(true), Vec::new());
        let scan = Scan::new(places.catalog, &engines.program());
        let visibility = DeviceVisibility::new(engines.devices());
        for device in visibility.unreachable_devices(&devices.now()) {
            warn!(
                device = device.id,
                name = device.name,
                kind = %device.kind,
                "the engine cannot use a device of this host: models are placed elsewhere; check that it was built for such devices and finds their driver"
            );
        }
        let shared = Self {
            state: Mutex::new(FleetState::new(scan, scheduler)),
            engines,
            settings: RwLock::new(Arc::new(settings)),
            measurements: Arc::new(Measurements::open(&places.state)),
            found_sizes: FoundSizes::open(&places.state),
            devices,
            jobs: Arc::default(),
            kept: Arc::default(),
            visibility,
            start: Instant::now(),
            changes: watch::Sender::new(0),
            scanned: watch::Sender::new(0),
            work_ready: Notify::new(),
        };
        shared.measure(&mut shared.lock());
        shared
    }

    /// Never held across an await, and no caller's code runs under it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, FleetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present settings.
    pub(crate) fn settings(&self) -> Arc<FleetSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the settings.
    pub(crate) fn set_settings(&self, settings: FleetSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// The present time on the scheduler's clock, which follows the runtime's.
    pub(crate) fn moment(&self) -> Moment {
        self.start.elapsed()
    }

    /// Sends the newest device sample to the scheduler: what is free, and what our own engines hold.
    pub(crate) fn measure(&self, state: &mut FleetState) {
        let sample = self.devices.now();
        let capacity = self.visibility.of(Capacity::of(&sample, |pid| state.repacked_of(pid)), &sample);
        let settings = self.settings();
        let rules = with_layers(&settings.placement.rules(!capacity.devices.is_empty()), settings.engine.gpu_layers);
        let now = self.moment();
        let FleetState { models, scheduler, work, decisions, .. } = state;
        scheduler.configure(limits(&settings.fleet), rules);
        for managed in models.values_mut() {
            managed.unknown_devices.check(&managed.model.name, &sample);
            let Some(engine) = &mut managed.engine else { continue };
            if engine.is_shown_by(&sample) {
                scheduler.memory_shown(managed.scheduler_id);
            }
            let holds = memory_of(engine, &sample);
            if engine.record_devices(&holds, &self.measurements) {
                work.push(Work::Learn);
            }
            // Where the held memory is unknown, the reserved memory counts.
            if !holds.is_empty() {
                scheduler.set_measured(managed.scheduler_id, holds);
            }
            if engine.after.is_none() && engine.has_lost_a_device(&sample) {
                error!(
                    model = managed.model.name,
                    "a device of the model is lost; the model is reloaded on other devices if it fits"
                );
                engine.after = Some(AfterExit::Reload);
                decisions.extend(scheduler.unload(managed.scheduler_id, now, now));
            }
        }
        scheduler.measured(capacity);
    }

    /// Handles a new device sample.
    pub(crate) fn measured(self: &Arc<Self>) {
        let mut state = self.lock();
        self.measure(&mut state);
        // Engines that waited for this sample before they take jobs.
        let loading = state.models.iter().filter(|(_, managed)| state.state_of(managed).is_loading());
        let ready = loading.filter_map(|(id, managed)| {
            let engine = managed.engine.as_ref()?;
            matches!(engine.status.state, State::Ready(_)).then_some((*id, managed.generation))
        });
        let ready: Vec<_> = ready.collect();
        drop(state);
        self.tick();
        for (id, generation) in ready {
            self.on_engine_status(id, generation);
        }
    }

    /// Lets an engine take jobs whose device sample has not come in time.
    pub(crate) fn accept_unread(self: &Arc<Self>, id: ManagedId, generation: u64) {
        let mut state = self.lock();
        let managed = state.models.get_mut(&id).filter(|managed| managed.generation == generation);
        let Some(engine) = managed.and_then(|managed| managed.engine.as_mut()) else { return };
        engine.accepted_unread = true;
        drop(state);
        self.on_engine_status(id, generation);
    }

    /// Runs the scheduler's timers.
    pub(crate) fn tick(self: &Arc<Self>) {
        let mut state = self.lock();
        let actions = state.scheduler.tick(self.moment());
        let changed = !actions.is_empty();
        self.conclude(state, actions);
        if changed {
            self.changed();
        }
    }

    /// When the next timer is due, on the runtime's clock.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let due = self.lock().scheduler.due();
        due.map(|moment| self.start + moment)
    }

    /// Reports a change to front ends, and wakes the tasks.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.work_ready.notify_one();
    }

    /// Takes the queued work.
    pub(crate) fn take_work(&self) -> Vec<Work> {
        std::mem::take(&mut self.lock().work)
    }

    pub(crate) fn view(&self, model: Option<&str>, task: JobTask) -> Option<ModelView> {
        let devices = self.devices.now();
        let (state, requested) = self.lock_for(model);
        let managed = state.models.get(&state.find(&requested, task).ok()?)?;
        Some(ModelView::of(managed, &state.scheduler, &devices))
    }

    pub(crate) fn report(&self) -> Report {
        let devices = self.devices.now();
        let state = self.lock();
        let missing = state.missing.iter().map(|missing| state.missing_text(&missing.name, &missing.reason));
        let mut unmet: Vec<String> = missing.collect();
        unmet.extend(state.gaps());
        unmet.extend(state.staying().filter_map(|(_, managed)| managed.shortfall()));
        unmet.extend(state.staying().filter_map(|(_, managed)| managed.deviation()));
        unmet.extend(state.staying().filter_map(|(_, managed)| managed.unknown_devices.unmet().cloned()));
        unmet.extend(state.staying().filter_map(|(_, managed)| {
            let placement_error = managed.placement_error.as_ref().filter(|_| managed.keep != KeepReason::Demand)?;
            Some(format!("{} is not loaded: {placement_error}", managed.name()))
        }));
        unmet.extend(state.staying().filter_map(|(_, managed)| {
            let named = state.has_failed(managed) && managed.keep != KeepReason::Demand;
            named.then(|| refusal(managed, Reason::Failed).to_string())
        }));
        let primary = state.primary(JobTask::Chat);
        let mut order: Vec<(&ManagedId, &ManagedModel)> = state.models.iter().collect();
        // A stable sort: all others keep their order.
        order.sort_by_key(|(id, managed)| (Some(**id) != primary, managed.keep == KeepReason::Leaving));
        let models = order.into_iter().map(|(_, managed)| ModelView::of(managed, &state.scheduler, &devices)).collect();
        let unusable_devices = self.visibility.unreachable_devices(&devices).map(|device| device.id.clone()).collect();
        let downloads = state.downloads.clone();
        Report { models, devices, unusable_devices, unmet, downloads }
    }
}

/// The scheduler's limits.
fn limits(config: &Config) -> Limits {
    Limits {
        max_wait: config.max_wait,
        max_waiting: config.max_waiting,
        min_loaded_time: config.min_loaded_time,
        preempt_after: config.preempt_after,
        drain: config.drain_timeout,
        load_backoff: config.failed_retry,
    }
}
