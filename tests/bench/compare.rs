//! Two builds of the worker in one run, alternately: the ratio of each figure.
//!
//! `BASE=FILE` is the worker of another build, for instance of the commit before. Each bench runs [`ROUNDS`] times with
//! each worker, in a process of its own; the ratio is the median of the rounds' ratios, because the machine changes more
//! between rounds than within one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::figure::Bound;
use crate::samples::Samples;
use crate::table;

const ROUNDS: usize = 5;
/// The most that a figure may be worse than that of the other build.
pub(crate) const WORST_RATIO: f64 = 1.05;
/// Passes to a child process the worker to measure; it prints its figures as JSON.
const WORKER: &str = "BENCH_WORKER";
/// Benches of this program's own code, or of commands: another worker makes no difference.
const WITHOUT_WORKER: [&str; 4] = ["catalog", "decision", "devices", "pull"];

/// A figure of a child process.
#[derive(Debug, Deserialize)]
struct Measured {
    name: String,
    unit: String,
    value: f64,
    bound: Bound,
}

/// A figure of both builds.
pub(crate) struct Compared {
    pub name: String,
    pub unit: String,
    pub base: f64,
    pub value: f64,
    /// Above 1 is worse.
    pub ratio: f64,
}

#[derive(Default)]
struct Rounds {
    unit: String,
    base: Samples,
    value: Samples,
    ratio: Samples,
}

/// The worker that a rig starts.
pub(crate) fn worker() -> PathBuf {
    std::env::var_os(WORKER).map_or_else(|| auxot_tests::binaries::program("auxot-worker"), PathBuf::from)
}

/// Whether this is a child process, which prints its figures as JSON.
pub(crate) fn is_child() -> bool {
    std::env::var_os(WORKER).is_some()
}

/// Compares this build with the one of `BASE`; `None` where that is not set.
pub(crate) fn run(names: &[&str]) -> Option<anyhow::Result<ExitCode>> {
    let base = PathBuf::from(std::env::var_os("BASE").filter(|base| !base.is_empty())?);
    Some(compare(&base, names))
}

fn compare(base: &Path, names: &[&str]) -> anyhow::Result<ExitCode> {
    ensure!(base.is_file(), "cannot compare with {}: it is not the file of a worker", base.display());
    let own = worker();
    let mut figures: BTreeMap<(usize, usize, String), Rounds> = BTreeMap::new();
    for (bench, name) in names.iter().enumerate().filter(|(_, name)| !WITHOUT_WORKER.contains(name)) {
        for round in 1..=ROUNDS {
            eprintln!("bench {name}, round {round} of {ROUNDS} …");
            // The order alternates: what the first leaves behind is not always the other's.
            let (before, after) = if round % 2 == 0 {
                let after = measure(&own, name)?;
                (measure(base, name)?, after)
            } else {
                (measure(base, name)?, measure(&own, name)?)
            };
            for (line, (before, after)) in before.into_iter().zip(after).enumerate() {
                let rounds = figures.entry((bench, line, after.name)).or_default();
                rounds.unit = after.unit;
                rounds.base.push(before.value);
                rounds.value.push(after.value);
                rounds.ratio.push(match after.bound {
                    Bound::AtMost(_) => after.value / before.value,
                    Bound::AtLeast(_) => before.value / after.value,
                });
            }
        }
    }
    let compared: Vec<Compared> = figures
        .into_iter()
        .map(|((_, _, name), Rounds { unit, base, value, ratio })| Compared {
            name,
            unit,
            base: base.median(),
            value: value.median(),
            ratio: ratio.median(),
        })
        .collect();
    table::print_compared(&compared);
    let is_worse = compared.iter().any(|figure| figure.ratio > WORST_RATIO);
    Ok(if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(worker: &Path, bench: &str) -> anyhow::Result<Vec<Measured>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env("ONLY", bench).env(WORKER, worker).env_remove("BASE").stderr(Stdio::inherit());
    let output = command.output().context("cannot start this program again")?;
    let text = String::from_utf8(output.stdout)?;
    serde_json::from_str(&text).with_context(|| format!("bench {bench} with {}: {text}", worker.display()))
}
