//! Files, replaced whole, and noticed when they change.
//!
//! What is remembered over restarts is written by [`replace()`]: a reader, a crash, or whoever watches, meets the old file or
//! the new one and never half of one.
//!
//! Whoever reads what others write watches its folder ([`eyes`]). What is told is the same for all, and is what can make
//! somebody read something else: a name that came or went, a file that was written to its end or may be read by others
//! now. What of that matters is for each to say, and so is when several changes are one. A system that tells nothing gives
//! no eyes, which is an error that its caller has an answer to.

#[cfg(target_os = "linux")]
pub mod eyes;
#[cfg(not(target_os = "linux"))]
#[path = "no_eyes.rs"]
pub mod eyes;
mod news;
mod replace;

pub use news::{Entry, News, What};
pub use replace::{folder_of, replace};
