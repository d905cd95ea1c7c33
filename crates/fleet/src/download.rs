//! The downloads of models that the operator's list or the router's policy names and that are not here, as the program that
//! runs them reports them.

use std::time::Duration;

/// The download of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The model, by the name of the list or of the policy.
    pub model: String,
    /// How far it is.
    pub state: DownloadState,
}

/// The state of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadState {
    /// Another one runs.
    Queued,
    /// Its files are looked up.
    Resolving,
    /// Its files arrive.
    Receiving {
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of all its files.
        total: u64,
    },
    /// All of it is here, and the models folders are scanned.
    Complete,
    /// It waits for another attempt.
    Failed {
        /// Why the last one failed.
        reason: String,
        /// The pause, from the failure on.
        pause: Duration,
    },
}

impl DownloadState {
    /// Its name in status and events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Resolving => "resolving",
            Self::Receiving { .. } => "receiving",
            Self::Complete => "complete",
            Self::Failed { .. } => "failed",
        }
    }

    /// The tenths of it that are here: a change of them is reported.
    #[must_use]
    pub fn tenths(&self) -> u64 {
        match self {
            Self::Receiving { bytes, total } => bytes.saturating_mul(10).checked_div(*total).unwrap_or_default(),
            _ => 0,
        }
    }

    /// Whether a reader of reports and events sees no difference.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Receiving { .. }, Self::Receiving { .. }) => self.tenths() == other.tenths(),
            _ => self == other,
        }
    }
}

impl Download {
    /// The text for the router and for refused jobs, behind the sentence that the model is missing. It has no figures: these
    /// would be another report with each second.
    pub(crate) fn sentence(&self) -> String {
        match &self.state {
            DownloadState::Queued => "its download waits for another one".to_owned(),
            DownloadState::Resolving | DownloadState::Receiving { .. } => "it is being downloaded".to_owned(),
            DownloadState::Complete => "it is downloaded, and is loaded once it is found".to_owned(),
            DownloadState::Failed { reason, .. } => reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_differs_with_its_state_and_each_tenth() {
        let at = |bytes, total| DownloadState::Receiving { bytes, total };
        assert!(at(10, 100).is_like(&at(19, 100)));
        assert!(!at(19, 100).is_like(&at(20, 100)));
        assert!(!at(0, 0).is_like(&DownloadState::Resolving));
        assert_eq!([at(0, 0), at(100, 100), at(u64::MAX, u64::MAX)].map(|state| state.tenths()), [0, 10, 1]);
    }
}
