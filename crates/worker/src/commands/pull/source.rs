//! From what a person asks for to the files that are downloaded.

use std::path::{Path, PathBuf};

use auxot_catalog::{expand_home, path_text};
use auxot_gpu::Sample;
use auxot_hub::{
    Download, Endpoint, Hub, HubError, Item, Listing, Observer, Origin, RepositorySource, Source, Sum, Table,
    TableError, Variant, VariantError,
};
use auxot_placement::bytes_text;
use auxot_settings::Settings;
use url::Url;

use super::super::remote::HeaderError;
use super::choice;

/// Why nothing was downloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error(transparent)]
    Source(#[from] auxot_hub::SourceError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("the table of models does not have {0}: pull it by its repository, or add it to hub.models_file")]
    NotInTable(String),
    #[error("cannot use {0}: it does not end in .gguf")]
    NoModelFile(String),
    #[error(transparent)]
    Variant(#[from] VariantError),
    #[error(
        "cannot choose a model of {repository}: none of {known} fits into free memory; name one, as hf:{repository}:QUANT"
    )]
    NoneFits { repository: String, known: String },
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

impl PullError {
    /// Whether the model does not exist.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Table(error) => !matches!(error, TableError::Unreadable { .. }),
            Self::Variant(_) | Self::NotInTable(_) => true,
            Self::Hub(error) => matches!(
                error,
                HubError::RepositoryNotFound { .. } | HubError::RevisionNotFound { .. } | HubError::FileNotFound { .. }
            ),
            _ => false,
        }
    }
}

/// What a person asked for.
pub(super) enum FoundSource {
    /// A model of a repository.
    Variant(Box<FoundVariant>),
    /// One file.
    File(Box<Download>),
}

/// A model of a repository, and why it is this one.
pub(super) struct FoundVariant {
    pub(super) listing: Listing,
    pub(super) variant: Variant,
    pub(super) reason: Option<String>,
}

/// The hub of the settings and of the environment.
pub(super) fn hub(settings: &Settings) -> Result<Hub, HubError> {
    let variable = |name: &str| std::env::var(name).ok();
    Hub::new(&settings.hub, Endpoint::of(&settings.hub.endpoint, variable)?)
}

/// Finds what a text asks for; a file's place is in the folder.
pub(super) async fn find(
    settings: &Settings,
    hub: &Hub,
    text: &str,
    folder: &Path,
    observer: &Observer,
) -> Result<FoundSource, PullError> {
    let file = |download: Download| Ok(FoundSource::File(Box::new(download)));
    let source = match Source::parse(text)? {
        Source::Name(name) => Table::read(settings.hub.models_file.as_deref())?.find(&name)?.source(&name),
        Source::Repository(source) => source,
        Source::File(path) => return file(local(&expand_home(&path), folder)?),
        Source::Url(url, sum) => match hub.endpoint().path_of(&url).and_then(RepositorySource::of_page) {
            Some(source) => source,
            None => return file(address(url, sum, folder)?),
        },
    };
    let sample = || auxot_gpu::sample_once(&settings.gpu);
    Ok(FoundSource::Variant(Box::new(of_repository(settings, hub, &source, observer, sample).await?)))
}

/// The model of a repository that is wanted; without a quantisation the best for the memory of this sample.
pub(super) async fn of_repository(
    settings: &Settings,
    hub: &Hub,
    source: &RepositorySource,
    observer: &Observer,
    sample: impl FnOnce() -> Sample,
) -> Result<FoundVariant, PullError> {
    let listing = hub.list(source, observer).await?;
    if let Some(variant) = listing.choose(&source.wanted)?.cloned() {
        return Ok(FoundVariant { listing, variant, reason: None });
    }
    let Some(choice) = choice::best(settings, hub, &listing, &sample()).await? else {
        let known =
            listing.variants.iter().map(|variant| format!("{} ({})", variant.label(), bytes_text(variant.bytes())));
        let (repository, known) = (source.repository.to_string(), known.collect::<Vec<_>>().join(", "));
        return Err(PullError::NoneFits { repository, known });
    };
    let (variant, reason) = (choice.variant.clone(), Some(choice.reason));
    Ok(FoundVariant { listing, variant, reason })
}

/// Whether a text means a model of a hub: a repository, or a name of the table.
pub(in super::super) fn is_of_hub(settings: &Settings, text: &str) -> bool {
    match Source::parse(text) {
        Ok(Source::Repository(_)) => true,
        Ok(Source::Name(name)) => {
            Table::read(settings.hub.models_file.as_deref()).is_ok_and(|table| table.find(&name).is_ok())
        }
        _ => false,
    }
}

/// One file at an address.
fn address(url: Url, sha256: Option<Sum>, folder: &Path) -> Result<Download, PullError> {
    let name = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    let path = model_file(name).ok_or_else(|| PullError::NoModelFile(format!("{}{}", url.authority(), url.path())))?;
    Ok(Download {
        folder: folder.to_path_buf(),
        items: vec![Item { origin: Origin::Url(url), path, size: None, sha256 }],
    })
}

/// A file of this host.
fn local(path: &Path, folder: &Path) -> Result<Download, PullError> {
    let fault = || PullError::NoModelFile(path_text(path));
    let name = path.file_name().and_then(|name| name.to_str()).and_then(model_file).ok_or_else(fault)?;
    let size = std::fs::metadata(path).map(|file| file.len());
    let disk = |source| HubError::Disk { action: "read", path: path.to_path_buf(), source };
    let item =
        Item { origin: Origin::File(path.to_path_buf()), path: name, size: Some(size.map_err(disk)?), sha256: None };
    Ok(Download { folder: folder.to_path_buf(), items: vec![item] })
}

/// The path for a file's name, where it is one of a model.
fn model_file(name: &str) -> Option<PathBuf> {
    (name.to_ascii_lowercase().ends_with(".gguf") && !name.starts_with('.')).then(|| PathBuf::from(name))
}
