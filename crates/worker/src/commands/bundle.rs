//! `auxot-worker bundle verify FILE`: whether an air-gapped bundle is whole, unchanged and signed, before anything of it is
//! unpacked.
//!
//! A bundle is a tar file whose first file is `SHA256SUMS` and whose second one may be the signature of that list; every other
//! file must be in the list, once, with its digest. It is read once, from its start to its end.

mod archive;
mod signature;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use auxot_placement::bytes_text;
use serde_json::json;

pub(super) use self::archive::{BundleError, BundledFile, Contents};
pub(super) use self::signature::{Signature, Signers};
use auxot_console::Console;

/// The system's own reads of a large file are of this size.
const BUFFER: usize = 1 << 20;

/// Runs the command.
pub(super) fn verify(path: &Path, signers: Option<&Path>, as_json: bool, console: &Console) -> ExitCode {
    match read(path, &Signers::new(signers)) {
        Ok(contents) => {
            let file = path.display().to_string();
            console.print(&if as_json { json(&file, &contents) } else { text(&file, &contents) });
            ExitCode::SUCCESS
        }
        Err(error) => {
            console.print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Reads and checks all of a bundle.
pub(super) fn read(path: &Path, signers: &Signers) -> Result<Contents, BundleError> {
    let file = path.display().to_string();
    let opened = File::open(path).map_err(|source| BundleError::Read { file: file.clone(), source })?;
    archive::check(&file, BufReader::with_capacity(BUFFER, opened), signers)
}

fn json(file: &str, contents: &Contents) -> String {
    let signer = if let Signature::Good(signer) = &contents.signature { Some(signer) } else { None };
    let is_signed = contents.signature != Signature::Missing;
    json!({"bundle": file, "files": contents.files.len(), "bytes": contents.bytes(), "signed": is_signed, "signer": signer})
        .to_string()
}

fn text(file: &str, contents: &Contents) -> String {
    let (files, bytes) = (contents.files.len(), bytes_text(contents.bytes()));
    format!("{file} is whole: {files} files, {bytes}; {}", contents.signature.text())
}
