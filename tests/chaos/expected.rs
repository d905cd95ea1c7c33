//! The expected outcome of every fault at every moment, as a table.

use Expected::{CutShort, Drained, GivenBack, Heals, Outlived, Refused, Resumed, Retried, Senseless, Unmoved};
use Fault::*;

use crate::actor::Actor;
use crate::fault::Fault;
use crate::moment::Moment;

/// The outcome of a cell. The rules of `cell` hold for every outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No effect: every answer is complete, from the same engine over the same connection.
    Unmoved,
    /// There was no job; a new engine starts by itself.
    Heals,
    /// Jobs without text so far get their whole answer from a new engine.
    Retried,
    /// Jobs with text end in one error; jobs without text get their answer from a new engine.
    CutShort,
    /// The old engine finishes running answers, then a new one starts; waiting jobs get a whole answer too.
    Outlived,
    /// Jobs end with the error that the model has failed (jobs with text: that they are cut short). Once the removed part is
    /// restored, the model loads by itself.
    Refused,
    /// Only the connection is lost: every job that is sent again continues where it stopped.
    Resumed,
    /// The worker exits with status 0 once all of its jobs are finished, waiting ones too.
    Drained,
    /// The worker exits; the router dispatches its jobs to the next worker.
    GivenBack,
    /// The combination does not exist, for this reason.
    Senseless(&'static str),
}

const NO_SOCKET: Expected = Senseless("it does not listen yet");
const NO_CHILD: Expected = Senseless("no engine lives");
const NO_LINK: Expected = Senseless("the first link comes with the first engine");
const NO_JOB: Expected = Senseless("no job was ever given");

/// Rows of faults, columns of moments.
#[rustfmt::skip]
pub(crate) const TABLE: [(Fault, [Expected; 8]); 19] = [
    //                  starting   loading    ready idle prompt     streaming  several    draining   backing off
    (ChildKilled,      [Heals,     Retried,   Heals,     Retried,   CutShort,  CutShort,  CutShort,  NO_CHILD ]),
    (ChildStopped,     [Heals,     Retried,   Heals,     Retried,   CutShort,  CutShort,  CutShort,  NO_CHILD ]),
    (ChildExits,       [Heals,     Retried,   Heals,     Retried,   CutShort,  CutShort,  CutShort,  NO_CHILD ]),
    (ChildAborts,      [Heals,     Retried,   Heals,     Retried,   CutShort,  CutShort,  CutShort,  NO_CHILD ]),
    (ChildOutOfMemory, [Heals,     Retried,   Heals,     Retried,   CutShort,  CutShort,  CutShort,  NO_CHILD ]),
    (EngineMissing,    [Refused,   Refused,   Refused,   Refused,   Refused,   Refused,   CutShort,  Refused  ]),
    (ModelTruncated,   [Refused,   Refused,   Refused,   Refused,   Refused,   Refused,   CutShort,  Refused  ]),
    (ModelReplaced,    [Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Drained,   Unmoved  ]),
    (SocketRemoved,    [NO_SOCKET, Retried,   Heals,     Outlived,  Outlived,  Outlived,  Drained,   NO_CHILD ]),
    (LogFull,          [Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Drained,   Unmoved  ]),
    (WorkerTerm,       [Drained,   Drained,   Drained,   Drained,   Drained,   Drained,   GivenBack, Drained  ]),
    (WorkerKill,       [GivenBack, GivenBack, GivenBack, GivenBack, GivenBack, GivenBack, GivenBack, GivenBack]),
    (RouterCloses,     [NO_LINK,   Resumed,   Resumed,   Resumed,   Resumed,   Resumed,   GivenBack, Resumed  ]),
    (RouterResets,     [NO_LINK,   Resumed,   Resumed,   Resumed,   Resumed,   Resumed,   GivenBack, Resumed  ]),
    (RouterSilent,     [NO_LINK,   Resumed,   Resumed,   Resumed,   Resumed,   Resumed,   GivenBack, Resumed  ]),
    (RouterSlow,       [NO_LINK,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Drained,   Unmoved  ]),
    (RouterRestarts,   [Unmoved,   Resumed,   Resumed,   Resumed,   Resumed,   Resumed,   GivenBack, Resumed  ]),
    (RouterResends,    [NO_JOB,    Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Drained,   Unmoved  ]),
    (ClockJump,        [Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Unmoved,   Drained,   Unmoved  ]),
];

/// Cells that a real engine can play: those without a special exit and without an exact moment. A router's silence
/// needs an exact moment: an answer that ended in it would be dispatched again and end twice.
pub(crate) const REAL_FAULTS: [Fault; 14] = [
    ChildKilled,
    ChildStopped,
    ChildAborts,
    EngineMissing,
    ModelTruncated,
    ModelReplaced,
    SocketRemoved,
    LogFull,
    WorkerTerm,
    WorkerKill,
    RouterCloses,
    RouterResets,
    RouterResends,
    ClockJump,
];
/// The moments of those cells.
pub(crate) const REAL_MOMENTS: [Moment; 3] = [Moment::Idle, Moment::Streaming, Moment::Several];

/// Every row with its engine: first the rows of the fake engine, then those of the real one.
pub(crate) fn rows() -> impl Iterator<Item = (Fault, Actor)> {
    let fake = TABLE.iter().map(|(fault, _)| (*fault, Actor::Fake));
    fake.chain(REAL_FAULTS.map(|fault| (fault, Actor::Real)))
}

impl Expected {
    /// The row of a fault.
    pub(crate) fn of(fault: Fault, moment: Moment) -> Expected {
        let row = TABLE.iter().find(|(row, _)| *row == fault).map(|(_, cells)| cells);
        let column = Moment::ALL.iter().position(|column| *column == moment);
        match row.zip(column) {
            Some((cells, column)) => cells[column],
            None => Senseless("it is not in the table"),
        }
    }

    /// The word in the printed table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Unmoved => "unmoved",
            Heals => "heals",
            Retried => "retried",
            CutShort => "cut short",
            Outlived => "outlived",
            Refused => "refused",
            Resumed => "resumed",
            Drained => "drained",
            GivenBack => "given back",
            Senseless(_) => "–",
        }
    }

    /// Whether the same engine serves afterwards.
    pub(crate) fn keeps_engine(self) -> bool {
        matches!(self, Unmoved | Resumed)
    }
}
