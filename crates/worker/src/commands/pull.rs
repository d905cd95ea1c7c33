//! `auxot-worker pull SOURCE`: downloads a model into a models folder.

mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use auxot_catalog::{Catalog, expand_home, path_text};
use auxot_hub::{Download, Endpoint, Hub, HubError, Item, Origin, RepositorySource, Source, Sum, VariantError, Wanted};
use auxot_placement::bytes_text;
use auxot_settings::Settings;
use serde_json::json;

use self::progress::Progress;
use super::EXIT_NO_MODEL;
use super::console::Console;
use crate::arguments::{EXIT_USAGE, PullRequest};

/// Why nothing was downloaded.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Source(#[from] auxot_hub::SourceError),
    #[error("cannot find the name {0}: write hf:owner/repo:QUANT, an address or a file")]
    UnknownName(String),
    #[error("cannot use {0}: it does not end in .gguf")]
    NoModelFile(String),
    #[error(transparent)]
    Variant(#[from] VariantError),
    #[error("cannot choose a model of {repository}: there is {known}; name one, as hf:{repository}:QUANT")]
    NotChosen { repository: String, known: String },
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

impl PullError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Source(_) | Self::NoModelFile(_) => ExitCode::from(EXIT_USAGE),
            Self::UnknownName(_) | Self::Variant(_) | Self::NotChosen { .. } => ExitCode::from(EXIT_NO_MODEL),
            Self::Hub(
                HubError::RepositoryNotFound { .. } | HubError::RevisionNotFound { .. } | HubError::FileNotFound { .. },
            ) => ExitCode::from(EXIT_NO_MODEL),
            Self::Hub(_) | Self::Runtime(_) => ExitCode::FAILURE,
        }
    }
}

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
            error.code()
        }
    }
}

async fn pull(settings: &Settings, request: &PullRequest, progress: &Progress) -> Result<Vec<PathBuf>, PullError> {
    let variable = |name: &str| std::env::var(name).ok();
    let hub = Hub::new(&settings.hub, Endpoint::of(&settings.hub.endpoint, variable)?)?;
    let folder = folder(settings, request);
    let observer = progress.observer();
    let download = match Source::parse(&request.source)? {
        Source::Name(name) => return Err(PullError::UnknownName(name)),
        Source::File(path) => file(&expand_home(&path), folder)?,
        Source::Url(url, sum) => match hub.endpoint().path_of(&url).and_then(RepositorySource::of_page) {
            Some(source) => repository(&hub, &source, &folder, progress).await?,
            None => address(url, sum, folder)?,
        },
        Source::Repository(source) => repository(&hub, &source, &folder, progress).await?,
    };
    Ok(hub.pull(&download, &observer).await?)
}

/// The folder of the command line, else the first models folder.
fn folder(settings: &Settings, request: &PullRequest) -> PathBuf {
    let first = || settings.catalog.models_dir.first().map(|folder| expand_home(folder));
    request.folder.clone().or_else(first).unwrap_or_else(|| PathBuf::from("."))
}

/// The files of a repository's model.
async fn repository(
    hub: &Hub,
    source: &RepositorySource,
    folder: &Path,
    progress: &Progress,
) -> Result<Download, PullError> {
    let listing = hub.list(source, &progress.observer()).await?;
    let not_chosen = || {
        let known =
            listing.variants.iter().map(|variant| format!("{} ({})", variant.label(), bytes_text(variant.bytes())));
        PullError::NotChosen { repository: source.repository.to_string(), known: known.collect::<Vec<_>>().join(", ") }
    };
    let variant = match listing.choose(&source.wanted)? {
        Some(variant) => variant,
        None => listing.usual().ok_or_else(not_chosen)?,
    };
    let chosen = if source.wanted == Wanted::Best { format!(" in {}", variant.label()) } else { String::new() };
    let (repository, commit) = (&listing.repository, listing.commit.get(..12).unwrap_or(&listing.commit));
    progress.say(&format!("{repository}{chosen} at {commit}: {}", bytes_text(variant.bytes())));
    Ok(listing.download(variant, folder))
}

/// One file at an address.
fn address(url: url::Url, sha256: Option<Sum>, folder: PathBuf) -> Result<Download, PullError> {
    let name = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    let path = model_file(name).ok_or_else(|| PullError::NoModelFile(format!("{}{}", url.authority(), url.path())))?;
    Ok(Download { folder, items: vec![Item { origin: Origin::Url(url), path, size: None, sha256 }] })
}

/// A file of this host.
fn file(path: &Path, folder: PathBuf) -> Result<Download, PullError> {
    let fault = || PullError::NoModelFile(path_text(path));
    let name = path.file_name().and_then(|name| name.to_str()).and_then(model_file).ok_or_else(fault)?;
    let size = std::fs::metadata(path).map(|file| file.len());
    let disk = |source| HubError::Disk { action: "read", path: path.to_path_buf(), source };
    let item =
        Item { origin: Origin::File(path.to_path_buf()), path: name, size: Some(size.map_err(disk)?), sha256: None };
    Ok(Download { folder, items: vec![item] })
}

/// The path for a file's name, where it is one of a model.
fn model_file(name: &str) -> Option<PathBuf> {
    (name.to_ascii_lowercase().ends_with(".gguf") && !name.starts_with('.')).then(|| PathBuf::from(name))
}

/// Prints the model's name, and what keeps it from being used.
fn report(settings: &Settings, paths: &[PathBuf], as_json: bool, console: &Console) {
    let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let config = auxot_catalog::Config { models_dir: Vec::new(), model_file: None, ..settings.catalog.clone() };
    let here = Catalog::scan_with(&config, &files);
    let all = Catalog::recall(&settings.catalog, &[], &crate::worker::catalog_index(settings));
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
