//! `config import`: settings made from a configuration file of another program.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use auxot_import::{ImportError, Imported};
use serde_json::json;

use super::{Console, complain};

/// The longest file that is read.
const LONGEST: u64 = 1 << 20;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot read {path}: {error}")]
    File { path: String, error: io::Error },
    #[error("cannot read {path}: it is longer than {LONGEST} bytes")]
    TooLong { path: String },
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Prints the settings, and warns of what has no counterpart.
pub(super) fn run(path: &Path, as_json: bool, console: &Console) -> ExitCode {
    match import(path) {
        Ok(imported) if as_json => {
            console.print(&json!({"settings": imported.settings, "notes": imported.notes}).to_string());
            ExitCode::SUCCESS
        }
        Ok(imported) => {
            console.print(imported.settings.trim_end());
            complain(console, &imported.notes);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            console.print_error(&fault.to_string());
            ExitCode::FAILURE
        }
    }
}

fn import(path: &Path) -> Result<Imported, Fault> {
    let shown = path.display().to_string();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    let length = read.map_err(|error| Fault::File { path: shown.clone(), error })?;
    if length as u64 > LONGEST {
        return Err(Fault::TooLong { path: shown });
    }
    Ok(auxot_import::import(&shown, &text, |name| std::env::var(name).ok())?)
}
