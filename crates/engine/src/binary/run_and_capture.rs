//! A program that is asked something: run to its end, with all that it says.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::spawner::{Files, Spawner};

/// How long one run may take. On a host with many devices the first one wakes their drivers.
pub(crate) const CAPTURE_TIMEOUT: Duration = Duration::from_secs(20);
/// The most output that is kept; `--help` has 60 KiB.
const MAX_OUTPUT: u64 = 1 << 20;

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: ExitStatus,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The program cannot be run.
    #[error("cannot run it: {0}")]
    NotRunnable(#[from] io::Error),
    /// It did not end; it was killed.
    #[error("no answer within {CAPTURE_TIMEOUT:?}")]
    TimedOut,
}

impl Captured {
    /// The last thing it said, which is where programs tell what is wrong.
    pub(crate) fn last_line(&self) -> &str {
        let mut lines = self.out.lines().chain(self.err.lines());
        lines.rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
    }
}

/// Runs a program. Dropping the future ends it.
pub(crate) async fn run_and_capture(
    spawner: &Spawner,
    program: &Path,
    arguments: &[OsString],
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Captured, CaptureError> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = spawner.spawn(command, Files::default()).await;
    let mut child = started.map_err(|_| io::Error::other("the spawner thread is gone"))??;
    let (_, stdout, stderr) = child.take_pipes();
    let listening = async {
        let (out, err, status) = tokio::join!(all_of(stdout), all_of(stderr), child.wait());
        Ok(Captured { out, err, status: status? })
    };
    timeout(CAPTURE_TIMEOUT, listening).await.map_err(|_| CaptureError::TimedOut)?
}

async fn all_of(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What was read before a fault still counts; the exit status tells the rest.
        let _fault = (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut bytes).await;
        // Drained beyond the limit, so that the program can end by itself.
        let _fault = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
