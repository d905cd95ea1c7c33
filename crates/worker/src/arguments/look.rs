//! The commands that look at this host and end: `models`, `models show`, `fit`.

use std::ffi::OsString;
use std::path::PathBuf;

use auxot_catalog::KvType;
use auxot_settings::{SettingFault, Sources};
use clap::ArgMatches;

use super::{flag_fault, take_settings};

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether a program reads the answer.
    pub(crate) json: bool,
    pub(crate) what: What,
}

/// The command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// All models.
    Models,
    /// One model, by a name that finds it.
    Show(String),
    /// Whether and how a model fits.
    Fit(FitWish),
}

/// How a model is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FitWish {
    /// A name that finds it.
    pub(crate) name: String,
    /// Tokens of one slot.
    pub(crate) ctx: Option<u32>,
    /// Requests side by side.
    pub(crate) slots: Option<u32>,
    /// How the cache is stored; `None` as the settings say.
    pub(crate) kv_type: Option<KvType>,
}

impl Look {
    /// Reads such a command, and the settings given behind it; the path is that of `--config`.
    pub(super) fn read(
        matches: &ArgMatches,
        sources: &mut Sources,
        faults: &mut Vec<SettingFault>,
    ) -> Option<(Option<PathBuf>, Self)> {
        let (command, mut inner) = matches.subcommand().filter(|(name, _)| matches!(*name, "models" | "fit"))?;
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
            What::Fit(FitWish { name: name(inner), ctx: number("ctx"), slots: number("slots"), kv_type })
        } else if let Some((_, show)) = inner.subcommand() {
            take(show);
            inner = show;
            json |= inner.get_flag("json");
            What::Show(name(inner))
        } else {
            What::Models
        };
        Some((path, Self { json, what }))
    }
}
