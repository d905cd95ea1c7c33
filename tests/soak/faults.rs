//! Faults of a storm: momentary ones, and ones that last until they are undone.

use std::time::Duration;

use crate::random::Random;

/// The longest pause between two of them; half of it is the mean.
const PAUSE: Duration = Duration::from_millis(1600);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    EngineKilled,
    EngineStopped,
    EngineExits,
    EngineAborts,
    EngineOutOfMemory,
    SocketRemoved,
    ModelReplaced,
    /// The file is truncated and its engine killed, until the file is restored.
    ModelTruncated,
    RouterCloses,
    RouterResets,
    /// The router neither reads nor sends, until its connection is dropped.
    RouterSilent,
    /// The router reads slowly, until the fault is undone.
    RouterSlow,
    /// The router does not listen, until it listens again.
    RouterRestarts,
    /// The worker is stopped (SIGSTOP), until it continues: its clocks jump.
    WorkerStopped,
}

/// How a lasting fault is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    Forget,
    FullSpeed,
    Listen,
    Continue,
    Restore,
}

impl Fault {
    const ALL: [Fault; 14] = [
        Fault::EngineKilled,
        Fault::EngineStopped,
        Fault::EngineExits,
        Fault::EngineAborts,
        Fault::EngineOutOfMemory,
        Fault::SocketRemoved,
        Fault::ModelReplaced,
        Fault::ModelTruncated,
        Fault::RouterCloses,
        Fault::RouterResets,
        Fault::RouterSilent,
        Fault::RouterSlow,
        Fault::RouterRestarts,
        Fault::WorkerStopped,
    ];

    /// The next fault; only one lasting fault exists at a time.
    pub(crate) fn draw(random: &mut Random, one_lasts: bool) -> Fault {
        loop {
            let drawn = random.one_of(&Fault::ALL);
            if !(one_lasts && drawn.undo(random).is_some()) {
                return drawn;
            }
        }
    }

    /// When and how it is undone, if it lasts.
    pub(crate) fn undo(self, random: &mut Random) -> Option<(Duration, Undo)> {
        let (longest, undo) = match self {
            // Longer or shorter than the worker's silence time-out.
            Fault::RouterSilent => (5000, Undo::Forget),
            Fault::RouterSlow => (3000, Undo::FullSpeed),
            Fault::RouterRestarts => (1000, Undo::Listen),
            Fault::WorkerStopped => (1500, Undo::Continue),
            Fault::ModelTruncated => (2000, Undo::Restore),
            _ => return None,
        };
        Some((random.up_to(Duration::from_millis(longest)), undo))
    }

    /// The time until the next one.
    pub(crate) fn pause(random: &mut Random) -> Duration {
        random.up_to(PAUSE)
    }

    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::EngineKilled => "engine killed",
            Fault::EngineStopped => "engine stopped",
            Fault::EngineExits => "engine exits 1",
            Fault::EngineAborts => "engine aborts",
            Fault::EngineOutOfMemory => "engine out of memory",
            Fault::SocketRemoved => "socket removed",
            Fault::ModelReplaced => "model replaced",
            Fault::ModelTruncated => "model truncated",
            Fault::RouterCloses => "router closes",
            Fault::RouterResets => "router resets",
            Fault::RouterSilent => "router silent",
            Fault::RouterSlow => "router slow",
            Fault::RouterRestarts => "router restarts",
            Fault::WorkerStopped => "worker stopped",
        }
    }
}
