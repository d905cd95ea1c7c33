//! The models this host knows: GGUF files, their names and what their headers say.
//!
//! # Theory of operation
//!
//! [`Catalog::scan`] walks the models folders, groups the shards of a set, reads the header of every
//! file and ends with two lists: [`Model`]s that the engine can load, and [`Damaged`] files with what is wrong with
//! each. It blocks (call it from `spawn_blocking`) and it never fails: a fault belongs to its file and affects no
//! other. A catalog does not change; a new scan makes a new one.
//!
//! [`Catalog::rescan`] finds new, changed and removed files. It lists every name but opens only files whose length,
//! time or inode has changed, so that it may run for each job that names an unknown model. [`CatalogWatcher`] watches
//! the folders, and its [`Signal`] reports when a rescan would find something. [`Catalog::remember`] and
//! [`Catalog::recall`] keep the headers over a restart: to read a large vocabulary takes milliseconds, to look at a
//! file's state does not.
//!
//! Headers are read by [`Gguf`], which keeps the small facts and skips vocabularies without allocating for them. Every
//! length in a file is checked against the rest of the file, and every count against a bound, before memory is
//! allocated: model files are downloads and not trusted.
//!
//! A folder that is the store of another program (the cache of Hugging Face's hub, Ollama, Docker's model runner, Jan) is
//! read through its own index and never written; its models have the names that they have there. `Config::stores` scans
//! these stores where their programs keep them.
//!
//! # Memory
//!
//! [`MemoryRequirements::of`] computes from its header what a model takes, by the parts that can be on different
//! devices. [`MeasurementHistory`] keeps what it really took in the same configuration, which is better.
//!
//! # Names
//!
//! A model's canonical [`Model::name`] is its file name in lower case without `.gguf` and shard suffix, such as
//! `llama-3.3-70b-q4_k_m`; two files of one name get their folders in front. [`Catalog::resolve`] replaces an
//! operator's alias by its model, finds a path (`file:/m/x.gguf`, `/m/x.gguf`, or `.../x.gguf`) as such, and anything
//! else by the rules of `auxot-names`. A link to the file counts as its name; the `general.name` of the header, a
//! folder of the file, and its path below the models folder (so that `owner/repo:QUANT` finds a file under
//! `owner_repo/`) count as names around it.
//!
//! ```
//! use auxot_catalog::{Catalog, Config};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! let config = Config { models_dir: vec![folder.path().to_owned()], ..Config::default() };
//! let catalog = Catalog::scan(&config);
//! assert!(catalog.models().is_empty() && catalog.damaged().is_empty());
//! assert!(catalog.resolve("qwen2.5-7b").is_err());
//! ```

mod config;
mod damaged;
mod files;
mod gguf;
mod identity;
mod measurement_history;
mod model;
mod path;
mod requirements;
mod resolve;
mod scan;
mod text;
mod watcher;

pub use auxot_names::Rank;
pub use auxot_names::one_line;
pub use config::{Alias, Config, expand_home};
pub use damaged::{Damaged, Fault};
pub use gguf::{Block, Gguf, GgufError, Value, Weights};
pub use identity::Identity;
pub use measurement_history::{MeasurementHistory, MeasurementKey};
pub use model::Model;
pub use model::task::{Pooling, Task};
pub use requirements::{CHECKPOINT_STEP, KvType, Layer, MemoryRequirements, RequirementsUnknown, RunParameters};
pub use resolve::ResolveError;
pub use scan::Catalog;
pub use scan::changes::Changes;
pub use text::{SHOWN, path_text};
pub use watcher::{CatalogWatcher, Signal};

#[cfg(test)]
mod fixture;
