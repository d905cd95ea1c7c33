//! The service manager of this host.

use std::process::Command;

use super::layout::Layout;

const LABEL: &str = "com.auxot.worker";
/// Lines of the service's log that explain a failed start.
const LOG_LINES: &str = "20";

/// Why the service manager does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManagerError {
    #[error("cannot run {program}: {source}")]
    Missing { program: &'static str, source: std::io::Error },
    #[error("`{command}` fails: {reason}")]
    Refused { command: String, reason: String },
}

/// What is managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Worker,
    /// The router of a single host, of systemd only.
    Router,
}

impl Service {
    fn unit(self) -> &'static str {
        match self {
            Self::Worker => "auxot-worker.service",
            Self::Router => "auxot-router.service",
        }
    }
}

/// What becomes of a service that runs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It is as it was.
    Keep,
    /// The new version is started once the jobs of the old one have ended.
    Restart,
}

/// systemd or launchd, for the system or for this user.
pub(super) struct Manager<'l> {
    layout: &'l Layout,
    service: Service,
}

impl<'l> Manager<'l> {
    pub(super) fn of(layout: &'l Layout, service: Service) -> Self {
        Self { layout, service }
    }

    /// Starts the service, or the new version of one that runs, and waits until it is ready.
    pub(super) fn start(&self, start: Start) -> Result<(), ManagerError> {
        if cfg!(target_os = "macos") {
            // One that is not loaded cannot be unloaded.
            let _not_loaded = self.launchctl(&["bootout", &self.target()]);
            return self.launchctl(&["bootstrap", &self.domain(), &self.layout.unit.to_string_lossy()]).map(|_| ());
        }
        self.systemctl(&["daemon-reload"])?;
        self.systemctl(&["enable", self.service.unit()])?;
        let verb = match start {
            Start::Keep => "start",
            Start::Restart => "restart",
        };
        self.systemctl(&[verb, self.service.unit()]).map(|_| ()).map_err(|error| self.with_log(error))
    }

    /// Stops the service once its jobs have ended, and does not start it again.
    pub(super) fn stop(&self) -> Result<(), ManagerError> {
        if cfg!(target_os = "macos") {
            return self.launchctl(&["bootout", &self.target()]).map(|_| ());
        }
        self.systemctl(&["disable", "--now", self.service.unit()]).map(|_| ())
    }

    /// Lets the manager notice that the unit is gone.
    pub(super) fn forget(&self) -> Result<(), ManagerError> {
        if cfg!(target_os = "macos") { Ok(()) } else { self.systemctl(&["daemon-reload"]).map(|_| ()) }
    }

    /// What the manager says of the service, in one line.
    pub(super) fn state(&self) -> String {
        if cfg!(target_os = "macos") {
            let loaded = self.launchctl(&["print", &self.target()]).is_ok();
            return if loaded { "loaded" } else { "not loaded" }.to_owned();
        }
        let shown = self.systemctl(&["show", "--property=ActiveState,StatusText", "--value", self.service.unit()]);
        shown.map_or_else(|error| error.to_string(), |text| text.trim().replace('\n', ", "))
    }

    fn with_log(&self, error: ManagerError) -> ManagerError {
        let ManagerError::Refused { command, reason } = error else { return error };
        let mut journal = Command::new("journalctl");
        if self.layout.user {
            journal.arg("--user");
        }
        let lines = journal
            .args(["--unit", self.service.unit(), "--lines", LOG_LINES, "--output", "cat", "--no-pager"])
            .output();
        let lines = lines.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        ManagerError::Refused { command, reason: format!("{reason}\n{lines}") }
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<String, ManagerError> {
        let scope: &[&str] = if self.layout.user { &["--user"] } else { &[] };
        run("systemctl", &[scope, arguments].concat())
    }

    fn launchctl(&self, arguments: &[&str]) -> Result<String, ManagerError> {
        run("launchctl", arguments)
    }

    fn domain(&self) -> String {
        if self.layout.user { format!("gui/{}", rustix::process::getuid().as_raw()) } else { "system".to_owned() }
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain())
    }
}

fn run(program: &'static str, arguments: &[&str]) -> Result<String, ManagerError> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|source| ManagerError::Missing { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ManagerError::Refused { command: format!("{program} {}", arguments.join(" ")), reason })
}
