//! What the control socket asks of the program that it belongs to.

use std::fmt::Debug;
use std::pin::Pin;

use super::api::Reloaded;

/// A reload under way; an error is a list of faults in one text.
pub type Reloading = Pin<Box<dyn Future<Output = Result<Reloaded, String>> + Send>>;

/// The program that the control socket belongs to.
pub trait Program: Debug + Send + Sync {
    /// Begins to finish the jobs and to end.
    fn drain(&self);

    /// Whether it ends.
    fn is_draining(&self) -> bool;

    /// Reads the settings again.
    fn reload(&self) -> Reloading;

    /// How much is logged.
    fn log_level(&self) -> String;

    /// Changes how much is logged, until the program ends.
    ///
    /// # Errors
    /// The text is no level.
    fn set_log_level(&self, level: &str) -> Result<(), String>;
}
