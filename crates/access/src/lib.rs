//! Who may use an HTTP server of this project, and how much of it.
//!
//! # Theory of operation
//!
//! [`AllowedHosts`] refuses requests under a host name that is not this host's: a web page cannot reach a server on
//! loopback through a DNS name of its own. [`Budget`] bounds the bytes that all requests hold together; each holds its part
//! as a [`BudgetShare`], whose drop returns it.
//!
//! [`keys`] are random, have names, terms and a time after which they expire, and are stored as hashes in a file that only
//! its owner can read: a line for each key, changes at its end. It is read again when it changes. [`Verifier`] checks keys:
//! generated ones by a table of their digests, those with Argon2id hashes by one slow check and then a cached verdict, with a
//! bound on the checks of each address. [`KeyUsage`] counts the requests of each key towards its limits, and [`LastUses`]
//! knows when each was last used.
//!
//! # Example
//!
//! ```
//! use auxot_access::{Budget, BudgetShare};
//!
//! let bodies = Budget::new(10);
//! let mut body = BudgetShare::of(bodies.clone());
//! assert!(body.grow(8) && !body.grow(3));
//! drop(body);
//! assert!(BudgetShare::of(bodies).grow(10));
//! ```

mod budget;
mod hosts;
mod key_usage;
pub mod keys;
mod last_use;
mod random;
mod shown_key;
mod verifier;

pub use budget::{Budget, BudgetShare};
pub use hosts::AllowedHosts;
pub use key_usage::{CountedRequest, KeyUsage, LimitReached};
pub use last_use::LastUses;
pub use random::random;
pub use shown_key::shown_key;
pub use verifier::{CheckUnavailable, KeyStatus, KeysState, Verifier};
