//! What this host's llama-server can do, asked of the program itself.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use auxot_llama::{Build, Flags};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::spawner::{Files, Spawner};

/// How long each question may take. On a host with many devices the first one wakes their drivers.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read; `--help` has 60 KiB.
const ANSWER: u64 = 1 << 20;

/// The program and what it can do.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The program, as an absolute path.
    pub binary: PathBuf,
    /// Its version; `None` if it tells one that we cannot read.
    pub build: Option<Build>,
    /// The flags it knows.
    pub flags: Flags,
    /// Whether it can listen on a unix socket.
    pub unix_sockets: bool,
}

/// Why there is no usable engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such program.
    #[error("cannot find the engine {}: {looked}; set engine.binary (AUXOT_LLAMA_BINARY) to a llama-server program", binary.display())]
    Missing {
        /// What was looked for.
        binary: PathBuf,
        /// Where.
        looked: String,
    },
    /// It is there and cannot be run.
    #[error("cannot run the engine {}: {source}", binary.display())]
    NotRunnable {
        /// The program.
        binary: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("cannot use the engine {}: {question} ended with {status}: {words}", binary.display())]
    Failed {
        /// The program.
        binary: PathBuf,
        /// What it was asked.
        question: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it said.
        words: String,
    },
    /// It did not answer.
    #[error("cannot use the engine {}: no answer to {question} within {PATIENCE:?}", binary.display())]
    Silent {
        /// The program.
        binary: PathBuf,
        /// What it was asked.
        question: &'static str,
    },
    /// It is some other program.
    #[error("cannot use {} as engine: its --help lists no --model and no --parallel", binary.display())]
    NotAnEngine {
        /// The program.
        binary: PathBuf,
    },
}

impl Engine {
    /// Finds the program and asks what it is and what it can.
    pub(crate) async fn examine(
        spawner: &Spawner,
        binary: &Path,
        env: &[(OsString, OsString)],
    ) -> Result<Engine, EngineError> {
        let binary = find(binary, std::env::var_os("PATH"))?;
        let (version, help) =
            tokio::try_join!(ask(spawner, &binary, "--version", env), ask(spawner, &binary, "--help", env))?;
        let flags = Flags::parse(&help);
        if !flags.has("--model") || !flags.has("--parallel") {
            return Err(EngineError::NotAnEngine { binary });
        }
        let build = Build::parse(&version);
        Ok(Engine { binary, build, flags, unix_sockets: help.contains(".sock") })
    }
}

/// A path is taken as it is, a bare name is looked for as a shell would.
fn find(binary: &Path, path: Option<OsString>) -> Result<PathBuf, EngineError> {
    let missing = |looked: String| EngineError::Missing { binary: binary.to_owned(), looked };
    if binary.components().count() > 1 || binary.is_absolute() {
        let absolute = std::path::absolute(binary)
            .map_err(|source| EngineError::NotRunnable { binary: binary.to_owned(), source })?;
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

/// Runs the program with one flag and gives all it says.
async fn ask(
    spawner: &Spawner,
    binary: &Path,
    question: &'static str,
    env: &[(OsString, OsString)],
) -> Result<String, EngineError> {
    let not_runnable = |source| EngineError::NotRunnable { binary: binary.to_owned(), source };
    let mut command = Command::new(binary);
    command.arg(question).env_clear().envs(env.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let answer = spawner.spawn(command, Files::default()).await;
    let gone = |_| io::Error::other("the spawner thread is gone");
    let mut child = answer.map_err(gone).and_then(|child| child).map_err(not_runnable)?;
    let (_, stdout, stderr) = child.take_pipes();
    let listening = async {
        // Older builds tell their version on one pipe, newer ones on the other.
        let (out, err, status) = tokio::join!(all_of(stdout), all_of(stderr), child.wait());
        Ok((out + &err, status.map_err(not_runnable)?))
    };
    // Dropping the child on the way out ends it.
    let silent = |_| EngineError::Silent { binary: binary.to_owned(), question };
    let (words, status) = timeout(PATIENCE, listening).await.map_err(silent)??;
    if !status.success() {
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
        return Err(EngineError::Failed {
            binary: binary.to_owned(),
            question,
            status: status.to_string(),
            words: last,
        });
    }
    Ok(words)
}

async fn all_of(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What was read before a fault still counts; the exit status tells the rest.
        let _fault = (&mut pipe).take(ANSWER).read_to_end(&mut bytes).await;
        // Drained beyond the limit, so that the program can end by itself.
        let _fault = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that answers as a llama-server would, or as a broken one.
    fn program(dir: &Path, body: &str) -> PathBuf {
        let path = dir.join("engine");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn examine(body: &str) -> Result<Engine, EngineError> {
        let dir = tempfile::tempdir().unwrap();
        Engine::examine(&Spawner::start().unwrap(), &program(dir.path(), body), &[]).await
    }

    #[tokio::test]
    async fn a_program_is_known_by_its_own_words() {
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
    async fn another_program_and_a_broken_one_are_told_apart() {
        assert!(matches!(examine("echo hello").await, Err(EngineError::NotAnEngine { .. })));
        let fault =
            examine("echo 'error while loading shared libraries: libgomp.so.1' >&2; exit 127").await.unwrap_err();
        assert!(fault.to_string().contains("libgomp.so.1"), "{fault}");
    }

    #[test]
    fn a_missing_program_is_told_with_where_and_what_to_do() {
        let fault = find(Path::new("/no/such/llama-server"), None).unwrap_err().to_string();
        assert!(fault.contains("/no/such/llama-server") && fault.contains("AUXOT_LLAMA_BINARY"), "{fault}");
        let fault = find(Path::new("llama-server"), Some("/nowhere:/else".into())).unwrap_err().to_string();
        assert!(fault.contains("not in PATH (/nowhere:/else)"), "{fault}");
        assert_eq!(find(Path::new("sh"), Some("/nowhere:/bin".into())).unwrap(), Path::new("/bin/sh"));
    }
}
