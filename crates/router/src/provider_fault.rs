//! Why a provider beside the workers gives no answer.

use std::sync::Arc;
use std::time::Duration;

/// The longest time to come back that is passed on.
const LONGEST_RETRY: Duration = Duration::from_secs(24 * 3600);

/// What went wrong at a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProviderReason {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("sends nothing for {0} s")]
    Silent(u64),
    #[error("is not done after {0} s")]
    TooLong(u64),
    #[error("has answered with status {0}")]
    Status(u16),
    #[error("has not accepted the key of this router (status {0})")]
    Key(u16),
    #[error("has no key that can be read: {0}")]
    NoKey(String),
    #[error("has sent {0}")]
    WrongAnswer(&'static str),
    #[error("has broken off its answer")]
    Cut,
    #[error("has sent more than {0} bytes")]
    TooLarge(usize),
    #[error("cannot be started: {0}")]
    NotStarted(String),
    #[error("has ended with {0}")]
    Ended(String),
    #[error("has been stopped by a fault of this router")]
    Stopped,
}

/// A provider and what went wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider `{provider}` {reason}")]
pub(crate) struct ProviderFault {
    pub(crate) provider: Arc<str>,
    pub(crate) reason: ProviderReason,
    /// When it may be asked again, as it says.
    pub(crate) retry_after: Option<Duration>,
}

impl ProviderFault {
    /// The status for the client, which cannot do anything about a refused key.
    pub(crate) fn status(&self) -> u16 {
        match self.reason {
            ProviderReason::Status(429) => 429,
            ProviderReason::Status(503 | 529) => 503,
            ProviderReason::Silent(_) | ProviderReason::TooLong(_) | ProviderReason::Status(504) => 504,
            _ => 502,
        }
    }

    /// Seconds before another attempt, where there is a reason to make one.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.retry_after.map(seconds)
    }

    /// The label of the reason in metrics and logs.
    pub(crate) fn label(&self) -> &'static str {
        match self.reason {
            ProviderReason::Unreachable(_) => "unreachable",
            ProviderReason::Silent(_) => "silent",
            ProviderReason::TooLong(_) => "timeout",
            ProviderReason::Status(429) => "rate_limited",
            ProviderReason::Status(_) => "status",
            ProviderReason::Key(_) | ProviderReason::NoKey(_) => "key",
            ProviderReason::WrongAnswer(_) => "wrong_answer",
            ProviderReason::Cut => "cut",
            ProviderReason::TooLarge(_) => "too_large",
            ProviderReason::NotStarted(_) => "not_started",
            ProviderReason::Ended(_) => "ended",
            ProviderReason::Stopped => "stopped",
        }
    }
}

/// A time as whole seconds, at least one.
pub(crate) fn seconds(time: Duration) -> u32 {
    let time = time.min(LONGEST_RETRY);
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
}
