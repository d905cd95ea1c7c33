//! One row: a fault at every moment, some cells in parallel.

use std::any::Any;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use libtest_mimic::Failed;
use tokio::task::JoinSet;

use crate::actor::Actor;
use crate::cell;
use crate::expected::{Expected, REAL_MOMENTS};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::table::{Cell, Row};

/// Parallel cells. They mostly wait, and a worker with its engine is two small processes.
const SIDE_BY_SIDE: usize = 4;
/// A real engine needs a processor for itself: with more of them than there are, an answer could be over before a slow
/// test has seen its beginning.
const REAL_SIDE_BY_SIDE: usize = 1;

/// The name of a row.
pub(crate) fn name(fault: Fault, actor: Actor) -> String {
    match actor {
        Actor::Fake => fault.name().to_owned(),
        Actor::Real => format!("real, {}", fault.name()),
    }
}

/// Runs the row and writes its figures; the error names every cell with another outcome than expected.
pub(crate) fn play(fault: Fault, actor: Actor) -> Result<(), Failed> {
    let (moments, side_by_side) = match actor {
        Actor::Fake => (&Moment::ALL[..], SIDE_BY_SIDE),
        Actor::Real => (&REAL_MOMENTS[..], REAL_SIDE_BY_SIDE),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let row = runtime.block_on(async {
        let mut cells = Vec::new();
        let mut moments = moments.iter().copied();
        let mut playing = FuturesUnordered::new();
        playing.extend(moments.by_ref().take(side_by_side).map(|moment| play_cell(fault, actor, moment)));
        while let Some(cell) = playing.next().await {
            cells.push(cell);
            playing.extend(moments.next().map(|moment| play_cell(fault, actor, moment)));
        }
        Row::new(name(fault, actor), cells)
    });
    row.write()?;
    let faults = row.faults();
    if faults.is_empty() { Ok(()) } else { Err(faults.into()) }
}

async fn play_cell(fault: Fault, actor: Actor, moment: Moment) -> Cell {
    let expected = Expected::of(fault, moment);
    if let Expected::Senseless(reason) = expected {
        return Cell::senseless(moment, reason);
    }
    // A separate task, so that its panic ends only this cell.
    let mut task = JoinSet::new();
    task.spawn(cell::play(fault, actor, moment, expected));
    match task.join_next().await {
        Some(Ok(recovery)) => Cell::held(moment, expected, recovery),
        Some(Err(end)) => Cell::broken(moment, expected, said(end)),
        None => Cell::broken(moment, expected, "it was not played".to_owned()),
    }
}

/// The panic message of a cell.
fn said(end: tokio::task::JoinError) -> String {
    let words = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |words| (*words).to_owned()),
    };
    end.try_into_panic().map_or_else(|end| end.to_string(), words)
}

/// Seconds with two digits.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}
