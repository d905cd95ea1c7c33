//! The models this host knows: GGUF files, their names and what their headers say.
//!
//! # Theory of operation
//!
//! [`Catalog::scan`] walks the models folders, groups the shards of a set, reads the header of every
//! file and ends with two lists: [`Model`]s that the engine can load, and [`Damaged`] files with what
//! is wrong with each. It blocks (call it from `spawn_blocking`) and it never fails: a fault belongs
//! to the file that has it and harms nothing else. A catalog does not change; a new scan makes a new
//! one.
//!
//! New, changed and removed files are found by [`Catalog::rescan`], which looks at every name but opens only files whose
//! length, time or inode is another than before, so that it may be called whenever somebody asks for a model that is not
//! there. That there is something to be found [`CatalogWatcher`] tells, which has the system watch the folders; who waits has its
//! [`Signal`]. [`Catalog::remember`] and [`Catalog::recall`] carry the headers over a restart in the same way: a large
//! vocabulary costs milliseconds, and a look at a file's state does not.
//!
//! Headers are read by [`Gguf`], which keeps the small facts and walks past vocabularies without
//! allocating for them. Every length in a file is checked against what is left of the file, and
//! every count against a bound, before memory is taken, because a model file is a download from
//! strangers.
//!
//! # Memory
//!
//! [`MemoryRequirements::of`] computes what a model will take from its header alone, by the parts that can lie on different devices.
//! [`MeasurementHistory`] remembers what it really took under the same circumstances, which is better.
//!
//! # Names
//!
//! A model's canonical [`Model::name`] is its file name in lower case without `.gguf` and shard
//! suffix, such as `llama-3.3-70b-q4_k_m`; two files of one name get their folders in front. [`Catalog::resolve`]
//! takes an alias of the operator's for what it stands for, finds a path (`file:/m/x.gguf`, `/m/x.gguf`, or an
//! `.../x.gguf` form) as such, and anything else by the rules of `auxot-names`, where a link to the file counts as
//! its name, and the `general.name` of the header, a folder the file lies in, and its path below the models folder
//! (so `owner/repo:QUANT` finds a file under `owner_repo/`) as names around it.

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
pub use config::{Alias, Config};
pub use damaged::{Damaged, Fault};
pub use gguf::{Block, Gguf, GgufError, Value, Weights};
pub use identity::Identity;
pub use measurement_history::{MeasurementHistory, MeasurementKey};
pub use model::Model;
pub use model::task::{Pooling, Task};
pub use requirements::{KvType, Layer, MemoryRequirements, RequirementsUnknown, RunParameters};
pub use resolve::ResolveError;
pub use scan::Catalog;
pub use scan::changes::Changes;
pub use text::{SHOWN, path_text};
pub use watcher::{CatalogWatcher, Signal};

#[cfg(test)]
mod fixture;
