//! An idle worker: the cost of four loaded models.

use std::time::{Duration, Instant};

use crate::figure::Figure;
use crate::rig::{Rig, Setup};
use crate::usage::cpu_time;

const MODELS: usize = 4;
/// Long enough for the start to be complete.
const SETTLED: Duration = Duration::from_secs(3);
/// Long enough for every periodic check.
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut rig = Rig::start(Setup { models: MODELS, ..Setup::default() }).await?;
    let mut link = rig.link().await?;
    for _ in 0..MODELS {
        rig.reports.next("ready", crate::rig::DEADLINE).await;
    }
    link.listen_for(SETTLED).await?;
    let (before, begun) = (cpu_time(rig.pid())?, Instant::now());
    link.listen_for(WATCHED).await?;
    let used = cpu_time(rig.pid())?.saturating_sub(before);
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    Ok(vec![Figure::at_most("idle CPU with four models, of one core", "%", share, 0.1).go(0.02)])
}
