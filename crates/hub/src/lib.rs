//! Models that are not here yet: finds them on a hub, downloads and verifies them.
//!
//! # Theory of operation
//!
//! A [`Source`] says what is wanted: a repository of a hub that speaks Hugging Face's protocol, a URL, a local file, or a
//! name of the operator's table. [`Hub::list`] resolves a repository's revision to a commit, once, and reads its files as
//! [`Variant`]s: a model in one quantisation, all its shards and its projector. Everything later names that commit.
//!
//! A [`Table`] knows the repositories and files of names; an operator's own entries come before those of the program.
//!
//! A [`Download`] is a unit: [`Hub::pull`] gets all of its files, several at once, and gives them their names only when
//! each of them is whole and verified. A reader of the folder sees all of a model or nothing of it.
//!
//! Each file arrives in a hidden part file beside its place. The part file is locked, so that two processes never write one
//! file, and it has a journal: the state of its SHA-256 at each block border. With it an interrupted download goes on in
//! another process without reading the file from its start, and a damaged block is found without a second digest. An attempt
//! asks for the rest by `Range` and `If-Range`, always at the hub itself, because signed addresses expire; the answer
//! decides whether it is the rest, the whole file again, or a refusal. A stalled, cut or refused
//! attempt is repeated after a random pause; the bound on attempts counts only those that brought nothing.
//!
//! The digest must be the one that the hub states, in its listing and in `X-Linked-ETag`. The access token goes to the hub's
//! own host and to no other.
//!
//! Beside each finished file stays a hidden [`Record`] of where it came from and of its digests, for [`verify()`] and for
//! [`Hub::repair`], which fetches the damaged blocks alone.
//!
//! ```
//! use auxot_hub::{Source, Wanted};
//!
//! let Ok(Source::Repository(source)) = Source::parse("hf:unsloth/Llama-3.3-70B-Instruct-GGUF:Q4_K_M") else { panic!() };
//! assert_eq!(source.repository.to_string(), "unsloth/Llama-3.3-70B-Instruct-GGUF");
//! assert_eq!(source.wanted, Wanted::Quant("Q4_K_M".to_owned()));
//! ```

mod answer;
mod body;
mod client;
mod config;
mod digest;
mod download;
mod endpoint;
mod error;
mod event;
mod hub;
mod leftovers;
mod listing;
mod part;
mod record;
mod repair;
mod repository;
mod source;
mod space;
mod table;
mod transfer;
mod unit;
mod variant;
mod verify;

pub use config::Config;
pub use digest::Sum;
pub use download::{Download, Item, Origin};
pub use endpoint::Endpoint;
pub use error::HubError;
pub use event::{Event, Observer};
pub use hub::Hub;
pub use listing::Listing;
pub use record::{Record, remove};
pub use repair::Repaired;
pub use repository::Repository;
pub use source::{RepositorySource, Source, SourceError, Wanted};
pub use table::{Entry, Table, TableError};
pub use variant::{RemoteFile, Variant, VariantError};
pub use verify::{Finding, verify};
