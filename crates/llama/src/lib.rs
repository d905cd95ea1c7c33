//! The words llama-server speaks: its HTTP, its event stream, its errors, its output lines.
//!
//! Nothing here owns a process, a queue or a policy. The crate turns a place where an engine listens
//! ([`Endpoint`]) into answers, in two ways that are kept apart on purpose.
//!
//! **Small questions** (is it well, what are its slots) go through [`Control`], an ordinary HTTP client
//! that never lives on the token path.
mod control;
mod endpoint;
mod models;
mod props;
mod slots;
mod state_line;

pub use control::{Control, ControlError, Health};
pub use endpoint::Endpoint;
pub use models::ModelMeta;
pub use props::Props;
pub use slots::Slot;
pub use state_line::StateLine;
