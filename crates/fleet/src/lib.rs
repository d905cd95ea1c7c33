//! One judge.
mod config;
pub use config::Config;
