//! Reads configuration files of other programs that run `llama-server`, and writes settings of the worker.
//!
//! # Theory of operation
//!
//! Two kinds of files are read: the YAML of llama-swap, and the presets (INI) of llama-server's own router mode. Both name
//! models with the arguments of an engine. [`import`] puts each model's arguments into a table `[fleet.models.NAME]`, the
//! folders of their files into `catalog.models_dir`, and further names into `catalog.aliases`.
//!
//! ```text
//!   llama_swap (YAML, macros) ─┐
//!                              ├─▶ arguments of an engine ─▶ draft of the settings ─▶ TOML, and notes
//!   presets (INI) ─────────────┘
//! ```
//!
//! Nothing is lost silently: whatever has no counterpart is a sentence in [`Imported::notes`]. The files of the models are
//! not opened, so the result is to be read by a person, and by `auxot-worker doctor`.
//!
//! # Example
//!
//! ```
//! let text = "models:\n  small:\n    cmd: llama-server --port ${PORT} -m /models/qwen-0.5b-q8_0.gguf -c 4096\n";
//! let imported = auxot_import::import("config.yaml", text, |_| None).unwrap();
//! assert!(imported.settings.contains("aliases = [\"small=qwen-0.5b-q8_0\"]"));
//! assert!(imported.settings.contains("[fleet.models.\"qwen-0.5b-q8_0\"]\nctx_size = 4096\n"));
//! ```

mod arguments;
mod draft;
mod llama_swap;
mod macros;
mod presets;
mod toml;

use draft::Draft;

/// Settings that were made from a file of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The settings, as TOML.
    pub settings: String,
    /// What has no counterpart, one sentence each.
    pub notes: Vec<String>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Its name has the ending of neither kind.
    #[error("cannot tell what {name} is: a llama-swap file ends in .yaml or .yml, presets of llama-server in .ini")]
    UnknownKind {
        /// The file's name.
        name: String,
    },
    /// It is not YAML.
    #[error("cannot read {name} as YAML: {reason}")]
    Yaml {
        /// The file's name.
        name: String,
        /// What the reader says.
        reason: String,
    },
    /// It is YAML without models.
    #[error("cannot find `models` in {name}: it is not a file of llama-swap")]
    NoModels {
        /// The file's name.
        name: String,
    },
    /// A line is none of an INI file.
    #[error("cannot read line {line} of {name}: it is neither a section, a key with a value nor a comment")]
    Line {
        /// The file's name.
        name: String,
        /// The number of the line.
        line: usize,
    },
}

/// Makes settings from the text of a file; `variable` gives values of the environment, which llama-swap's macros name.
///
/// # Errors
/// When the text is not what the file's name says.
pub fn import(name: &str, text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Imported, ImportError> {
    let lower = name.to_ascii_lowercase();
    let mut draft = Draft::default();
    if lower.ends_with(".yaml") || lower.ends_with(".yml") {
        llama_swap::read(name, text, &variable, &mut draft)?;
    } else if lower.ends_with(".ini") {
        presets::read(name, text, &mut draft)?;
    } else {
        return Err(ImportError::UnknownKind { name: name.to_owned() });
    }
    Ok(draft.finish(name))
}
