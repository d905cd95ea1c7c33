//! Who may use an HTTP server of this project, and how much of it.
//!
//! # Theory of operation
//!
//! [`AllowedHosts`] refuses requests under a host name that is not this host's: a web page cannot reach a server on
//! loopback through a DNS name of its own. [`Budget`] bounds the bytes that all requests hold together; each holds its part
//! as a [`BudgetShare`], whose drop returns it.
//!
//! [`keys`] are random, stored as Argon2id hashes in a file that only its owner can read, and read again when the file
//! changes. [`Verifier`] checks them: one slow check, then a cached verdict, with a bound on the checks of each address.
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
pub mod keys;
mod random;
mod verifier;

pub use budget::{Budget, BudgetShare};
pub use hosts::AllowedHosts;
pub use random::random;
pub use verifier::{CheckUnavailable, KeyId, KeyKind, Verifier};
