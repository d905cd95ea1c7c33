//! One tree of every crate's settings, loaded and checked once.
//!
//! # Theory of operation
//!
//! Each crate defines its own `Config`; this one only composes them and fills the tree from four
//! layers, each stronger than the one before: the defaults in code, the TOML file, the environment,
//! the command line. The file is the one named by `--config` or `AUXOT_CONFIG`, which must exist,
//! or else the first usual one that does.
//!
//! Every value is one entry: a key, a value, and the place it came from. An entry is tried *alone*
//! against the defaults before all are merged, so that each faulty one is found, and not only the
//! first that the deserialiser meets. The section's own types decide what a value means: a bare
//! number for a key that refuses numbers but takes durations is seconds; text from the environment
//! for a key that wants a list is split at commas. No second list of types exists that could go stale.
//!
//! Outside names are kept in one table ([`NAMES`]): the flat historical variables, which are also the
//! flags. Every other key is reached as `AUXOT_SECTION__KEY`. A variable that starts with `AUXOT_` and
//! is known to nobody is a fault, because a misspelt setting that does nothing costs an afternoon;
//! variables of the sibling programs are known and left alone.
//!
//! After the types come our own rules (`validate.rs`). Everything wrong is reported together, as
//! `source: key: what is wrong, what to do`; the value of a secret is never quoted. A secret is what a
//! section does not serialise, so a new one cannot be forgotten here.
//!
//! The same sources can be read again while the worker runs. What differs is then told key by key, with when it can come
//! into force (`change.rs`): the doors, the devices and the log are opened once, all else can be taken over at once.

mod change;
mod effective;
mod entry;
mod explain;
mod fault;
mod file;
mod load;
mod load_settings;
mod log;
mod names;
mod nearest;
mod readings;
mod settings;
mod toml_text;
mod tree;
mod validate;
mod variables;

/// The version of this build, with its commit where that is known.
pub const VERSION: &str = env!("AUXOT_VERSION");

pub use change::{Change, When};
pub use effective::default_text;
pub use fault::{Fault, Faults, Origin};
pub use load::{Given, Loaded, Sources, load};
pub use log::{Format, Level, LogConfig, Verbosity};
pub use names::{NAMES, Name, Names, nested_variable};
pub use nearest::nearest;
pub use settings::Settings;

#[cfg(test)]
mod tests;
