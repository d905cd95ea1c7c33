//! The command line: what is asked of the program, and with which settings.
//!
//! The flags are the flat names of the settings' own table, so flag, variable and help text cannot
//! drift apart. Everything wrong with the command line is told together with everything wrong in the
//! other sources, in the same form and with exit code 64.
//!
//! A worker key given as a flag is visible to every user of the host for as long as the program runs.
//! The flag is kept because the upstream worker has it, but the program then starts itself anew with
//! the key in its environment, which only its own user can read ([`Restart`]).

mod flags;
mod look;
mod restart;

use std::ffi::OsString;
use std::path::PathBuf;

use auxot_settings::{Faults, Given, Loaded, NAMES, Origin, SettingFault, Settings, Sources};
use clap::ArgMatches;

pub(crate) use look::{FitWish, Look, What};
pub(crate) use restart::Restart;

/// Exit code for a command line, file or environment that cannot be used (`EX_USAGE`).
pub(crate) const EXIT_USAGE: u8 = 64;

/// What the program is to do.
pub(crate) enum Request {
    /// Serve, with these settings; the sources can be read again for a reload.
    Serve {
        /// The settings and where each came from.
        settings: Box<Loaded<Settings>>,
        /// What they were loaded from.
        sources: Sources,
    },
    /// Look at the models and devices of this host, with these settings.
    Look {
        /// The settings; what concerns router and engine was not checked.
        settings: Box<Settings>,
        /// What is wanted.
        look: Look,
    },
    /// Print the settings in force.
    PrintSettings(Box<Loaded<Settings>>),
    /// Print this on standard output, a line end after it, and end well.
    Tell(String),
    /// Print these on standard error and end with [`EXIT_USAGE`].
    Refuse(Faults),
    /// Start again without the key in the arguments.
    Restart(Restart),
}

impl Request {
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
        let looking = arguments.iter().any(|word| word == "models" || word == "fit");
        let parsed = flags::parse(arguments);
        if let Some(text) = parsed.tell {
            return Self::Tell(text.trim_end().to_owned());
        }
        let mut faults = parsed.faults;
        let mut print = false;
        if let Some(matches) = &parsed.matches {
            print = matches.get_flag("print-config");
            sources.config = matches.get_one::<OsString>("config").filter(|path| !path.is_empty()).map(PathBuf::from);
            take_values(matches, &mut sources, &mut faults);
            if let Some((path, look)) = Look::read(matches, &mut sources, &mut faults) {
                sources.config = path.or(sources.config);
                return match Settings::load_for_inspection(&sources) {
                    Err(more) => {
                        faults.extend(more.0);
                        Self::Refuse(Faults(faults))
                    }
                    Ok(_) if !faults.is_empty() => Self::Refuse(Faults(faults)),
                    Ok(settings) => Self::Look { settings: Box::new(settings.value), look },
                };
            }
        }
        // What cannot be read may have been a command that needs no key; then there is no word about one.
        let unreadable = parsed.matches.is_none() && looking;
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

/// The values of all flags that set a key.
fn take_settings(matches: &ArgMatches, sources: &mut Sources, faults: &mut Vec<SettingFault>) {
    for name in NAMES.table {
        let Some(value) = matches.get_one::<OsString>(name.flag) else { continue };
        match value.to_str() {
            Some(value) => sources.flags.push(Given {
                flag: name.flag.to_owned(),
                key: name.key.to_owned(),
                value: value.to_owned(),
            }),
            None => faults.push(flag_fault(name.flag, "the value is not UTF-8")),
        }
    }
}

fn flag_fault(flag: &str, text: impl Into<String>) -> SettingFault {
    SettingFault { origin: Origin::Flag(flag.to_owned()), key: String::new(), text: text.into() }
}

/// The same, and what is wrong with the flags that set none.
fn take_values(matches: &ArgMatches, sources: &mut Sources, faults: &mut Vec<SettingFault>) {
    take_settings(matches, sources, faults);
    let mut refuse = |flag: &str, text: String| faults.push(flag_fault(flag, text));
    if let Some(kind) = matches.get_one::<OsString>("type").filter(|kind| *kind != "gpu") {
        refuse("type", format!("this program is the `gpu` worker and no other, found {kind:?}; leave the flag out"));
    }
    if let Some(value) = matches.get_one::<OsString>("debug") {
        let level = match value.to_str() {
            Some("1") => "debug",
            Some("2") => "trace",
            _ => return refuse("debug", format!("expected 1 or 2, found {value:?}")),
        };
        if sources.flags.iter().any(|given| given.flag == "log-level") {
            return refuse("debug", "given beside --log-level; keep one of the two".to_owned());
        }
        let (flag, key) = ("debug".to_owned(), "log.level".to_owned());
        sources.flags.push(Given { flag, key, value: level.to_owned() });
    }
}

#[cfg(test)]
mod tests;
