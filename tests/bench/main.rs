//! `make bench`: the cost of the worker, compared with the same work done directly against the engine.
//!
//! # How it is measured
//!
//! A `rig` is a whole program under test: the release worker as a separate process, with the fake engine as its
//! child, and a `peer` in this process that plays the router. The peer's side of the WebSocket is written by hand
//! (`frames`), so that it costs a read and the first bytes of each message. The `direct` figure is measured in
//! the same run, between the rounds of the relayed one, against the same engine process: one raw socket for each
//! request, opened and read as the worker does it.
//!
//! Each bench returns [`Figure`]s: the median over its rounds, the bound of the project, and the figure of the
//! upstream Go worker on the same kind of machine. `table` prints them and writes `tests/bench/latest.json`.
//!
//! The worker logs at its default level (info) into a file. `ONLY=paced,idle` runs some of the benches. `BASE=FILE`
//! compares with the worker of another build (`compare`). `CHAIN_BASE=FOLDER` has the router and the worker of another build
//! for `chain`. The machine should be idle otherwise; its load average is
//! written beside the figures.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command, its output is the point")]

mod catalog;
mod chain;
mod compare;
mod decision;
mod devices;
mod direct;
mod engine_life;
mod figure;
mod first_token;
mod frames;
mod gateway;
mod idle;
mod keys;
mod operator;
mod orphans;
mod paced;
mod peer;
mod pull;
mod rig;
mod router;
mod samples;
mod swap;
mod table;
mod unpaced;
mod usage;

use std::process::ExitCode;

use figure::Figure;

/// All benches, in the order of the table.
const NAMES: [&str; 16] = [
    "first_token",
    "unpaced",
    "paced",
    "gateway",
    "chain",
    "idle",
    "engine_life",
    "swap",
    "operator",
    "router",
    "keys",
    "orphans",
    "catalog",
    "decision",
    "devices",
    "pull",
];

async fn run(name: &str) -> anyhow::Result<Vec<Figure>> {
    match name {
        "first_token" => first_token::run().await,
        "unpaced" => unpaced::run().await,
        "paced" => paced::run().await,
        "gateway" => gateway::run().await,
        "chain" => chain::run().await,
        "idle" => idle::run().await,
        "engine_life" => engine_life::run().await,
        "swap" => swap::run().await,
        "operator" => operator::run().await,
        "router" => router::run().await,
        "keys" => keys::run().await,
        "orphans" => orphans::run().await,
        "catalog" => catalog::run(),
        "decision" => decision::run(),
        "devices" => devices::run().await,
        "pull" => pull::run(),
        other => anyhow::bail!("cannot run the bench {other:?}: there are {}", NAMES.join(", ")),
    }
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(ended) = catalog::child() {
        return ended;
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let wanted: Vec<&str> = match only.trim() {
        "" => NAMES.to_vec(),
        list => list.split(',').map(str::trim).collect(),
    };
    if let Some(ended) = compare::run(&wanted) {
        return ended;
    }
    // One thread, like the worker: the peer's wake-ups are then the cheapest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = usage::load_average();
    let mut figures = Vec::new();
    for name in wanted {
        eprintln!("bench {name} …");
        figures.extend(runtime.block_on(run(name))?);
    }
    if compare::is_child() {
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(ExitCode::SUCCESS);
    }
    table::print(&figures);
    if only.trim().is_empty() {
        table::write(&figures, [before, usage::load_average()])?;
    }
    Ok(if figures.iter().all(Figure::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
