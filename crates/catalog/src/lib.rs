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
//! there. That there is something to be found [`Lookout`] tells, which has the system watch the folders; who waits has its
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
//! [`Need::of`] computes what a model will take from its header alone, by the parts that can lie on different devices.
//! [`Experience`] remembers what it really took under the same circumstances, which is better.
//!
//! # Names
//!
//! A model's canonical [`Model::name`] is its file name in lower case without `.gguf` and shard
//! suffix, such as `llama-3.3-70b-q4_k_m`; two files of one name get their folders in front. To find
//! a model, [`Catalog::resolve`] cuts the wish into a base and a quantisation (the longest known
//! suffix), and compares bases by their runs of letters and of digits, so that case, punctuation and
//! `qwen-2.5` against `Qwen2.5` make no difference. The best match wins:
//!
//! 0. an alias of the operator's, which is then looked up as what it stands for;
//! 1. the canonical name itself, or a path (`file:/m/x.gguf`, `/m/x.gguf`, or an `.../x.gguf` form);
//! 2. the base of the file name, or of another link to the file;
//! 3. the `general.name` of the header, a folder the file lies in, or its path below the models folder
//!    (so `owner/repo:QUANT` finds a file under `owner_repo/`);
//! 4. the same two, with an `instruct` or `it` of the model left out of the wish.
//!
//! Among equally good bases the quantisation decides: the same; else an equivalent one (`f16` and
//! `bf16`; `q8_k` and `q8_k_xl`; with or without `ud-` or `i1-`); else, where the wish names
//! none, whatever there is. One best match resolves; several are an error that lists them, and so is none.

mod config;
mod experience;
mod gguf;
mod lookout;
mod model;
mod need;
mod resolve;
mod scan;

pub use config::{Alias, Config};
pub use experience::{Circumstances, Experience};
pub use gguf::{Block, Gguf, GgufError, Value, Weights};
pub use lookout::{Lookout, Signal};
pub use model::Model;
pub use model::identity::Identity;
pub use model::kind::Kind;
pub use need::{Ask, KvType, Layer, Need, NeedUnknown};
pub use resolve::ResolveError;
pub use resolve::name::same_name;
pub use scan::Catalog;
pub use scan::changes::Changes;
pub use scan::damaged::{Damaged, Fault};

#[cfg(test)]
mod fixture;
