//! The command line: the requested action and its settings.
//!
//! The flags are the flat names of the settings' table, so that flag, variable and help text agree. Faults of the
//! command line are reported together with those of the other sources, in the same form and with exit code 64.
//!
//! A worker key in a flag is visible to every user of the host as long as the program runs. The flag exists because the
//! upstream worker has it, but the program then restarts itself with the key in its environment, which only its own
//! user can read ([`Restart`]).

mod flags;
mod generated;
mod help;
mod inspection;
mod restart;

use std::ffi::OsString;
use std::path::PathBuf;

use auxot_settings::{Faults, Given, Loaded, NAMES, Origin, SettingFault, Settings, Sources};
use clap::ArgMatches;

pub(crate) use inspection::{BundleRequest, FitRequest, Inspection, KeyCommand, PullRequest, ServiceRequest, Target};
pub(crate) use restart::Restart;

/// Exit code for a command line, file or environment that cannot be used (`EX_USAGE`).
pub(crate) const EXIT_USAGE: u8 = 64;

/// The action that the command line requests.
pub(crate) enum Invocation {
    /// Serve with these settings; a reload reads the sources again.
    Serve {
        /// The settings and the source of each.
        settings: Box<Loaded<Settings>>,
        /// The sources of the settings.
        sources: Sources,
    },
    /// Inspect the models and devices of this host.
    Inspect {
        /// The settings; the rules about router, key and engine were not checked.
        settings: Box<Loaded<Settings>>,
        /// The command.
        inspection: Inspection,
    },
    /// Print the effective settings.
    PrintSettings(Box<Loaded<Settings>>),
    /// Print this text with a line end on standard output and exit with 0.
    Print(String),
    /// Print these faults on standard error and exit with [`EXIT_USAGE`].
    Refuse(Faults),
    /// Restart without the key in the arguments.
    Restart(Restart),
}

impl Invocation {
    /// Reads the command line (the program's own name first) and the environment.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        if let Some(restart) = Restart::needed(&arguments) {
            return Self::Restart(restart);
        }
        let mut sources = Sources::new(environment);
        let inspecting = arguments.iter().filter_map(|word| word.to_str()).any(inspection::is_command);
        let parsed = flags::parse(arguments);
        if let Some(text) = parsed.print {
            return Self::Print(text.trim_end().to_owned());
        }
        let mut faults = parsed.faults;
        let mut print = false;
        if let Some(matches) = &parsed.matches {
            print = matches.get_flag("print-config");
            sources.config = matches.get_one::<OsString>("config").filter(|path| !path.is_empty()).map(PathBuf::from);
            take_values(matches, &mut sources, &mut faults);
            if let Some((path, inspection)) = Inspection::read(matches, &mut sources, &mut faults) {
                sources.config = path.or(sources.config);
                return match Settings::load_for_inspection(&sources) {
                    Err(more) => {
                        faults.extend(more.0);
                        Self::Refuse(Faults(faults))
                    }
                    Ok(_) if !faults.is_empty() => Self::Refuse(Faults(faults)),
                    Ok(settings) => Self::Inspect { settings: Box::new(settings), inspection },
                };
            }
        }
        // An unreadable command line may be of a command that needs no key; then a missing key is not reported.
        let unreadable = parsed.matches.is_none() && inspecting;
        let loaded = if unreadable { Settings::load_for_inspection(&sources) } else { Settings::load(&sources) };
        match loaded {
            Err(more) => {
                faults.extend(more.0);
                Self::Refuse(Faults(faults))
            }
            Ok(_) if !faults.is_empty() => Self::Refuse(Faults(faults)),
            Ok(settings) if print => Self::PrintSettings(Box::new(settings)),
            Ok(settings) => Self::Serve { settings: Box::new(settings), sources },
        }
    }
}

/// Adds the values of all flags that set a key.
fn take_settings(matches: &ArgMatches, sources: &mut Sources, faults: &mut Vec<SettingFault>) {
    let present = NAMES.table.iter().map(|name| (name.flag, name.key));
    let old = NAMES.renamed.iter().filter_map(|renamed| Some((renamed.flat?.flag, renamed.old)));
    for (flag, key) in present.chain(old) {
        let Some(value) = matches.get_one::<OsString>(flag) else { continue };
        match value.to_str() {
            Some(value) => {
                sources.flags.push(Given { flag: flag.to_owned(), key: key.to_owned(), value: value.to_owned() });
            }
            None => faults.push(flag_fault(flag, "the value is not UTF-8")),
        }
    }
}

fn flag_fault(flag: &str, text: impl Into<String>) -> SettingFault {
    SettingFault { origin: Origin::Flag(flag.to_owned()), key: String::new(), text: text.into() }
}

/// The same, and checks the flags that set no key.
fn take_values(matches: &ArgMatches, sources: &mut Sources, faults: &mut Vec<SettingFault>) {
    take_settings(matches, sources, faults);
    let mut refuse = |flag: &str, text: String| faults.push(flag_fault(flag, text));
    if let Some(kind) = matches.get_one::<OsString>("type").filter(|kind| *kind != "gpu") {
        refuse("type", format!("only the `gpu` worker is supported, found {kind:?}; leave the flag out"));
    }
    if let Some(value) = matches.get_one::<OsString>("debug") {
        let level = match value.to_str() {
            Some("1") => "debug",
            Some("2") => "trace",
            _ => return refuse("debug", format!("expected 1 or 2, found {value:?}")),
        };
        if sources.flags.iter().any(|given| given.flag == "log-level") {
            return refuse("debug", "conflicts with --log-level; keep one of the two".to_owned());
        }
        let (flag, key) = ("debug".to_owned(), "log.level".to_owned());
        sources.flags.push(Given { flag, key, value: level.to_owned() });
    }
}

#[cfg(test)]
mod tests;
