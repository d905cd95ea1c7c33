//! A worker killed by SIGKILL in every state: how long its engines survive it.

use std::time::{Duration, Instant};

use auxot_tests::http;
use nix::sys::signal::Signal;

use crate::figure::Figure;
use crate::frames::Said;
use crate::peer::job;
use crate::rig::{DEADLINE, Rig, Setup};
use crate::samples::Samples;

/// Kills in each state.
const KILLS: u32 = 4;
const STATES: [State; 7] = [
    State::Spawning,
    State::Starting,
    State::Loading,
    State::Ready,
    State::Streaming,
    State::Draining,
    State::Stopping,
];
/// An engine that does not exit by itself.
const STUBBORN: &str = "--ignore-sigterm";
const STUBBORN_LOAD: &str = "--ignore-sigterm --load-ms 60000";
const STREAM: &str = "fake: --tokens 100000 --token-us 2000";

/// The worker's state when it is killed.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Some milliseconds after its own start: around the start of the engine.
    Spawning,
    /// The engine has begun to run.
    Starting,
    /// The engine answers that it is loading.
    Loading,
    Ready,
    Streaming,
    /// Draining, with a stream to finish.
    Draining,
    /// Its engine got a TERM and does not exit.
    Stopping,
}

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let (mut gone, mut alone) = (Samples::default(), Samples::default());
    for state in STATES {
        for number in 0..KILLS {
            let took = killed(state, number).await?;
            gone.push(took.as_secs_f64());
        }
    }
    for _ in 0..KILLS {
        alone.push(engine_alone().await?.as_secs_f64());
    }
    let figure = Figure::at_most("worker SIGKILLed → last engine gone, worst", "s", gone.worst(), 1.0);
    Ok(vec![figure.direct(alone.worst())])
}

async fn killed(state: State, number: u32) -> anyhow::Result<Duration> {
    let loads = matches!(state, State::Spawning | State::Starting | State::Loading);
    let switches = if loads { STUBBORN_LOAD } else { STUBBORN };
    let mut rig = Rig::start(Setup { models: 2, switches, ..Setup::default() }).await?;
    if let State::Spawning = state {
        // A start has no event to wait for, so several moments are tried.
        tokio::time::sleep(Duration::from_millis(4) * (number + 1)).await;
        return rig.kill().await;
    }
    rig.reports.next("start", DEADLINE).await;
    rig.reports.next("start", DEADLINE).await;
    match state {
        State::Spawning | State::Starting => return rig.kill().await,
        State::Loading => {
            let socket = rig.socket()?;
            while !http::get_unix(&socket, "/health").await.is_ok_and(|answer| answer.status == 503) {}
            return rig.kill().await;
        }
        _ => {}
    }
    let mut link = rig.link().await?;
    rig.reports.next("ready", DEADLINE).await;
    if let State::Streaming | State::Draining = state {
        link.send(&job(1, STREAM)).await?;
        while link.next().await?.said != Said::Token {}
    }
    if let State::Draining | State::Stopping = state {
        rig.signal(Signal::SIGTERM)?;
    }
    match state {
        // Still streaming a while after the signal, so it is draining.
        State::Draining => {
            for _ in 0..10 {
                while link.next().await?.said != Said::Token {}
            }
        }
        State::Stopping => drop(rig.reports.next("term", DEADLINE).await),
        _ => {}
    }
    rig.kill().await
}

/// The same for an engine without a worker: from its SIGKILL to its exit.
async fn engine_alone() -> anyhow::Result<Duration> {
    let mut rig = Rig::start(Setup { models: 1, ..Setup::default() }).await?;
    let pid = rig.reports.next("start", DEADLINE).await.pid;
    let begun = Instant::now();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
    let gone = rig.reports.next_of(pid, "end", DEADLINE).await.at.duration_since(begun);
    rig.kill().await?;
    Ok(gone)
}
