//! Runs a program to its end and captures its output.

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

/// The output and exit status of a program.
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
    #[error("{0}")]
    NotRunnable(#[from] io::Error),
    /// It did not end in time; it was killed.
    #[error("no answer within {CAPTURE_TIMEOUT:?}")]
    TimedOut,
}

impl Captured {
    /// The last line, which is where programs print what is wrong.
    pub(crate) fn last_line(&self) -> &str {
        let mut lines = self.out.lines().chain(self.err.lines());
        lines.rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing")
    }
}

/// Runs a program to its end. Dropping the future kills it.
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
    let capture = async {
        let (out, err, status) = tokio::join!(read_all(stdout), read_all(stderr), child.wait());
        Ok(Captured { out, err, status: status? })
    };
    timeout(CAPTURE_TIMEOUT, capture).await.map_err(|_| CaptureError::TimedOut)?
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What was read before an error still counts; the exit status shows the failure.
        let _fault = (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut bytes).await;
        // The rest is read and dropped, so that the program can exit by itself.
        let _fault = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
