//! Classifies an exit, once, by its status, its signal and the last lines of output.

mod phrases;
#[cfg(test)]
mod tests;

use std::fmt;
use std::process::ExitStatus;

use crate::file_id::FileChanged;

/// Why a process exited. The class decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// The memory of a device was not enough.
    DeviceMemory,
    /// The memory of the host was not enough.
    HostMemory,
    /// The model file, projector or adapter is missing, truncated or invalid.
    BadFile,
    /// A file is not the one that the model was planned with: it was replaced or removed.
    FileChanged,
    /// The engine does not know this kind of model, or this version of the file format.
    UnknownArchitecture,
    /// The engine does not accept its arguments.
    BadArgument,
    /// The socket or port could not be bound.
    Bind,
    /// The driver of a device failed under it.
    DriverLost,
    /// A failed assertion inside the engine.
    Assertion,
    /// The engine's build needs instructions that this processor lacks.
    WrongProcessor,
    /// A signal that we did not send.
    Signal,
    /// Silent for too long while loading.
    Stalled,
    /// It asks for an API key that is not ours.
    KeyWanted,
    /// It stopped responding.
    Unresponsive,
    /// A limit on the number of processes and threads.
    TaskLimit,
    /// The program has exited and left the engine in the background.
    Detached,
    /// The process could not be spawned now (no memory, too many processes).
    SpawnTrouble,
    /// The process can never be spawned: no such program, or no right to run it.
    SpawnRefused,
    /// KILL had no effect.
    Unkillable,
    /// The worker's task for the process failed, and the process was killed.
    DriverFailed,
    /// It exited by itself with status 0.
    UnexpectedExit,
    /// Any other exit status.
    Other,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// At once, then with growing delays, until the budget is spent.
    Retry,
    /// With the longest delay, without a limit: the worker lacked a resource, and no engine failed.
    RetryUnlimited,
    /// The same command line would fail the same way.
    Fail,
}

impl ExitClass {
    /// All classes, for tests.
    #[cfg(any(test, feature = "scripted"))]
    pub const ALL: [ExitClass; 22] = [
        ExitClass::DeviceMemory,
        ExitClass::HostMemory,
        ExitClass::BadFile,
        ExitClass::FileChanged,
        ExitClass::UnknownArchitecture,
        ExitClass::BadArgument,
        ExitClass::Bind,
        ExitClass::DriverLost,
        ExitClass::Assertion,
        ExitClass::WrongProcessor,
        ExitClass::Signal,
        ExitClass::Stalled,
        ExitClass::KeyWanted,
        ExitClass::Unresponsive,
        ExitClass::TaskLimit,
        ExitClass::Detached,
        ExitClass::SpawnTrouble,
        ExitClass::SpawnRefused,
        ExitClass::Unkillable,
        ExitClass::DriverFailed,
        ExitClass::UnexpectedExit,
        ExitClass::Other,
    ];

    /// The word for metrics and the wire.
    pub fn name(self) -> &'static str {
        match self {
            ExitClass::DeviceMemory => "device_memory",
            ExitClass::HostMemory => "host_memory",
            ExitClass::BadFile => "bad_file",
            ExitClass::FileChanged => "file_changed",
            ExitClass::UnknownArchitecture => "unknown_architecture",
            ExitClass::BadArgument => "bad_argument",
            ExitClass::Bind => "bind",
            ExitClass::DriverLost => "driver_lost",
            ExitClass::Assertion => "assertion",
            ExitClass::WrongProcessor => "wrong_processor",
            ExitClass::Signal => "signal",
            ExitClass::Stalled => "stalled",
            ExitClass::KeyWanted => "key_wanted",
            ExitClass::Unresponsive => "unresponsive",
            ExitClass::TaskLimit => "task_limit",
            ExitClass::Detached => "detached",
            ExitClass::SpawnTrouble => "spawn_trouble",
            ExitClass::SpawnRefused => "spawn_refused",
            ExitClass::Unkillable => "unkillable",
            ExitClass::DriverFailed => "driver_failed",
            ExitClass::UnexpectedExit => "unasked",
            ExitClass::Other => "other",
        }
    }

    /// The text for people.
    pub fn meaning(self) -> &'static str {
        match self {
            ExitClass::DeviceMemory => "not enough device memory",
            ExitClass::HostMemory => "not enough host memory",
            ExitClass::BadFile => "the model file is missing or damaged",
            ExitClass::FileChanged => "the model file was replaced or removed",
            ExitClass::UnknownArchitecture => "the engine does not know this kind of model",
            ExitClass::BadArgument => "the engine refused its arguments",
            ExitClass::Bind => "the engine could not bind its socket",
            ExitClass::DriverLost => "the device driver failed",
            ExitClass::Assertion => "an assertion failed in the engine",
            ExitClass::WrongProcessor => "this build of the engine uses instructions that this processor lacks",
            ExitClass::Signal => "a signal ended the engine",
            ExitClass::Stalled => "the load made no progress",
            ExitClass::KeyWanted => {
                "the engine asks for an API key that is not ours: look for api-key in engine.extra_args and in \
                 /etc/llama.cpp/config.ini"
            }
            ExitClass::Unresponsive => "the engine stopped answering",
            ExitClass::TaskLimit => {
                "a limit on processes and threads is reached (TasksMax of the service, pids.max of a control group, or \
                 ulimit -u)"
            }
            ExitClass::Detached => {
                "the engine's program went into the background; it must stay in the foreground until it ends"
            }
            ExitClass::SpawnTrouble | ExitClass::SpawnRefused => "the engine could not be started",
            ExitClass::Unkillable => "KILL does not end the engine",
            ExitClass::DriverFailed => "the worker's own task for the engine failed",
            ExitClass::UnexpectedExit => "the engine ended by itself",
            ExitClass::Other => "the engine failed",
        }
    }

    /// Whether there was not enough memory: a smaller size may fit.
    pub fn is_memory(self) -> bool {
        matches!(self, ExitClass::DeviceMemory | ExitClass::HostMemory)
    }

    /// Whether the cause can disappear by itself. Only a fault of the file or of the arguments stays.
    pub fn can_pass(self) -> bool {
        !matches!(self, ExitClass::BadFile | ExitClass::UnknownArchitecture | ExitClass::BadArgument)
    }

    /// Whether the program itself cannot run here: every other model would fail for the same reason.
    pub fn is_program_fault(self) -> bool {
        matches!(self, ExitClass::SpawnRefused | ExitClass::WrongProcessor)
    }

    /// Whether only a loading process can exit for this reason.
    fn is_about_loading(self) -> bool {
        matches!(
            self,
            ExitClass::BadFile
                | ExitClass::UnknownArchitecture
                | ExitClass::BadArgument
                | ExitClass::Bind
                | ExitClass::KeyWanted
                | ExitClass::SpawnRefused
        )
    }

    pub(crate) fn recovery(self) -> Recovery {
        match self {
            ExitClass::BadFile
            | ExitClass::FileChanged
            | ExitClass::UnknownArchitecture
            | ExitClass::BadArgument
            | ExitClass::WrongProcessor
            | ExitClass::KeyWanted
            | ExitClass::Detached
            | ExitClass::SpawnRefused
            | ExitClass::Unkillable
            | ExitClass::DriverFailed => Recovery::Fail,
            // All of these are known to be temporary. Memory becomes free again; a load that had too little is handled apart.
            ExitClass::DeviceMemory
            | ExitClass::HostMemory
            | ExitClass::Bind
            | ExitClass::DriverLost
            | ExitClass::Assertion
            | ExitClass::Signal
            | ExitClass::Stalled
            | ExitClass::Unresponsive
            | ExitClass::TaskLimit
            | ExitClass::UnexpectedExit
            | ExitClass::Other => Recovery::Retry,
            ExitClass::SpawnTrouble => Recovery::RetryUnlimited,
        }
    }
}

/// What is known of a process at its exit, beside its status and its output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExitContext {
    /// The process had been ready: then its file and arguments were good, and a line that seems to say otherwise is about
    /// something else.
    pub(crate) loaded: bool,
    /// How many of its descendants had left its group.
    pub(crate) left_behind: usize,
    /// A limit on tasks was hit, so a thread that could not be created did not lack memory.
    pub(crate) task_limit: bool,
}

/// The exit of a process, and its last output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReport {
    /// The reason, as classified.
    pub class: ExitClass,
    /// Exit status, where there was one.
    pub code: Option<i32>,
    /// Signal, where one ended it.
    pub signal: Option<i32>,
    /// The line that says most about the cause.
    pub reason: Option<String>,
    /// The last lines of output, oldest first.
    pub lines: Vec<String>,
    /// Who is to blame.
    pub blame: Blame,
}

/// Who is to blame for the exit of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The engine or the model, as far as is known.
    Engine,
    /// A request during which an engine has crashed before.
    Request,
    /// The same, and the exit before this one was caused by that request too, in an engine that had answered others.
    RequestTwice,
}

impl ExitReport {
    /// Classifies an exit. For an exit that the worker caused, `because` sets the true cause afterwards.
    pub(crate) fn classify(status: ExitStatus, lines: Vec<String>, context: ExitContext) -> ExitReport {
        let (code, signal) = (status.code(), signal_of(status));
        let found = phrases::find_reason(&lines, context.loaded).filter(|_| code != Some(0));
        let class = match (found, signal, code) {
            (Some((ExitClass::TaskLimit, _)), _, _) if !context.task_limit => ExitClass::HostMemory,
            // The engine may have printed its failure before it exited.
            (Some((class, _)), _, _) => class,
            // Seen: a prebuilt engine with AVX-512 passes `--version` on an older processor and dies at the first model.
            (_, Some(libc::SIGILL), _) => ExitClass::WrongProcessor,
            // The kernel sends SIGKILL when memory runs out, and so can a user; so it is reported as a signal.
            (_, Some(_), _) => ExitClass::Signal,
            (_, _, Some(0)) if context.left_behind > 0 => ExitClass::Detached,
            (_, _, Some(0)) => ExitClass::UnexpectedExit,
            _ => ExitClass::Other,
        };
        let reason = found.map(|(_, line)| line).or_else(|| phrases::fallback_line(&lines, context.loaded));
        ExitReport { class, code, signal, reason: reason.cloned(), lines, blame: Blame::Engine }
    }

    /// The process could not be spawned.
    pub(crate) fn not_started(fault: &std::io::Error) -> ExitReport {
        use std::io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
        let class = match fault.kind() {
            NotFound | PermissionDenied | NotADirectory | InvalidInput => ExitClass::SpawnRefused,
            // ENOEXEC has no stable kind of its own.
            _ if fault.get_ref().is_some_and(|inner| inner.is::<FileChanged>()) => ExitClass::FileChanged,
            _ if fault.raw_os_error() == Some(libc::ENOEXEC) => ExitClass::SpawnRefused,
            _ => ExitClass::SpawnTrouble,
        };
        let reason = match fault.raw_os_error() {
            Some(libc::EAGAIN) => format!("{fault}: {}", ExitClass::TaskLimit.meaning()),
            _ => fault.to_string(),
        };
        ExitReport { reason: Some(reason), ..Self::plain(class) }
    }

    /// KILL had no effect in time.
    pub(crate) fn unkillable() -> ExitReport {
        Self::plain(ExitClass::Unkillable)
    }

    /// The task that owns the process failed.
    pub(crate) fn driver_failed() -> ExitReport {
        Self::plain(ExitClass::DriverFailed)
    }

    fn plain(class: ExitClass) -> ExitReport {
        ExitReport { class, code: None, signal: None, reason: None, lines: vec![], blame: Blame::Engine }
    }

    /// The same exit with another cause.
    #[must_use]
    pub fn because(&self, class: ExitClass) -> ExitReport {
        ExitReport { class, ..self.clone() }
    }
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.meaning())?;
        match (self.signal, self.code) {
            (Some(9), _) => write!(f, " (signal 9, which is also what the kernel sends when memory runs out)")?,
            (Some(signal), _) => write!(f, " (signal {signal})")?,
            (None, Some(code)) => write!(f, " (exit status {code})")?,
            (None, None) => {}
        }
        match &self.reason {
            Some(line) => write!(f, ": {}", line.trim()),
            None => Ok(()),
        }
    }
}

fn signal_of(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}
