//! The present process of a model: what it was started as, where it lies, how it fares, what follows its end.

use std::sync::Arc;

use auxot_engine::{EngineHandle, Spec, State, Status};
use auxot_gpu::{ProcessUse, Sample};
use tokio::sync::oneshot;

use crate::devices::Devices;
use crate::model::plan::Plan;
use auxot_placement::{Placement, Subject};

/// The process of one load, from its start to its end.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) handle: EngineHandle,
    pub(crate) status: Status,
    /// What it was started as, but for what its place adds.
    pub(crate) spec: Spec,
    /// Its program, build and arguments, but for what its place adds.
    pub(crate) line: String,
    pub(crate) placement: Placement,
    /// What it is remembered under, and what it was seen to take of each of its devices, or of the host's memory alone.
    pub(crate) subject: Option<Subject>,
    pub(crate) took: Vec<u64>,
    /// Bytes of the host's memory that it holds and can do without, as was seen when it had loaded.
    pub(crate) repacked: u64,
    /// The newest reading from while it was loaded, when it was told to end.
    pub(crate) before: Option<Arc<Sample>>,
    /// A dry run goes before its start: dropped, it is over.
    pub(crate) dry_run: Option<oneshot::Receiver<()>>,
    /// It takes jobs although its devices could not be read in time.
    pub(crate) accepted_unread: bool,
    /// What follows its end, if that is decided already.
    pub(crate) after: Option<AfterExit>,
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterExit {
    /// Nothing: the model is on disk until somebody wants it.
    Unload,
    /// The next load, perhaps in another size, for which nobody is ended.
    Retry,
    /// The next load, wanted like the first one.
    Reload,
    /// Nothing, until somebody mends what is wrong.
    Fail,
    /// What the folders show: a file of the model is another one than was planned with, or gone.
    Rescan,
}

impl Engine {
    /// A process that is about to start.
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
            took: Vec::new(),
            repacked: 0,
            before: None,
            dry_run: None,
            accepted_unread: false,
            after: None,
        }
    }

    /// Ends it: its jobs have had their time.
    pub(crate) fn stop(&mut self, devices: &Devices) {
        let sample = devices.now();
        self.before = self.is_shown_by(&sample).then_some(sample);
        self.dry_run = None;
        self.handle.stop();
    }

    /// Whether a reading was begun when it was loaded, and so shows what it holds.
    pub(crate) fn is_shown_by(&self, sample: &Sample) -> bool {
        matches!(self.status.state, State::Ready(_)) && sample.taken >= self.status.since
    }

    /// Whether it has started again after an end that nobody asked for, and its devices were not read since. Where one of
    /// them is lost it would run on the processor, or not at all.
    pub(crate) fn awaits_reading(&self, devices: &Devices) -> bool {
        let again = self.status.run.0 > 1 && !self.placement.shares.is_empty();
        again && !self.accepted_unread && devices.are_read() && !self.is_shown_by(&devices.now())
    }

    /// Bytes that it needs of the host's memory now, where nothing is on a device.
    pub(crate) fn needs_of_host(&self) -> Option<u64> {
        self.needs(&auxot_gpu::host_use(self.status.pid?))
    }

    /// The same where it holds so much.
    pub(crate) fn needs(&self, held: &ProcessUse) -> Option<u64> {
        Some(held.bytes?.saturating_sub(self.repacked.min(held.mapped.unwrap_or(0))))
    }

    /// What it was seen to take, by device.
    pub(crate) fn took(&self) -> Vec<(String, u64)> {
        let devices = self.placement.bytes().map(|(device, _)| device.to_owned());
        devices.zip(self.took.iter().copied()).collect()
    }

    /// Whether it lies on a device that the driver cannot reach any more.
    pub(crate) fn has_lost_a_device(&self, sample: &Sample) -> bool {
        let lost = |id: &str| sample.devices.iter().any(|device| device.id == id && device.lost);
        self.placement.shares.iter().any(|share| lost(&share.device))
    }

    /// Whether it runs as a plan says.
    pub(crate) fn is_of(&self, plan: &Plan) -> bool {
        self.spec == plan.spec() && self.line == plan.key.line()
    }

    /// Whether nothing is left of it, and nothing comes by itself. One that could not be killed still holds its memory.
    pub(crate) fn has_ended(&self) -> bool {
        let over = match self.status.state {
            State::Failed { .. } => true,
            // It is at rest before its first life too.
            State::Stopped => self.status.run.0 > 0,
            _ => false,
        };
        over && self.status.pid.is_none()
    }
}
