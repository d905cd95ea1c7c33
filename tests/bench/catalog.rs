//! A thousand model files: the time of the first, the next and another scan, and the memory of the catalog.
//!
//! Each scan runs in a process of its own (this program again), so that memory of one is not counted for the
//! next. The files have headers of a real size and almost no tensors.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use auxot_catalog::{Catalog, Config};
use auxot_tests::Scratch;
use auxot_tests::blueprint::Blueprint;

use crate::figure::Figure;
use crate::samples::Samples;
use crate::usage::resident_mib;

const FILES: usize = 1_000;
const ROUNDS: usize = 5;
/// Passes to the child process the folder to scan, with or without the index.
const FOLDER: &str = "BENCH_CATALOG_FOLDER";
const WARM: &str = "BENCH_CATALOG_WARM";

/// The measurements of one process: milliseconds of a first and a second scan, and resident MiB.
struct Look {
    first: f64,
    again: f64,
    kept: f64,
}

pub(crate) fn run() -> anyhow::Result<Vec<Figure>> {
    let scratch = Scratch::new();
    write(&scratch.models())?;
    let (mut cold, mut warm, mut again, mut kept) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        cold.push(look(scratch.path(), false)?.first);
        let look = look(scratch.path(), true)?;
        warm.push(look.first);
        again.push(look.again);
        kept.push(look.kept);
    }
    Ok(vec![
        Figure::at_most("1,000 model files, warm start", "ms", warm.median(), 200.0).direct(cold.median()),
        Figure::at_most("1,000 model files, looked at again", "ms", again.median(), 100.0),
        Figure::at_most("1,000 model files, kept in memory", "MiB", kept.median(), 10.0),
    ])
}

/// One header under a thousand names, most of them in separate folders.
fn write(models: &Path) -> anyhow::Result<()> {
    let first = Blueprint { words: 32_000, ..Blueprint::small("bench") }.write(models);
    let (header, len) = Blueprint { words: 32_000, ..Blueprint::small("bench") }.header();
    std::fs::remove_file(first)?;
    for number in 0..FILES {
        let folder = models.join(format!("owner_repo-{}", number / 3));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("some-model-{number}-q4_k_m.gguf"));
        let written = std::fs::write(&path, &header)
            .and_then(|()| std::fs::File::options().write(true).open(&path)?.set_len(len));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn look(folder: &Path, warm: bool) -> anyhow::Result<Look> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(FOLDER, folder).env(WARM, if warm { "1" } else { "" }).stderr(Stdio::inherit());
    let output = command.output().context("cannot start this program again")?;
    ensure!(output.status.success(), "the look at the files ended with {}", output.status);
    let reported = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = reported.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [first, again, kept] = numbers[..] else { anyhow::bail!("cannot read {reported:?} as three numbers") };
    Ok(Look { first, again, kept })
}

/// The work of the child process; `None` in the parent.
pub(crate) fn child() -> Option<anyhow::Result<ExitCode>> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let warm = std::env::var_os(WARM).is_some_and(|warm| !warm.is_empty());
    Some(measure(&folder, warm))
}

fn measure(folder: &Path, warm: bool) -> anyhow::Result<ExitCode> {
    let config = Config { models_dir: vec![folder.join("models")], ..Config::default() };
    let index = folder.join("index");
    let before = resident_mib(std::process::id())?;
    let begun = Instant::now();
    let catalog = if warm { Catalog::recall(&config, &[], &index) } else { Catalog::scan(&config) };
    let first = begun.elapsed();
    let begun = Instant::now();
    let (catalog, changes) = catalog.rescan(&config, &[]);
    let again = begun.elapsed();
    let kept = resident_mib(std::process::id())? - before;
    ensure!(catalog.models().len() == FILES && changes.is_empty(), "the catalog is not what was written");
    catalog.remember(&index)?;
    println!("{} {} {kept}", first.as_secs_f64() * 1e3, again.as_secs_f64() * 1e3);
    Ok(ExitCode::SUCCESS)
}
