//! The settings of downloads.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// Where models come from, and the limits of a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hub's address; it may have a path. The variable `HF_ENDPOINT` wins over the default.
    pub endpoint: String,
    /// The operator's own table of models, read before the program's.
    pub models_file: Option<PathBuf>,
    /// Files of one model that are downloaded at once.
    pub files_at_once: usize,
    /// Bytes of the disk that a download leaves free.
    pub keep_free: ByteSize,
    /// How long a connection may take.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub connect_timeout: Duration,
    /// How long an answer may bring no byte; then the attempt ends.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub stall_timeout: Duration,
    /// Attempts in a row without a new byte before the download fails.
    pub attempts: u32,
    /// The pause before another attempt, and the longest one.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub retry_delay: Duration,
    /// The longest pause that follows from failures; a hub may ask for a longer one.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub retry_max_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            models_file: None,
            files_at_once: 4,
            keep_free: ByteSize::gib(1),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            attempts: 8,
            retry_delay: Duration::from_secs(1),
            retry_max_delay: Duration::from_secs(60),
        }
    }
}
