//! What messages call a program and its settings.

/// The names of a program, for the text of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramNames {
    /// What it is: `worker`.
    pub noun: &'static str,
    /// Its command: `auxot-worker`.
    pub command: &'static str,
    /// The setting of the folder with its socket.
    pub folder_setting: &'static str,
    /// The setting of the page's port.
    pub port_setting: &'static str,
}
