//! The router's door.
mod config;
pub use config::{Config, Connections, PromptProgress};
