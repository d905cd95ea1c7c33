//! `auxot-worker models rm NAME`: removes the files of a model that this program has downloaded.

use std::path::PathBuf;
use std::process::ExitCode;

use auxot_catalog::{Catalog, Model, path_text};
use auxot_placement::bytes_text;
use serde_json::json;

use auxot_console::Console;

/// Removes a model's files, and its projector where no other model has it.
pub(super) fn run(catalog: &Catalog, model: &Model, as_json: bool, console: &Console) -> ExitCode {
    let projector = model.mmproj.iter().filter(|file| !is_shared(catalog, model, file));
    let files: Vec<&PathBuf> = model.files.iter().chain(projector).collect();
    let foreign = files.iter().filter(|file| auxot_hub::Record::of(file).is_none());
    let foreign: Vec<String> = foreign.map(|file| path_text(file)).collect();
    if !foreign.is_empty() {
        let files = foreign.join(", ");
        console.print_error(&format!(
            "cannot remove {}: this program has not downloaded {files}; remove it with the program that has",
            model.name
        ));
        return ExitCode::FAILURE;
    }
    for file in &files {
        if let Err(error) = auxot_hub::remove(file) {
            console.print_error(&error.to_string());
            return ExitCode::FAILURE;
        }
    }
    console.print(&match as_json {
        true => {
            let files: Vec<String> = files.iter().map(|file| path_text(file)).collect();
            json!({"removed": model.name, "files": files, "bytes": model.bytes}).to_string()
        }
        false => format!("{} is removed, {}", model.name, bytes_text(model.bytes)),
    });
    ExitCode::SUCCESS
}

/// Whether another model has the same projector.
fn is_shared(catalog: &Catalog, model: &Model, projector: &PathBuf) -> bool {
    catalog.models().iter().any(|other| other.file != model.file && other.mmproj.as_ref() == Some(projector))
}
