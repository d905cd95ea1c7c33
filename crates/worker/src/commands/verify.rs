//! `auxot-worker models verify`: whether downloaded files are as they were downloaded; with `--repair` they are made so.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use auxot_catalog::{Catalog, Model, ResolveError, path_text};
use auxot_hub::{Finding, Record, Repaired};
use auxot_names::ShardName;
use auxot_placement::bytes_text;
use auxot_settings::Settings;
use serde_json::json;

use super::{EXIT_NO_MODEL, pull};
use auxot_console::{Console, Paint};

/// What became of one file.
enum Outcome {
    Found(Finding),
    /// These blocks were damaged, and are as they were downloaded again.
    Repaired(Finding, Repaired),
    Failed(String),
}

/// The files of one model.
struct Subject {
    name: String,
    files: Vec<PathBuf>,
}

/// Verifies a model, or all; fails where a file is not as it was downloaded, and stays so.
pub(super) fn run(
    (settings, catalog): (&Settings, &Catalog),
    name: Option<&str>,
    repair: bool,
    as_json: bool,
    console: &Console,
) -> ExitCode {
    let subjects = match name {
        None => catalog.models().iter().map(Subject::of).chain(Subject::damaged(catalog)).collect(),
        Some(name) => match catalog.resolve(name) {
            Ok(model) => vec![Subject::of(model)],
            Err(ResolveError::Damaged { path, .. } | ResolveError::ShardsMissing { path, .. }) => {
                vec![Subject { name: name.to_owned(), files: shards(&path) }]
            }
            Err(error) => {
                console.print_error(&error.to_string());
                return ExitCode::from(EXIT_NO_MODEL);
            }
        },
    };
    let mut is_sound = true;
    for Subject { name, files } in &subjects {
        for file in files {
            let outcome = check(settings, file, repair, as_json);
            is_sound &= matches!(outcome, Outcome::Found(Finding::Sound | Finding::Unrecorded) | Outcome::Repaired(..));
            console.print(&if as_json { line_json(name, file, &outcome) } else { line(name, file, &outcome, console) });
        }
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Subject {
    fn of(model: &Model) -> Self {
        Self { name: model.name.clone(), files: model.files.iter().chain(&model.mmproj).cloned().collect() }
    }

    /// Downloaded files that the catalog cannot read.
    fn damaged(catalog: &Catalog) -> impl Iterator<Item = Self> {
        let subjects = catalog.damaged().iter().map(|damaged| Self {
            name: damaged.name.clone(),
            files: shards(&damaged.path).into_iter().filter(|file| Record::of(file).is_some()).collect(),
        });
        subjects.filter(|subject| !subject.files.is_empty())
    }
}

/// A file, with the other shards of its set that are there.
fn shards(path: &Path) -> Vec<PathBuf> {
    let text = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = text(path);
    let Some(first) = ShardName::parse(&name) else { return vec![path.to_path_buf()] };
    let is_of_set = |path: &PathBuf| {
        let name = text(path);
        ShardName::parse(&name).is_some_and(|shard| (shard.prefix, shard.of) == (first.prefix, first.of))
    };
    let folder = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let entries = folder.into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(is_of_set).collect();
    files.sort();
    files
}

fn check(settings: &Settings, file: &Path, repair: bool, as_json: bool) -> Outcome {
    let finding = match auxot_hub::verify(file, &|_| ()) {
        Ok(finding) => finding,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    if !repair || !matches!(finding, Finding::Size { .. } | Finding::Damaged(_)) {
        return Outcome::Found(finding);
    }
    match pull::repair(settings, file, as_json) {
        Ok(repaired) => Outcome::Repaired(finding, repaired),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn line(name: &str, file: &Path, outcome: &Outcome, console: &Console) -> String {
    let (paint, text) = match outcome {
        Outcome::Found(Finding::Sound) => (Paint::Good, "as it was downloaded".to_owned()),
        Outcome::Found(Finding::Unrecorded) => (Paint::Faint, "not downloaded by this program".to_owned()),
        Outcome::Found(Finding::Size { found, expected }) => (
            Paint::Bad,
            format!(
                "has {}, and was downloaded with {}; repair it with --repair",
                bytes_text(*found),
                bytes_text(*expected)
            ),
        ),
        Outcome::Found(Finding::Damaged(blocks)) => {
            let first = blocks.first().copied().unwrap_or_default();
            (
                Paint::Bad,
                format!("damaged in {} of its blocks, first at byte {first}; repair it with --repair", blocks.len()),
            )
        }
        Outcome::Repaired(_, Repaired { blocks, bytes }) => {
            let blocks = if *blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
            (Paint::Good, format!("repaired: {blocks} fetched, {}", bytes_text(*bytes)))
        }
        Outcome::Failed(error) => (Paint::Bad, error.clone()),
    };
    format!("{name}  {}\n  {}", console.paint(paint, &text), path_text(file))
}

fn line_json(name: &str, file: &Path, outcome: &Outcome) -> String {
    let (state, finding, error) = match outcome {
        Outcome::Found(finding @ Finding::Sound) => ("sound", Some(finding), None),
        Outcome::Found(finding @ Finding::Unrecorded) => ("unrecorded", Some(finding), None),
        Outcome::Found(finding @ Finding::Size { .. }) => ("size", Some(finding), None),
        Outcome::Found(finding @ Finding::Damaged(_)) => ("damaged", Some(finding), None),
        Outcome::Repaired(finding, _) => ("repaired", Some(finding), None),
        Outcome::Failed(error) => ("failed", None, Some(error)),
    };
    let blocks = if let Some(Finding::Damaged(blocks)) = finding { blocks.as_slice() } else { &[] };
    let fetched = if let Outcome::Repaired(_, repaired) = outcome { Some(repaired.bytes) } else { None };
    json!({
        "model": name, "file": path_text(file), "state": state, "damaged": blocks, "fetched": fetched, "error": error,
    })
    .to_string()
}
