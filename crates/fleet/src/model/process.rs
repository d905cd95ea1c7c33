//! The engine of a model: what it was started with, where it is placed, its status, what it holds, and what follows its exit.

use std::sync::Arc;

use auxot_engine::{EngineHandle, Spec, State, Status};
use auxot_gpu::{ProcessUse, Sample};
use tokio::sync::oneshot;

use crate::devices::Devices;
use crate::model::history::Measurements;
use crate::model::plan::Plan;
use auxot_placement::{Placement, Subject};

/// The engine of one load, from its start to its exit.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) handle: EngineHandle,
    pub(crate) status: Status,
    /// The spec, without what the placement adds.
    pub(crate) spec: Spec,
    /// Program, build and arguments, without what the placement adds.
    pub(crate) line: String,
    pub(crate) placement: Placement,
    /// The key of its measurements.
    pub(crate) subject: Option<Subject>,
    pub(crate) measured: Vec<u64>,
    /// Repacked bytes: host memory that it holds and can give back, as measured when it became ready.
    pub(crate) repacked: u64,
    /// The newest device sample from the time when it was ready, taken when it was stopped.
    pub(crate) before: Option<Arc<Sample>>,
    /// A dry run precedes its start. Dropping this cancels the dry run.
    pub(crate) dry_run: Option<oneshot::Receiver<()>>,
    /// It takes jobs although its devices could not be read in time.
    pub(crate) accepted_unread: bool,
    /// What follows its exit, where that is already decided.
    pub(crate) after: Option<AfterExit>,
}

/// What follows the exit of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterExit {
    /// The model stays unloaded until a job, the list or a policy wants it.
    Unload,
    /// The next load, perhaps in another size, without an eviction.
    Retry,
    /// The next load, with the right to evict that the first one had.
    Reload,
    /// The model has failed; see `owner::retry`.
    Fail,
    /// A scan of the folders: a file of the model has changed since the plan, or is gone.
    Rescan,
}

impl Engine {
    /// An engine that is about to start.
    pub(crate) fn new(handle: EngineHandle, plan: &Plan, placement: Placement, subject: Option<Subject>) -> Self {
        let status = handle.status().borrow().clone();
        let (spec, line) = (plan.spec(), plan.key.line().to_owned());
        Self {
            handle,
            status,
            spec,
            line,
            placement,
            subject,
            measured: Vec::new(),
            repacked: 0,
            before: None,
            dry_run: None,
            accepted_unread: false,
            after: None,
        }
    }

    /// Stops the engine; its jobs have been drained before.
    pub(crate) fn stop(&mut self, devices: &Devices) {
        let sample = devices.now();
        self.before = self.is_shown_by(&sample).then_some(sample);
        self.dry_run = None;
        self.handle.stop();
    }

    /// Whether a sample began while the engine was ready, and so shows what it holds.
    pub(crate) fn is_shown_by(&self, sample: &Sample) -> bool {
        matches!(self.status.state, State::Ready(_)) && sample.taken >= self.status.since
    }

    /// Whether the engine was restarted after an unexpected exit and its devices have not been read since. With a lost device
    /// it would run on the processor, or not at all.
    pub(crate) fn awaits_reading(&self, devices: &Devices) -> bool {
        let again = self.status.run.0 > 1 && !self.placement.shares.is_empty();
        again && !self.accepted_unread && devices.are_read() && !self.is_shown_by(&devices.now())
    }

    /// Bytes that it needs of host memory at a reading, where nothing is on a device.
    pub(crate) fn needs(&self, held: &ProcessUse) -> Option<u64> {
        Some(held.bytes?.saturating_sub(self.repacked.min(held.mapped.unwrap_or(0))))
    }

    /// Measured bytes by device.
    pub(crate) fn measured(&self) -> Vec<(String, u64)> {
        let devices = self.placement.bytes().map(|(device, _)| device.to_owned());
        devices.zip(self.measured.iter().copied()).collect()
    }

    /// Records what the engine is seen to hold on its devices while it is ready. Returns whether the history has changed.
    pub(crate) fn record_devices(&mut self, holds: &[(String, u64)], measurements: &Measurements) -> bool {
        if !matches!(self.status.state, State::Ready(_)) || self.placement.shares.is_empty() {
            return false;
        }
        let of = |device: &str| holds.iter().find(|(held, _)| held == device).map(|(_, bytes)| *bytes);
        let Some(now) = self.placement.shares.iter().map(|share| of(&share.device)).collect::<Option<Vec<u64>>>()
        else {
            return false;
        };
        let most =
            self.measured.iter().copied().chain(std::iter::repeat(0)).zip(&now).map(|(before, now)| before.max(*now));
        let most: Vec<u64> = most.collect();
        if most == self.measured {
            return false;
        }
        self.measured = most;
        self.record(self.measured.clone(), measurements)
    }

    /// Records what the engine holds of host memory when it has become ready, before its first job.
    pub(crate) fn record_host_memory(&mut self, held: &ProcessUse, measurements: &Measurements) -> bool {
        if !self.placement.shares.is_empty() || self.status.pid != Some(held.pid) {
            return false;
        }
        self.repacked = self.placement.repacked_bytes(held);
        let Some(needs) = self.needs(held) else { return false };
        self.measured = vec![needs.saturating_add(self.placement.at_work)];
        self.record(self.measured.clone(), measurements)
    }

    /// Records what this placement holds. Returns whether the history has changed.
    pub(crate) fn record(&self, measured: Vec<u64>, measurements: &Measurements) -> bool {
        self.subject.as_ref().is_some_and(|subject| measurements.learn(subject, &self.placement, measured))
    }

    /// Whether this placement has a measurement; without a subject none is possible, which counts as measured.
    pub(crate) fn is_measured(&self, measurements: &Measurements) -> bool {
        self.subject.as_ref().is_none_or(|subject| measurements.knows(subject, &self.placement))
    }

    /// Whether one of its devices is lost.
    pub(crate) fn has_lost_a_device(&self, sample: &Sample) -> bool {
        let lost = |id: &str| sample.devices.iter().any(|device| device.id == id && device.lost);
        self.placement.shares.iter().any(|share| lost(&share.device))
    }

    /// Whether it runs as the plan says.
    pub(crate) fn is_of(&self, plan: &Plan) -> bool {
        self.spec == plan.spec() && self.line == plan.key.line()
    }

    /// Whether the process is gone and will not be restarted. One that could not be killed still holds its memory.
    pub(crate) fn has_ended(&self) -> bool {
        let over = match self.status.state {
            State::Failed { .. } => true,
            // `Stopped` is also the state before the first run.
            State::Stopped => self.status.run.0 > 0,
            _ => false,
        };
        over && self.status.pid.is_none()
    }
}
