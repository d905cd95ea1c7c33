//! One run of an engine: its number, and what is known of it once it serves.

use std::fmt;
use std::time::Duration;

use auxot_llama::{Endpoint, Props};

/// The number of one process of an engine; 0 means that there was none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RunId(pub u64);

impl RunId {
    pub(crate) fn next(self) -> RunId {
        RunId(self.0 + 1)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The facts of a process that serves: how to reach it, and what it reports about itself.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The run that this belongs to.
    pub run: RunId,
    /// The process.
    pub pid: u32,
    /// Where it listens; invalid after this run.
    pub endpoint: Endpoint,
    /// What it has loaded, as `/props` reports it.
    pub props: Props,
    /// From the start of the process to readiness.
    pub load_time: Duration,
}
