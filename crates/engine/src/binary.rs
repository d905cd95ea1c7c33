//! The llama-server program of this host and what it can do, as its own output says.

pub(crate) mod dry_run;
pub(crate) mod listed_device;
pub(crate) mod run_and_capture;

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use auxot_llama::{Build, Flags};

use crate::binary::dry_run::DryRun;
use crate::binary::listed_device::ListedDevice;
use crate::binary::run_and_capture::{CAPTURE_TIMEOUT, CaptureError, Captured, run_and_capture};
use crate::spawner::Spawner;

/// The program and what it can do.
#[derive(Debug, Clone)]
pub struct EngineBinary {
    /// The program, as an absolute path.
    pub binary: PathBuf,
    /// Its version; `None` if its `--version` cannot be parsed.
    pub build: Option<Build>,
    /// The flags it knows.
    pub flags: Flags,
    /// Whether it can listen on a unix socket.
    pub unix_sockets: bool,
    /// The devices that it can use; `None` if it does not list them.
    pub devices: Option<Vec<ListedDevice>>,
    /// The program for its dry runs, if there is one.
    pub(crate) dry_run: Option<DryRun>,
}

/// Why there is no usable engine.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// No such program.
    #[error("cannot find the engine {}: {looked}; set engine.binary (AUXOT_LLAMA_BINARY) to a llama-server program", binary.display())]
    Missing {
        /// The program.
        binary: PathBuf,
        /// Where it was looked for.
        looked: String,
    },
    /// It exists and cannot be run.
    #[error("cannot run the engine {}: {source}", binary.display())]
    NotRunnable {
        /// The program.
        binary: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("cannot use the engine {}: {argument} ended with {status}: {output}", binary.display())]
    Failed {
        /// The program.
        binary: PathBuf,
        /// The argument that it was run with.
        argument: &'static str,
        /// Its exit status.
        status: String,
        /// Its last line of output.
        output: String,
    },
    /// It did not end in time.
    #[error("cannot use the engine {}: no answer to {argument} within {CAPTURE_TIMEOUT:?}", binary.display())]
    TimedOut {
        /// The program.
        binary: PathBuf,
        /// The argument that it was run with.
        argument: &'static str,
    },
    /// It is another program.
    #[error("cannot use {} as engine: its --help lists no --model and no --parallel", binary.display())]
    NotAnEngine {
        /// The program.
        binary: PathBuf,
    },
}

impl EngineBinary {
    /// Whether it can estimate a model's memory before a load.
    #[must_use]
    pub fn has_dry_run(&self) -> bool {
        self.dry_run.is_some()
    }

    /// Finds the program and runs it to learn its version, flags and devices.
    pub(crate) async fn examine(
        spawner: &Spawner,
        binary: &Path,
        env: &[(OsString, OsString)],
    ) -> Result<EngineBinary, BinaryError> {
        let binary = find(binary, std::env::var_os("PATH"))?;
        let help = async {
            let (flags, help) = flags(spawner, &binary, env).await?;
            Ok((devices(spawner, &binary, &flags, env).await, flags, help.contains(".sock")))
        };
        let (version, help, dry_run) =
            tokio::join!(output_of(spawner, &binary, "--version", env), help, DryRun::find(spawner, &binary, env));
        let (version, (devices, flags, unix_sockets)) = (version?, help?);
        if !flags.has("--model") || !flags.has("--parallel") {
            return Err(BinaryError::NotAnEngine { binary });
        }
        let build = Build::parse(&version);
        Ok(EngineBinary { binary, build, flags, unix_sockets, devices, dry_run })
    }
}

/// Takes a path as it is, and looks for a bare name in `PATH` as a shell does.
fn find(binary: &Path, path: Option<OsString>) -> Result<PathBuf, BinaryError> {
    let missing = |looked: String| BinaryError::Missing { binary: binary.to_owned(), looked };
    if binary.components().count() > 1 || binary.is_absolute() {
        let absolute = std::path::absolute(binary)
            .map_err(|source| BinaryError::NotRunnable { binary: binary.to_owned(), source })?;
        return match absolute.metadata() {
            Ok(meta) if meta.is_file() => Ok(absolute),
            Ok(_) => Err(missing("it is not a file".into())),
            Err(fault) => Err(missing(fault.to_string())),
        };
    }
    let path = path.unwrap_or_default();
    let runnable = |file: &PathBuf| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(binary))
        .find(runnable)
        .ok_or_else(|| missing(format!("it is not in PATH ({})", path.to_string_lossy())))
}

/// The flags that it takes, and its help text.
async fn flags(spawner: &Spawner, binary: &Path, env: &[(OsString, OsString)]) -> Result<(Flags, String), BinaryError> {
    let argument = "--help";
    let answer = run_and_capture(spawner, binary, &[argument.into()], env.iter().cloned()).await;
    if let Ok(answer) = &answer {
        let text = format!("{}{}", answer.out, answer.err);
        let flags = Flags::parse(&text);
        // Builds of 2024 print the whole help and exit with status 1.
        if answer.status.success() || flags.has("--model") {
            return Ok((flags, text));
        }
    }
    output_or_error(binary, argument, answer).map(|text| (Flags::default(), text))
}

/// The devices that it can use. The flag is passed only to a program that knows it: a script would start to serve. A
/// program that does not answer can still be used.
async fn devices(
    spawner: &Spawner,
    binary: &Path,
    flags: &Flags,
    env: &[(OsString, OsString)],
) -> Option<Vec<ListedDevice>> {
    if !flags.has("--list-devices") {
        return None;
    }
    ListedDevice::parse(&output_of(spawner, binary, "--list-devices", env).await.ok()?)
}

/// Runs the program with one flag and returns all its output.
async fn output_of(
    spawner: &Spawner,
    binary: &Path,
    argument: &'static str,
    env: &[(OsString, OsString)],
) -> Result<String, BinaryError> {
    output_or_error(binary, argument, run_and_capture(spawner, binary, &[argument.into()], env.iter().cloned()).await)
}

/// The output of a program that succeeded.
fn output_or_error(
    binary: &Path,
    argument: &'static str,
    answer: Result<Captured, CaptureError>,
) -> Result<String, BinaryError> {
    let binary = binary.to_owned();
    match answer {
        // Older builds print their version to one pipe, newer ones to the other.
        Ok(answer) if answer.status.success() => Ok(answer.out + &answer.err),
        Ok(answer) => {
            let (status, output) = (answer.status.to_string(), answer.last_line().to_owned());
            Err(BinaryError::Failed { binary, argument, status, output })
        }
        Err(CaptureError::NotRunnable(source)) => Err(BinaryError::NotRunnable { binary, source }),
        Err(CaptureError::TimedOut) => Err(BinaryError::TimedOut { binary, argument }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that answers like a llama-server, or like a broken one.
    fn program(dir: &Path, body: &str) -> PathBuf {
        let path = dir.join("engine");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn examine(body: &str) -> Result<EngineBinary, BinaryError> {
        let dir = tempfile::tempdir().unwrap();
        EngineBinary::examine(&Spawner::start().unwrap(), &program(dir.path(), body), &[]).await
    }

    #[tokio::test]
    async fn a_program_is_known_by_its_own_output() {
        let engine = examine(
            "case $1 in --version) echo 'version: 0.1.0-dev (build 1, commit 7e4c0a9)' >&2;; \
             --help) printf '%s\\n' '-m,    --model FNAME  path' '-np,   --parallel N  slots' '--host HOST  address, or .sock';; esac",
        )
        .await
        .unwrap();
        assert!(engine.unix_sockets && engine.build.is_some());
        assert!(engine.flags.has("--parallel") && !engine.flags.has("--fit"));
    }

    #[tokio::test]
    async fn a_build_of_2024_is_an_engine_although_its_help_exits_with_status_1() {
        let engine = examine(
            "case $1 in --version) echo 'version: 3600 (abc1234)' >&2;; \
             --help) printf '%s\\n' '  -m,    --model FNAME    path' '  -np,   --parallel N     slots'; exit 1;; esac",
        )
        .await
        .unwrap();
        assert!(!engine.unix_sockets && engine.flags.has("--parallel"));
        let fault = examine("[ $1 = --version ] || { echo 'no such thing' >&2; exit 1; }").await.unwrap_err();
        assert!(fault.to_string().contains("no such thing"), "{fault}");
    }

    #[tokio::test]
    async fn another_program_and_a_broken_one_have_different_errors() {
        assert!(matches!(examine("echo hello").await, Err(BinaryError::NotAnEngine { .. })));
        let fault =
            examine("echo 'error while loading shared libraries: libgomp.so.1' >&2; exit 127").await.unwrap_err();
        assert!(fault.to_string().contains("libgomp.so.1"), "{fault}");
    }

    #[test]
    fn a_missing_program_is_reported_with_where_and_what_to_do() {
        let fault = find(Path::new("/no/such/llama-server"), None).unwrap_err().to_string();
        assert!(fault.contains("/no/such/llama-server") && fault.contains("AUXOT_LLAMA_BINARY"), "{fault}");
        let fault = find(Path::new("llama-server"), Some("/nowhere:/else".into())).unwrap_err().to_string();
        assert!(fault.contains("not in PATH (/nowhere:/else)"), "{fault}");
        assert_eq!(find(Path::new("sh"), Some("/nowhere:/bin".into())).unwrap(), Path::new("/bin/sh"));
    }
}
