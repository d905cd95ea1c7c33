//! An engine that becomes ready, and one that crashes: how soon the worker reacts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use auxot_tests::http;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::figure::Figure;
use crate::rig::{DEADLINE, Rig, Setup};
use crate::samples::Samples;

const LIVES: usize = 10;
/// A load long enough for the worker to wait for it, at another point of its polling each time.
const LOADS: [&str; 2] = ["--load-ms 83", "--silent-load --load-ms 83"];

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let (mut reported, mut found, mut alone) = (Samples::default(), Samples::default(), Samples::default());
    let (mut again, mut spawned) = (Samples::default(), Samples::default());
    for _ in 0..LIVES {
        for (switches, ready) in LOADS.into_iter().zip([&mut reported, &mut found]) {
            let mut rig = Rig::start(Setup { models: 1, switches, ..Setup::default() }).await?;
            let pid = rig.reports.next("start", DEADLINE).await.pid;
            let (_link, greeted) = rig.greeted().await?;
            // Its time was recorded on arrival, before `hello_ack`.
            let at = rig.reports.next("ready", DEADLINE).await.at;
            ready.push(ms(greeted.saturating_duration_since(at)));
            let since = Instant::now();
            http::get_unix(&rig.socket()?, "/props").await?;
            alone.push(ms(since.elapsed()));
            let killed = Instant::now();
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
            again.push(ms(rig.reports.next("start", DEADLINE).await.at.duration_since(killed)));
            spawned.push(ms(spawn_alone(&mut rig).await?));
            rig.kill().await?;
        }
    }
    let (alone, spawned) = (alone.worst(), spawned.worst());
    Ok(vec![
        Figure::at_most("engine ready → taking jobs, worst", "ms", reported.worst(), 25.0).direct(alone).go(852.0),
        Figure::at_most("the same, engine without state lines", "ms", found.worst(), 25.0).direct(alone).go(852.0),
        Figure::at_most("engine killed → new process runs, worst", "ms", again.worst(), 20.0)
            .direct(spawned)
            .go(2005.0),
    ])
}

/// The time from starting the same engine by hand to its first output.
async fn spawn_alone(rig: &mut Rig) -> anyhow::Result<Duration> {
    let mut command = Command::new(auxot_tests::binaries::fake_engine());
    command.arg("-m").arg(rig.model()).arg("--host").arg(rig.join("alone.sock"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let begun = Instant::now();
    let mut engine = command.spawn().context("cannot start the engine")?;
    let pid = engine.id().unwrap_or_default();
    let started = rig.reports.next_of(pid, "start", DEADLINE).await;
    engine.kill().await?;
    Ok(started.at.duration_since(begun))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
