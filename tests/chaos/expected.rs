//! What comes of every fault at every moment: the matrix, as a picture.

use Expected::{CutShort, Drained, GivenBack, Heals, Outlived, Refused, Resumed, Retried, Senseless, Unmoved};
use Fault::*;

use crate::actor::Actor;
use crate::fault::Fault;
use crate::moment::Moment;

/// What a cell ends in. Whatever it is, the rules of `cell` hold too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing is felt: every answer is whole, from the same engine over the same link.
    Unmoved,
    /// No job was there; a fresh engine comes by itself.
    Heals,
    /// Jobs without text so far get their whole answer from a fresh engine.
    Retried,
    /// Jobs with text end in one error that says so; those without get their answer from a fresh engine.
    CutShort,
    /// Running answers are finished by the old engine, then a fresh one comes; who waits gets a whole answer too.
    Outlived,
    /// Jobs are told that the model has failed (those with text, that they are cut short). Once what was taken away is
    /// back, the model comes back by itself.
    Refused,
    /// The link is lost, the worker and its engine are not: asked again, every answer goes on where it stopped.
    Resumed,
    /// The worker ends with status 0 when every job that it has is finished, those that wait too.
    Drained,
    /// The worker ends and leaves its jobs to the router, which gives them to the next one.
    GivenBack,
    /// There is no such thing, for this reason.
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

/// What a real engine can play too: what does not ask for an end of its own or for an exact moment. A router's silence
/// does: an answer that ended in it would be given again, and end twice.
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
/// And when.
pub(crate) const REAL_MOMENTS: [Moment; 3] = [Moment::Idle, Moment::Streaming, Moment::Several];

/// Every row with its engine: first all with the fake one, then those with the real one.
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

    /// Whether it is the same engine that serves afterwards.
    pub(crate) fn keeps_engine(self) -> bool {
        matches!(self, Unmoved | Resumed)
    }
}
