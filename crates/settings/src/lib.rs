//! One tree of all crates' settings, loaded and checked once.
//!
//! # Theory of operation
//!
//! Each crate defines its own `Config`. This crate composes them and fills the tree from four layers, each stronger
//! than the one before: the defaults in code, the TOML file, the environment, the command line. The file is the one
//! named by `--config` or `AUXOT_CONFIG`, which must exist, or else the first default path that exists.
//!
//! Every value is one entry: a key, a value and its source. Each entry is checked *alone* against the defaults before
//! all are merged, so that every faulty entry is found and not only the first that the deserialiser meets. The types of
//! the section decide what a value means: a bare number for a key that refuses numbers and takes durations is seconds;
//! text from the environment for a list is split at commas. There is no second list of types that could become
//! outdated.
//!
//! One table holds the external names ([`NAMES`]): the flat historical variables, which are also the flags. Every other
//! key is available as `AUXOT_SECTION__KEY`. An unknown variable that starts with `AUXOT_` is a fault, because a
//! misspelt setting without effect is hard to find; variables of the sibling programs are known and ignored.
//!
//! A key that gets a new name keeps the old one for one release: the same table lists both, an entry under the old name
//! becomes one under the new name with a warning, and a key under both names is a fault.
//!
//! After the types, `validate` checks the rules that types cannot express. All faults are reported together, as
//! `source: key: what is wrong, what to do`; the value of a secret is never printed. A secret is a key that its section
//! does not serialise, so that a new secret needs no entry in a list.
//!
//! The same sources can be read again while the worker runs. `change` lists the keys that differ and when each can be
//! applied: the router connection, the devices, the metrics endpoint and the log are opened once, everything else is
//! applied at once.

mod change;
mod effective;
mod entry;
mod explain;
mod fault;
mod file;
mod interpret;
mod load;
mod load_settings;
mod log;
mod names;
mod nearest;
mod renamed;
mod settings;
mod toml_text;
mod tree;
mod validate;
mod variables;

/// The version of this build, with its commit where it is known.
pub const VERSION: &str = env!("AUXOT_VERSION");

pub use change::{SettingChange, When};
pub use effective::Defaults;
pub use fault::{Faults, Origin, SettingFault};
pub use load::{Given, Loaded, Sources, load};
pub use log::{Format, Level, LogConfig, Verbosity};
pub use names::{FlatNames, NAMES, RenamedSetting, SettingName, SettingNames, nested_variable};
pub use nearest::nearest;
pub use settings::Settings;

#[cfg(test)]
mod tests;
