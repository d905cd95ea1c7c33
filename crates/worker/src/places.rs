//! Where the program keeps its files.

use std::path::PathBuf;

use auxot_settings::Settings;

/// The file of the cached headers of model files.
pub(crate) fn catalog_index(settings: &Settings) -> PathBuf {
    state_dir(settings).join("catalog")
}

/// The state directory: from the settings, else from the service manager, else in the user's home.
pub(crate) fn state_dir(settings: &Settings) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let configured = settings.router.state_dir.clone().or_else(|| of_service("STATE_DIRECTORY"));
    configured
        .or_else(|| variable("XDG_STATE_HOME").map(|folder| folder.join("auxot")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/auxot")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/auxot"))
}

/// A directory that the service manager made.
pub(crate) fn of_service(variable: &str) -> Option<PathBuf> {
    // It may give several, separated by colons.
    let first = std::env::var_os(variable).and_then(|dirs| std::env::split_paths(&dirs).next());
    first.filter(|dir| dir.is_absolute())
}
