//! The operator's door.
mod config;
pub use config::Config;
