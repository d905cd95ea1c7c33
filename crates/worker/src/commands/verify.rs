//! `auxot-worker models verify`: whether downloaded files are as they were downloaded.

use std::path::Path;
use std::process::ExitCode;

use auxot_catalog::{Model, path_text};
use auxot_hub::{Finding, HubError};
use auxot_placement::bytes_text;
use serde_json::json;

use super::console::{Console, Paint};

/// Verifies models; fails where a file is not as it was downloaded.
pub(super) fn run(models: &[&Model], as_json: bool, console: &Console) -> ExitCode {
    let mut is_sound = true;
    for model in models {
        for file in model.files.iter().chain(&model.mmproj) {
            let finding = auxot_hub::verify(file, &|_| ());
            is_sound &= matches!(finding, Ok(Finding::Sound | Finding::Unrecorded));
            console.print(&if as_json {
                line_json(model, file, &finding)
            } else {
                line(model, file, &finding, console)
            });
        }
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(model: &Model, file: &Path, finding: &Result<Finding, HubError>, console: &Console) -> String {
    let (paint, text) = match finding {
        Ok(Finding::Sound) => (Paint::Good, "as it was downloaded".to_owned()),
        Ok(Finding::Unrecorded) => (Paint::Faint, "not downloaded by this program".to_owned()),
        Ok(Finding::Size { found, expected }) => {
            (Paint::Bad, format!("has {}, and was downloaded with {}", bytes_text(*found), bytes_text(*expected)))
        }
        Ok(Finding::Damaged(blocks)) => {
            let first = blocks.first().copied().unwrap_or_default();
            (Paint::Bad, format!("damaged in {} of its blocks, first at byte {first}; pull it again", blocks.len()))
        }
        Err(error) => (Paint::Bad, error.to_string()),
    };
    format!("{}  {}\n  {}", model.name, console.paint(paint, &text), path_text(file))
}

fn line_json(model: &Model, file: &Path, finding: &Result<Finding, HubError>) -> String {
    let (state, error) = match finding {
        Ok(Finding::Sound) => ("sound", None),
        Ok(Finding::Unrecorded) => ("unrecorded", None),
        Ok(Finding::Size { .. }) => ("size", None),
        Ok(Finding::Damaged(_)) => ("damaged", None),
        Err(error) => ("unreadable", Some(error.to_string())),
    };
    let blocks = if let Ok(Finding::Damaged(blocks)) = finding { blocks.as_slice() } else { &[] };
    json!({"model": model.name, "file": path_text(file), "state": state, "damaged": blocks, "error": error}).to_string()
}
