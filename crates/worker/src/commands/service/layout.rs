//! Where the files of the service are.

use std::path::{Path, PathBuf};

use crate::arguments::ServiceRequest;

/// The models folder below the state.
pub(super) const MODELS: &str = "models";

/// The folder of the system's router, as its unit names it.
const ROUTER_STATE: &str = "/var/lib/auxot-router";

/// The files of the router of a single host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouterFiles {
    pub(super) program: PathBuf,
    /// Hashes of its keys.
    pub(super) keys: PathBuf,
    /// Where they were in earlier versions.
    pub(super) former_keys: PathBuf,
    /// When each of them was last used.
    pub(super) last_use: PathBuf,
    /// Variables of its environment.
    pub(super) settings: PathBuf,
    pub(super) unit: PathBuf,
}

/// The files of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    pub(super) key: PathBuf,
    /// The keys of releases that the installer trusts.
    pub(super) signers: PathBuf,
    pub(super) unit: PathBuf,
    pub(super) router: RouterFiles,
    pub(super) models: PathBuf,
    pub(super) user: bool,
    /// The folder that is the root of the system which the files are for.
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(request: &ServiceRequest) -> Self {
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let root = request.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        let at = |path: PathBuf| root.join(path.strip_prefix("/").unwrap_or(&path));
        let system = |path: &str| PathBuf::from(path);
        let bin = if request.user { home.join(".local/bin") } else { system("/usr/local/bin") };
        let config = if request.user { home.join(".config/auxot") } else { system("/etc/auxot") };
        let (state, unit) = match (request.user, cfg!(target_os = "macos")) {
            (true, false) => (home.join(".local/state/auxot"), home.join(".config/systemd/user/auxot-worker.service")),
            (true, true) => (home.join(".local/state/auxot"), home.join("Library/LaunchAgents/com.auxot.worker.plist")),
            (false, false) => (system("/var/lib/auxot"), system("/etc/systemd/system/auxot-worker.service")),
            (false, true) => (system("/usr/local/var/auxot"), system("/Library/LaunchDaemons/com.auxot.worker.plist")),
        };
        let keys = if request.user { config.join("router-keys") } else { system(ROUTER_STATE).join("router-keys") };
        let router = RouterFiles {
            program: at(bin.join("auxot-router")),
            last_use: at(keys.with_added_extension("last-use")),
            keys: at(keys),
            former_keys: at(config.join("router-keys.toml")),
            settings: at(config.join("auxot-router.env")),
            unit: at(unit.with_file_name("auxot-router.service")),
        };
        Self {
            router,
            program: at(bin.join("auxot-worker")),
            config: at(config.join("auxot-worker.toml")),
            key: at(config.join("worker-key")),
            signers: at(config.join("release-signers")),
            unit: at(unit),
            models: at(state.join(MODELS)),
            user: request.user,
            root,
        }
    }

    /// A path as the installed system sees it.
    pub(super) fn own(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(path))
    }

    /// The groups of GPU devices that the system has.
    pub(super) fn groups(&self) -> Vec<&'static str> {
        let groups = std::fs::read_to_string(self.root.join("etc/group")).unwrap_or_default();
        let has = |name: &&str| groups.lines().any(|line| line.split(':').next() == Some(*name));
        ["render", "video"].into_iter().filter(has).collect()
    }

    /// The files that are written, without the models.
    pub(super) fn files(&self) -> [&Path; 11] {
        let RouterFiles { program, keys, former_keys, last_use, settings, unit } = &self.router;
        [
            &self.program,
            &self.config,
            &self.key,
            &self.signers,
            &self.unit,
            program,
            keys,
            former_keys,
            last_use,
            settings,
            unit,
        ]
    }
}
