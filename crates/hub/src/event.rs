//! What a download reports while it runs.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// One step of a download. As JSON it is an object with its name in `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// All that will be downloaded, and how many bytes of it are here already.
    Planned {
        /// How many files.
        files: usize,
        /// Bytes of all files whose size is known.
        bytes: u64,
        /// Bytes that are here.
        have: u64,
    },
    /// Another process downloads this file; this one waits for it.
    Waiting {
        /// The file.
        file: &'a str,
    },
    /// A file begins or goes on.
    Started {
        /// The file.
        file: &'a str,
        /// Its size, where it is known.
        size: Option<u64>,
        /// Bytes that are here already.
        have: u64,
    },
    /// Bytes have arrived.
    Received {
        /// The file.
        file: &'a str,
        /// All of its bytes that are here.
        bytes: u64,
    },
    /// An attempt has failed, and another one follows.
    Retrying {
        /// The file.
        file: &'a str,
        /// Why.
        reason: &'a str,
        /// The pause before.
        #[serde(rename = "pause_s", serialize_with = "seconds")]
        pause: Duration,
    },
    /// A file is whole.
    Verified {
        /// The file.
        file: &'a str,
        /// Its SHA-256.
        sha256: String,
        /// Whether that is the one which its origin states; otherwise the origin states none.
        stated: bool,
    },
    /// A file has its place.
    Placed {
        /// The file.
        file: &'a str,
        /// Its place.
        path: &'a str,
        /// Whether it was there before.
        unchanged: bool,
    },
}

/// Receives the events; it must not block.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

fn seconds<S: Serializer>(pause: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(pause.as_secs_f64())
}
