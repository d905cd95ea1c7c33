//! The rules about downloads.

use super::RuleChecker;

/// More connections at once than any hub accepts from one address.
const MAX_FILES: usize = 64;

impl RuleChecker<'_> {
    /// The rules about downloads.
    pub(super) fn hub(&mut self) {
        let hub = &self.loaded.value.hub;
        if !(1..=MAX_FILES).contains(&hub.files_at_once) {
            self.fault("hub.files_at_once", format!("must be 1 to {MAX_FILES}, found {}", hub.files_at_once));
        }
        if let Some(file) = hub.models_file.as_ref().filter(|file| !file.is_file()) {
            self.fault("hub.models_file", format!("{} is not a file", file.display()));
        }
        if hub.attempts == 0 {
            self.fault("hub.attempts", "must be at least 1");
        }
        self.positive("hub.connect_timeout", hub.connect_timeout);
        self.positive("hub.stall_timeout", hub.stall_timeout);
        self.positive("hub.retry_delay", hub.retry_delay);
        self.ordered(("hub.retry_delay", hub.retry_delay), ("hub.retry_max_delay", hub.retry_max_delay));
    }
}
