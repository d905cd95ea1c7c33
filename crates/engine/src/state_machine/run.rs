//! One process of an engine: its number, and what is known of it once it serves.

use std::fmt;
use std::time::Duration;

use auxot_llama::{Endpoint, Props};

/// Which life of an engine a piece of news belongs to; 0 is "none yet".
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

/// What is true of a child that serves: how to reach it and what it says of itself.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The life this belongs to.
    pub run: RunId,
    /// The process.
    pub pid: u32,
    /// Where it listens; gone with this life.
    pub endpoint: Endpoint,
    /// What it has loaded, in its own words.
    pub props: Props,
    /// From the start of the process to readiness.
    pub load_time: Duration,
}
