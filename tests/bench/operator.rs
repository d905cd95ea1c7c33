//! What operators cost: a command from the shell, a scrape of the metrics, and an open page, on a worker with fifty models.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use auxot_tests::http;

use crate::compare;
use crate::figure::Figure;
use crate::peer::Link;
use crate::rig::{Rig, Setup};
use crate::samples::Samples;
use crate::usage::cpu_time;

const MODELS: usize = 50;
/// Long enough for the start to be complete.
const SETTLED: Duration = Duration::from_secs(5);
/// How long the processor is watched.
const WATCHED: Duration = Duration::from_secs(20);
/// Commands, and scrapes.
const ROUNDS: usize = 40;
/// How often a Prometheus may scrape.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the page asks, and for what.
const PAGE_INTERVAL: Duration = Duration::from_secs(2);
const PAGE_PATHS: [&str; 2] = ["/v1/status", "/v1/jobs"];

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let settings = [("AUXOT_CTX_SIZE", "512")];
    let setup = Setup { models: MODELS, slots: Some(1), settings: &settings, ..Setup::default() };
    let mut rig = Rig::start(setup).await?;
    let mut link = rig.link().await?;
    for _ in 0..MODELS {
        rig.reports.next("ready", crate::rig::DEADLINE).await;
    }
    link.listen_for(SETTLED).await?;
    let (status, nothing) = commands(&rig)?;
    let address = metrics_address(&rig.log())?;
    let render = scrapes(&address).await?;
    let idle = share(&rig, &mut link, None).await?;
    let scraped = share(&rig, &mut link, Some(Asking::Scrape(&address))).await?;
    let socket = control_socket(&rig.join("rt"))?;
    let watched = share(&rig, &mut link, Some(Asking::Page(&socket))).await?;
    Ok(vec![
        Figure::at_most("status from the shell, 50 models", "ms", status, 1.5 * nothing + 5.0).direct(nothing),
        Figure::at_most("metrics of 50 models, one scrape", "ms", render, 5.0),
        Figure::at_most("CPU of a scrape each second, 50 models", "%", scraped - idle, 0.3),
        Figure::at_most("CPU with the page open, 50 models", "%", watched - idle, 1.0),
    ])
}

/// Milliseconds of `status` as a whole process, and of `true`, in turns.
fn commands(rig: &Rig) -> anyhow::Result<(f64, f64)> {
    let mut ask = Command::new(compare::worker());
    ask.arg("status").env_clear().env("HOME", rig.join("")).env("AUXOT_RUNTIME_DIR", rig.join("rt"));
    let mut nothing = Command::new("true");
    nothing.env_clear().env("PATH", "/usr/bin:/bin");
    let (mut asked, mut done) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        asked.push(timed(&mut ask)?);
        done.push(timed(&mut nothing)?);
    }
    Ok((asked.median(), done.median()))
}

fn timed(command: &mut Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start a command")?;
    let took = begun.elapsed();
    if !ended.success() {
        bail!("a command ends with {ended}");
    }
    Ok(took.as_secs_f64() * 1e3)
}

/// Milliseconds of one scrape, from the connection to the last byte.
async fn scrapes(address: &str) -> anyhow::Result<f64> {
    let mut took = Samples::default();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let answer = http::get(address, "/metrics").await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        if answer.status != 200 || !answer.body.contains("bench49") {
            bail!("the metrics do not have all models");
        }
    }
    Ok(took.median())
}

/// Who asks the worker meanwhile.
#[derive(Clone, Copy)]
enum Asking<'a> {
    Scrape(&'a str),
    Page(&'a Path),
}

/// Processor time of the worker as a part of one core, in percent.
async fn share(rig: &Rig, link: &mut Link, asking: Option<Asking<'_>>) -> anyhow::Result<f64> {
    let (before, begun) = (cpu_time(rig.pid())?, Instant::now());
    tokio::select! {
        watched = link.listen_for(WATCHED) => watched?,
        fault = ask(asking) => return Err(fault),
    }
    let used = cpu_time(rig.pid())?.saturating_sub(before);
    Ok(used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

/// Asks again and again; ends with a fault only.
async fn ask(asking: Option<Asking<'_>>) -> anyhow::Error {
    loop {
        let (interval, asked) = match asking {
            None => (WATCHED, Ok(())),
            Some(Asking::Scrape(address)) => (SCRAPE_INTERVAL, http::get(address, "/metrics").await.map(drop)),
            Some(Asking::Page(socket)) => (PAGE_INTERVAL, page(socket).await),
        };
        if let Err(fault) = asked {
            return fault.into();
        }
        tokio::time::sleep(interval).await;
    }
}

async fn page(socket: &Path) -> std::io::Result<()> {
    for path in PAGE_PATHS {
        http::get_unix(socket, path).await?;
    }
    Ok(())
}

fn metrics_address(log: &str) -> anyhow::Result<String> {
    let line = log.lines().find(|line| line.contains("metrics endpoint listens"));
    let address = line.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("address=")));
    address.map(str::to_owned).with_context(|| format!("no address of the metrics in the log:\n{log}"))
}

fn control_socket(runtime: &Path) -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir(runtime)?.flatten();
    let mut sockets = folders.map(|entry| entry.path().join("control.sock")).filter(|path| path.exists());
    sockets.next().context("the worker has no control socket")
}
