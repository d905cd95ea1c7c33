//! What a model is called, and which model a name means. Pure: texts in, texts out.
//!
//! # Theory of operation
//!
//! The worker, the router, the commands and the settings ask this crate, so that a name means the same in all of them.
//!
//! A model has a canonical name, which is its file's name in lower case without `.gguf` and shard suffix:
//! `llama-3.3-70b-q4_k_m`. A [`Name`] is what names are compared by: a base and a [`Quant`]isation, which is the longest
//! known suffix. A base is compared by its runs of letters and of digits, so that case, punctuation and `qwen-2.5` against
//! `Qwen2.5` make no difference. [`best`] finds the models that fit a wish best:
//!
//! 1. the canonical name itself;
//! 2. the base of the file's name, or of another link to the file ([`Rank::File`]);
//! 3. what the header or the folders say ([`Rank::Around`]);
//! 4. the same two, with an `instruct` or `it` of the model left out of the wish.
//!
//! Among equally good bases the quantisation decides: the same; else an equivalent one (`f16` and `bf16`; `q8_k` and
//! `q8_k_xl`; with or without `ud-` or `i1-`); else, where the wish names none, any. Another quantisation than the one that
//! is asked for never fits. One best match is the model; several are an error that lists them ([`list`]).
//!
//! [`find`] does that for a wish as it is written, then for what an alias makes of it. A tag `:latest`, which some programs
//! put behind each name, is left out where nothing is called so.
//!
//! Names come from files and from other programs: [`one_line`] makes one fit for a log or a table.

mod matching;
mod name;
mod quant;
mod runs;
mod shard;
mod text;
mod wish;

pub use matching::{Known, Rank, Tells, best, list};
pub use name::{Name, base_name, same_name, stem};
pub use quant::Quant;
pub use shard::ShardName;
pub use text::{one_line, push_escaped};
pub use wish::find;
