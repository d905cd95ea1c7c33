//! The input of a simulation (models with their behaviour, jobs) and the outcome of each job.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::{Layer, MemoryRequirements};
use auxot_scheduler::{ModelId, Moment, Profile, Reason};

const MIB: u64 = 1 << 20;

/// How a model behaves.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    pub(crate) profile: Profile,
    pub(crate) slots: u32,
    pub(crate) load: Duration,
    pub(crate) exit: Duration,
    /// Which of its loads fail, counted from 1.
    pub(crate) fails: Vec<u32>,
}

impl Behaviour {
    /// A model of so many MiB in eight layers.
    pub(crate) fn new(name: &str, mib: u64) -> Behaviour {
        let layer = Layer { weights: mib * MIB / 8, experts: 0, cache: 0 };
        let requirements = MemoryRequirements {
            layers: vec![layer; 8],
            output: 0,
            embedding: 0,
            weights: mib * MIB,
            compute: 100 * MIB,
            inputs: 5 * MIB,
            logits: 0,
            ..MemoryRequirements::default()
        };
        let profile = Profile::new(name, Arc::new(requirements));
        let (load, exit) = (Duration::from_secs(3 + mib / 1024), Duration::from_secs(1));
        Behaviour { profile, slots: 4, load, exit, fails: Vec::new() }
    }
}

/// A job that will arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Job {
    pub(crate) at: Moment,
    pub(crate) model: ModelId,
    pub(crate) runs: Duration,
    /// The job is cancelled after this time of waiting.
    pub(crate) preempt_after: Option<Duration>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// It ran after waiting for this time; `hit`: its model was loaded when it arrived.
    Ran { waited: Duration, hit: bool },
    /// It was refused.
    Refused(Reason),
    /// Its sender cancelled it.
    Cancelled,
    /// Its model was stopped before it ended, after the drain bound.
    Cut,
}

/// One loaded period of a model, for the chart.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    pub(crate) model: ModelId,
    pub(crate) devices: Vec<usize>,
    pub(crate) from: Moment,
    pub(crate) until: Moment,
}
