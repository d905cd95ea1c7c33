//! A model that is not here, as its headers describe it: files of the full size, of which only the headers are written.
//!
//! The catalog reads them as it reads downloaded ones, so that `fit` and a later load compute with the same numbers.

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

use auxot_catalog::{Catalog, Gguf, GgufError, Model};
use auxot_hub::{Hub, HubError, Listing, RemoteFile, Variant};
use tempfile::TempDir;

/// Bytes of a header at the first attempt; a header with a large vocabulary is a few times longer.
const FIRST: u64 = 4 << 20;
/// Each further attempt fetches so many times as many.
const GROWTH: u64 = 4;
/// The longest header.
const LONGEST: u64 = 256 << 20;

/// Why the headers cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("cannot read the header of {file}: {fault}")]
    Header { file: String, fault: String },
    #[error("cannot keep a header in {}: {source}", std::env::temp_dir().display())]
    Disk {
        #[from]
        source: std::io::Error,
    },
}

/// The headers of one model.
pub(super) struct RemoteModel {
    catalog: Catalog,
    /// The files; gone with this value.
    _folder: TempDir,
}

impl RemoteModel {
    /// The model.
    pub(super) fn model(&self) -> Option<&Model> {
        self.catalog.models().first()
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

/// Fetches the headers of a model's files.
pub(super) async fn headers(hub: &Hub, listing: &Listing, variant: &Variant) -> Result<RemoteModel, HeaderError> {
    let folder = tempfile::tempdir()?;
    for file in variant.all_files() {
        let bytes = header(hub, listing, file).await?;
        write(&folder.path().join(&file.path), &bytes, file.size)?;
    }
    let models_dir = vec![folder.path().to_path_buf()];
    let catalog = Catalog::scan(&auxot_catalog::Config { models_dir, ..auxot_catalog::Config::default() });
    if let Some(damaged) = catalog.damaged().first() {
        return Err(HeaderError::Header { file: variant.name.clone(), fault: damaged.fault.to_string() });
    }
    Ok(RemoteModel { catalog, _folder: folder })
}

/// The first bytes of a file, at least all of its header.
async fn header(hub: &Hub, listing: &Listing, file: &RemoteFile) -> Result<Vec<u8>, HeaderError> {
    let mut wanted = FIRST;
    loop {
        let bytes = hub.head(listing, file, wanted.min(file.size)).await?;
        match Gguf::parse(Cursor::new(&bytes), bytes.len() as u64) {
            Err(GgufError::Cut { .. }) if wanted < file.size.min(LONGEST) => wanted *= GROWTH,
            // The data is missing, and nothing else.
            Ok(_) | Err(GgufError::TensorsCut { .. }) => return Ok(bytes.into()),
            Err(fault) => return Err(HeaderError::Header { file: file.path.clone(), fault: fault.to_string() }),
        }
    }
}

fn write(path: &Path, bytes: &[u8], size: u64) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.set_len(size)
}
