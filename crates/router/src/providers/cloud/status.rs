//! What the status of a cloud's answer means, and when it may be asked again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::failure::is_providers;
use crate::provider_fault::ProviderReason;

/// The longest pause that a provider can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What a status means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Answer,
    /// The request is at fault: the client gets the answer.
    BadRequest,
    /// The provider does not serve it; another one may.
    Refused(ProviderReason),
}

impl Meaning {
    pub(super) fn of(status: u16) -> Self {
        match status {
            200..300 => Self::Answer,
            401 | 403 => Self::Refused(ProviderReason::Key(status)),
            // The account has no money left; the address or its model does not exist.
            402 | 404 | 405 => Self::Refused(ProviderReason::Status(status)),
            400..500 if !is_providers(status) => Self::BadRequest,
            _ => Self::Refused(ProviderReason::Status(status)),
        }
    }
}

/// The pause that an answer asks for, in seconds or until a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => until(value, Timestamp::now())?,
    };
    Some(pause.min(LONGEST_PAUSE))
}

fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let date = rfc2822::parse(date).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_s_faults_are_not_the_client_s() {
        for status in [401, 402, 403, 404, 405, 408, 429, 500, 503, 529, 301, 100] {
            assert!(matches!(Meaning::of(status), Meaning::Refused(_)), "{status}");
        }
        for status in [400, 409, 413, 422] {
            assert_eq!(Meaning::of(status), Meaning::BadRequest, "{status}");
        }
        assert_eq!(Meaning::of(200), Meaning::Answer);
        assert_eq!(Meaning::of(401), Meaning::Refused(ProviderReason::Key(401)));
    }

    #[test]
    fn a_pause_is_in_seconds_or_until_a_date_and_has_a_bound() {
        let header = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(header("7"), Some(Duration::from_secs(7)));
        assert_eq!(header("999999999"), Some(LONGEST_PAUSE));
        assert_eq!((header("soon"), header("-1"), retry_after(&HeaderMap::new())), (None, None, None));
        assert_eq!(header("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(until("Tue, 01 Jan 2030 00:01:30 GMT", now), Some(Duration::from_secs(90)));
    }
}
