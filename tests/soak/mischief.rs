//! What goes wrong in a storm: at once, or until it is undone.

use std::time::Duration;

use crate::dice::Dice;

/// The longest pause between two of them; half of it is the mean.
const PAUSE: Duration = Duration::from_millis(1600);

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mischief {
    EngineKilled,
    EngineStopped,
    EngineExits,
    EngineAborts,
    EngineOutOfMemory,
    SocketRemoved,
    ModelReplaced,
    /// The file is cut and its engine killed, until the file is whole again.
    ModelTruncated,
    RouterCloses,
    RouterResets,
    /// Reads and says nothing, until it is forgotten.
    RouterSilent,
    /// Reads slowly, until it hurries.
    RouterSlow,
    /// Is away, until it listens again.
    RouterRestarts,
    /// The worker is stopped, until it goes on: its clocks jump.
    WorkerStopped,
}

/// What ends a thing that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    Forget,
    Hurry,
    Listen,
    Continue,
    Restore,
}

impl Mischief {
    const ALL: [Mischief; 14] = [
        Mischief::EngineKilled,
        Mischief::EngineStopped,
        Mischief::EngineExits,
        Mischief::EngineAborts,
        Mischief::EngineOutOfMemory,
        Mischief::SocketRemoved,
        Mischief::ModelReplaced,
        Mischief::ModelTruncated,
        Mischief::RouterCloses,
        Mischief::RouterResets,
        Mischief::RouterSilent,
        Mischief::RouterSlow,
        Mischief::RouterRestarts,
        Mischief::WorkerStopped,
    ];

    /// The next one; of those that last there is one at a time.
    pub(crate) fn draw(dice: &mut Dice, one_lasts: bool) -> Mischief {
        loop {
            let drawn = dice.one_of(&Mischief::ALL);
            if !(one_lasts && drawn.undo(dice).is_some()) {
                return drawn;
            }
        }
    }

    /// After which time it is undone, and how, if it lasts.
    pub(crate) fn undo(self, dice: &mut Dice) -> Option<(Duration, Undo)> {
        let (longest, undo) = match self {
            // Longer or shorter than the worker bears a silence.
            Mischief::RouterSilent => (5000, Undo::Forget),
            Mischief::RouterSlow => (3000, Undo::Hurry),
            Mischief::RouterRestarts => (1000, Undo::Listen),
            Mischief::WorkerStopped => (1500, Undo::Continue),
            Mischief::ModelTruncated => (2000, Undo::Restore),
            _ => return None,
        };
        Some((dice.up_to(Duration::from_millis(longest)), undo))
    }

    /// How long until the next one.
    pub(crate) fn pause(dice: &mut Dice) -> Duration {
        dice.up_to(PAUSE)
    }

    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mischief::EngineKilled => "engine killed",
            Mischief::EngineStopped => "engine stopped",
            Mischief::EngineExits => "engine exits 1",
            Mischief::EngineAborts => "engine aborts",
            Mischief::EngineOutOfMemory => "engine out of memory",
            Mischief::SocketRemoved => "socket removed",
            Mischief::ModelReplaced => "model replaced",
            Mischief::ModelTruncated => "model truncated",
            Mischief::RouterCloses => "router closes",
            Mischief::RouterResets => "router resets",
            Mischief::RouterSilent => "router silent",
            Mischief::RouterSlow => "router slow",
            Mischief::RouterRestarts => "router restarts",
            Mischief::WorkerStopped => "worker stopped",
        }
    }
}
