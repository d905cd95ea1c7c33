//! The reports to a test, as JSON lines over a unix socket that the test listens on (`--report PATH`).
//!
//! The lines are events a test can wait for; the end of the stream is the end of the process, however it died.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

/// The line to the test, or nothing when no test listens.
#[derive(Debug, Default)]
pub(crate) struct Report {
    socket: Option<Mutex<UnixStream>>,
}

impl Report {
    /// Connects; a test that is no longer there is no fault.
    pub(crate) fn open(path: Option<&Path>) -> Report {
        Report { socket: path.and_then(|path| UnixStream::connect(path).ok()).map(Mutex::new) }
    }

    /// True when a test listens; costly details are made only then.
    pub(crate) fn wanted(&self) -> bool {
        self.socket.is_some()
    }

    /// Sends `{"event": name, …detail}`.
    pub(crate) fn say(&self, name: &str, mut detail: Value) {
        let Some(socket) = &self.socket else { return };
        if let Some(object) = detail.as_object_mut() {
            object.insert("event".into(), json!(name));
            object.insert("pid".into(), json!(std::process::id()));
        }
        if let Ok(mut socket) = socket.lock() {
            // The test may have gone away first; its absence must not change what the engine does.
            let _ = socket.write_all(format!("{detail}\n").as_bytes());
        }
    }
}
