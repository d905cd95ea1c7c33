//! What a model is called, and which model a name means. Pure: texts in, texts out.
//!
//! # Theory of operation
//!
//! The worker, the router, the commands and the settings use this crate, so that a name means the same in all of them.
//!
//! A model has a canonical name, which is its file's name in lower case without `.gguf` and shard suffix:
//! `llama-3.3-70b-q4_k_m`. A [`Name`] is what names are compared by: a base and a [`Quant`]isation, which is the
//! longest known suffix. A base is compared by its runs of letters and of digits, so that case, punctuation and
//! `qwen-2.5` against
//! `Qwen2.5` make no difference. [`best`] finds the models that fit a requested name best:
//!
//! 1. the canonical name itself;
//! 2. the base of the file's name, or of another link to the file ([`Rank::File`]);
//! 3. what the header or the folders say ([`Rank::Around`]);
//! 4. the same two, with an `instruct` or `it` of the model left out of the requested name.
//!
//! Among equally good bases the quantisation decides: the same; else an equivalent one (`f16` and `bf16`; `q8_k` and
//! `q8_k_xl`; with or without `ud-` or `i1-`); else, where the requested name names none, any. Another quantisation
//! than the one that is asked for never fits. One best match is the model; several are an error that lists them
//! ([`list`]).
//!
//! [`find()`] does that for a requested name as it is written, then for what an alias makes of it. A tag `:latest`, which
//! some programs put behind each name, is left out where nothing is called so.
//!
//! Names come from files and from other programs: [`one_line`] makes one fit for a log or a table.
//!
//! ```
//! use auxot_names::{KnownNames, best};
//!
//! let models = ["qwen2.5-7b-instruct-q4_k_m", "qwen2.5-7b-instruct-q8_0"];
//! let known = models.map(|name| (name, name, KnownNames::of(name)));
//! let find = |requested| best(requested, known.iter().map(|(model, name, names)| (*model, *name, names)));
//! assert_eq!(find("Qwen 2.5 7B:Q8_0"), ["qwen2.5-7b-instruct-q8_0"]);
//! assert_eq!(find("qwen2.5-7b").len(), 2);
//! ```

mod find;
mod matching;
mod name;
mod quant;
mod runs;
mod shard;
mod text;

pub use find::find;
pub use matching::{KnownNames, Rank, StatedQuant, best, list};
pub use name::{Name, base_name, same_name, stem};
pub use quant::Quant;
pub use shard::ShardName;
pub use text::{one_line, push_escaped};
