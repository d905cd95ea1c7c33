//! The commands that inspect this host and exit: `models`, `models show`, `fit`, `doctor`; those that ask a running worker: `status`,
//! `load`, `unload`, `pin`, `unpin`, `reset`; and `keys`, for API keys of local clients.

use std::ffi::OsString;
use std::path::PathBuf;

use auxot_catalog::KvType;
use auxot_settings::{SettingFault, Sources};
use clap::ArgMatches;

use super::{flag_fault, take_settings};

/// One inspection command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Whether the output is JSON.
    pub(crate) json: bool,
    pub(crate) what: Target,
}

/// What it inspects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// All models.
    Models,
    /// One model, by any of its names.
    Show(String),
    /// Whether and how a model fits.
    Fit(FitRequest),
    /// What is wrong on this host.
    Doctor,
    /// The state of the running worker.
    Status {
        /// Whether it is shown again and again, until the command is interrupted.
        watch: bool,
    },
    /// A command for the running worker.
    Command {
        /// The command.
        verb: &'static str,
        /// Any name of the model; `reset` without one is for all that have failed.
        model: Option<String>,
    },
    /// API keys of local clients.
    Keys(KeyCommand),
}

/// What is done with API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyCommand {
    /// A key of this name is made.
    Create(String),
    /// All are listed.
    List,
    /// The key of this name is removed.
    Revoke(String),
}

/// The commands for one model of the running worker, each with its help.
pub(super) const VERBS: [(&str, &str); 5] = [
    ("load", "Load a model now; a failed one is tried again"),
    ("unload", "Unload a model; its jobs may finish, and the next job loads it again"),
    ("pin", "Never evict a model, until the worker ends"),
    ("unpin", "Let a model be evicted, until the worker ends"),
    ("reset", "Try a failed model again now; without a name, all of them"),
];

/// Whether a word is one of these commands.
pub(super) fn is_command(word: &str) -> bool {
    matches!(word, "models" | "fit" | "doctor" | "status" | "keys") || VERBS.iter().any(|(verb, _)| *verb == word)
}

/// The model of `fit` and how it should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FitRequest {
    /// Any name of the model.
    pub(crate) name: String,
    /// Context of one slot in tokens.
    pub(crate) ctx: Option<u32>,
    /// Parallel requests.
    pub(crate) slots: Option<u32>,
    /// Type of the cache; `None` for the type of the settings.
    pub(crate) kv_type: Option<KvType>,
}

impl Inspection {
    /// Reads an inspection command and the settings in its arguments; the path is that of `--config`.
    pub(super) fn read(
        matches: &ArgMatches,
        sources: &mut Sources,
        faults: &mut Vec<SettingFault>,
    ) -> Option<(Option<PathBuf>, Self)> {
        let (command, mut inner) = matches.subcommand().filter(|(name, _)| is_command(name))?;
        let mut path = None;
        let mut take = |matches: &ArgMatches| {
            take_settings(matches, sources, faults);
            let config = matches.get_one::<OsString>("config").filter(|path| !path.is_empty());
            path = config.map(PathBuf::from).or(path.take());
        };
        take(inner);
        let mut json = inner.get_flag("json");
        let name = |matches: &ArgMatches| matches.get_one::<String>("name").cloned().unwrap_or_default();
        let what = if command == "fit" {
            let kv_type = inner.get_one::<OsString>("kv-type").and_then(|text| {
                let known = text.to_string_lossy().parse().map_err(|fault: String| flag_fault("kv-type", fault));
                known.map_err(|fault| faults.push(fault)).ok()
            });
            let number = |name| inner.get_one::<u32>(name).copied();
            Target::Fit(FitRequest { name: name(inner), ctx: number("ctx"), slots: number("slots"), kv_type })
        } else if command == "doctor" {
            Target::Doctor
        } else if command == "status" {
            Target::Status { watch: inner.get_flag("watch") }
        } else if let Some((verb, _)) = VERBS.iter().find(|(verb, _)| *verb == command) {
            Target::Command { verb, model: inner.get_one::<String>("name").cloned() }
        } else if let Some((subcommand, more)) = inner.subcommand() {
            take(more);
            inner = more;
            json |= inner.get_flag("json");
            match subcommand {
                "create" => Target::Keys(KeyCommand::Create(name(inner))),
                "list" => Target::Keys(KeyCommand::List),
                "revoke" => Target::Keys(KeyCommand::Revoke(name(inner))),
                _ => Target::Show(name(inner)),
            }
        } else {
            Target::Models
        };
        Some((path, Self { json, what }))
    }
}
