//! `auxot-worker pull SOURCE`: downloads a model into a models folder.

mod choice;
mod progress;
mod source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use auxot_catalog::{Catalog, expand_home, path_text};
use auxot_gpu::Sample;
use auxot_hub::{Observer, Repaired, Table, TableError};
use auxot_placement::bytes_text;
use auxot_settings::Settings;
use serde_json::json;

pub(super) use self::choice::fit_text;
use self::progress::Progress;
pub(super) use self::source::is_of_hub;
use self::source::{FoundSource, PullError, find, hub, of_repository};
use super::EXIT_NO_MODEL;
use super::remote::{RemoteModel, headers};
use crate::arguments::{EXIT_USAGE, PullRequest};
use auxot_console::Console;

/// Runs the command.
pub(super) fn run(settings: &Settings, request: &PullRequest, as_json: bool, console: &Console) -> ExitCode {
    let progress = Progress::new(as_json);
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PullError::from);
    let ended = ended.and_then(|runtime| runtime.block_on(pull(settings, request, &progress)));
    progress.end();
    match ended {
        Ok(paths) => {
            report(settings, &paths, as_json, console);
            ExitCode::SUCCESS
        }
        Err(error) => {
            if as_json {
                console.print(&json!({"event": "failed", "error": error.to_string()}).to_string());
            }
            console.print_error(&error.to_string());
            match error {
                PullError::Source(_) | PullError::NoModelFile(_) => ExitCode::from(EXIT_USAGE),
                _ if error.is_missing() => ExitCode::from(EXIT_NO_MODEL),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn pull(settings: &Settings, request: &PullRequest, progress: &Progress) -> Result<Vec<PathBuf>, PullError> {
    let (hub, folder, observer) = (hub(settings)?, folder(settings, request), progress.observer());
    let download = match find(settings, &hub, &request.source, &folder, &observer).await? {
        FoundSource::File(download) => *download,
        FoundSource::Variant(found) => {
            progress.chosen(&found.listing, &found.variant, found.reason.as_deref());
            found.listing.download(&found.variant, &folder)
        }
    };
    if request.dry_run {
        return Ok(Vec::new());
    }
    Ok(hub.pull(&download, &observer).await?)
}

/// Fetches the damaged blocks of a downloaded file.
pub(super) fn repair(settings: &Settings, file: &Path, as_json: bool) -> Result<Repaired, PullError> {
    let progress = Progress::new(as_json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let repaired = runtime.block_on(async { Ok(hub(settings)?.repair(file, &progress.observer()).await?) });
    progress.end();
    repaired
}

/// Downloads the model that a name of the table means into a folder; its files, the first shard last. Without a quantisation the
/// largest that fits into the free memory is taken.
///
/// # Errors
/// When the table does not have it, or it cannot be downloaded.
pub(crate) async fn download_of_table(
    settings: &Settings,
    name: &str,
    free: &Sample,
    folder: &Path,
    observer: &Observer,
) -> Result<Vec<PathBuf>, PullError> {
    let hub = hub(settings)?;
    let table = Table::read(settings.hub.models_file.as_deref())?;
    let source = table.find(name).map(|entry| entry.source(name)).map_err(|error| match error {
        TableError::Unknown { name, .. } => PullError::NotInTable(name),
        TableError::Unreadable { .. } | TableError::Several { .. } => error.into(),
    })?;
    let found = of_repository(settings, &hub, &source, observer, || free.clone()).await?;
    Ok(hub.pull(&found.listing.download(&found.variant, folder), observer).await?)
}

/// Finds a model of a hub and fetches its headers.
pub(super) fn header_of(settings: &Settings, text: &str) -> Result<RemoteModel, PullError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (hub, progress) = (hub(settings)?, Progress::new(false));
        match find(settings, &hub, text, Path::new(""), &progress.observer()).await? {
            FoundSource::Variant(found) => Ok(headers(&hub, &found.listing, &found.variant).await?),
            FoundSource::File(_) => Err(PullError::NoModelFile(text.to_owned())),
        }
    })
}

/// The folder of the command line, else the first models folder.
fn folder(settings: &Settings, request: &PullRequest) -> PathBuf {
    let first = || settings.catalog.models_dir.first().map(|folder| expand_home(folder));
    request.folder.clone().or_else(first).unwrap_or_else(|| PathBuf::from("."))
}

/// Prints the model's name, and what keeps it from being used.
fn report(settings: &Settings, paths: &[PathBuf], as_json: bool, console: &Console) {
    let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let config = auxot_catalog::Config { models_dir: Vec::new(), model_file: None, ..settings.catalog.clone() };
    let here = Catalog::scan_with(&config, &files);
    let all = Catalog::recall(&settings.catalog, &[], &crate::places::catalog_index(settings));
    for model in here.models() {
        let known = all.models().iter().find(|known| known.file == model.file);
        let name = known.map_or(&model.name, |known| &known.name);
        if as_json {
            console.print(
                &json!({"event": "model", "name": name, "file": path_text(&model.file), "found": known.is_some()})
                    .to_string(),
            );
            continue;
        }
        let folders = if known.is_some() {
            ""
        } else {
            "\nIts folder is not in AUXOT_MODELS_DIR: the worker does not find it there."
        };
        console.print(&format!("{name}  {}\n  {}{folders}", bytes_text(model.bytes), path_text(&model.file)));
    }
    for damaged in here.damaged() {
        console.print_error(&format!("warning: {}: {}", path_text(&damaged.path), damaged.fault));
    }
}
