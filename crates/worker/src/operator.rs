//! What the control socket asks of this program: a drain, a reload, another level of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auxot_admin::control::{Program, Reloading};

use crate::logging::LevelControl;
use crate::reload::ReloadRequests;
use crate::shutdown::{DrainCommand, Shutdown};

/// The program, as the control socket sees it.
#[derive(Debug)]
pub(crate) struct Operator {
    drain: Arc<DrainCommand>,
    is_ending: Arc<AtomicBool>,
    reloads: ReloadRequests,
    level: LevelControl,
}

impl Operator {
    pub(crate) fn new(shutdown: &Shutdown, reloads: ReloadRequests, level: LevelControl) -> Self {
        Self { drain: shutdown.command(), is_ending: shutdown.is_requested(), reloads, level }
    }
}

impl Program for Operator {
    fn drain(&self) {
        self.drain.give();
    }

    fn is_draining(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    fn reload(&self) -> Reloading {
        Box::pin(self.reloads.request())
    }

    fn log_level(&self) -> String {
        self.level.text()
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        self.level.set(level)
    }
}
