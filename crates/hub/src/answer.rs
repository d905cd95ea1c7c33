//! What an answer to a request for a file means. Pure.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::digest::Sum;

/// The longest pause that a hub may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What an answer to a request for a file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The file from its start.
    Whole {
        /// Its size, where it is stated.
        size: Option<u64>,
    },
    /// The file from this byte to its end.
    Rest {
        /// The first byte.
        start: u64,
        /// The size of the whole file, where it is stated.
        size: Option<u64>,
    },
    /// The range does not exist; the file has this size, where it is stated.
    NoSuchRange(Option<u64>),
    /// Later, perhaps after a pause that the server asks for.
    Later(Option<Duration>),
    /// A signed address that has expired or does not know ranges; a new one comes from the hub.
    Expired,
    /// Never.
    Refused(Refusal),
}

/// Why a hub refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Gated,
    RepositoryNotFound,
    RevisionNotFound,
    FileNotFound,
    Unauthorized,
    Other,
}

/// Reads the status and the headers of an answer. `from_hub`: the hub itself has answered, not a host that it named;
/// `ranged`: a range was requested.
pub(crate) fn verdict(status: StatusCode, headers: &HeaderMap, from_hub: bool, ranged: bool) -> Verdict {
    let number = |name: &str| text(headers, name)?.trim().parse::<u64>().ok();
    match status.as_u16() {
        200 => Verdict::Whole { size: number("content-length") },
        206 => match text(headers, "content-range").and_then(content_range) {
            Some((Some(start), size)) => Verdict::Rest { start, size },
            // Without a range there is no way to know which part this is.
            _ => Verdict::Later(None),
        },
        416 => Verdict::NoSuchRange(text(headers, "content-range").and_then(content_range).and_then(|(_, size)| size)),
        408 | 425 | 429 | 500 | 502 | 503 | 504 => Verdict::Later(pause(headers)),
        401 | 403 | 404 | 410 if !from_hub => {
            if status == StatusCode::NOT_FOUND && !ranged {
                Verdict::Refused(Refusal::FileNotFound)
            } else {
                Verdict::Expired
            }
        }
        _ => Verdict::Refused(refusal(status, headers)),
    }
}

/// Why the hub refuses: its own code, else the status. A hidden repository is 401, as a bad token is.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap) -> Refusal {
    match text(headers, "x-error-code") {
        Some("GatedRepo") => Refusal::Gated,
        Some("RepoNotFound") => Refusal::RepositoryNotFound,
        Some("RevisionNotFound") => Refusal::RevisionNotFound,
        Some("EntryNotFound") => Refusal::FileNotFound,
        _ => match status.as_u16() {
            401 | 403 => Refusal::Unauthorized,
            404 | 410 => Refusal::FileNotFound,
            _ => Refusal::Other,
        },
    }
}

/// The pause of `RateLimit: "…";r=0;t=55` or of `Retry-After`, in seconds.
pub(crate) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let field = |text: &str| text.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok());
    let limit = text(headers, "ratelimit").and_then(field);
    let seconds: u64 = limit.or_else(|| text(headers, "retry-after")?.trim().parse().ok())?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// The SHA-256 that the hub states with a redirect.
pub(crate) fn linked_sum(headers: &HeaderMap) -> Option<Sum> {
    bare_etag(text(headers, "x-linked-etag")?).parse().ok()
}

/// The size that the hub states with a redirect.
pub(crate) fn linked_size(headers: &HeaderMap) -> Option<u64> {
    text(headers, "x-linked-size")?.trim().parse().ok()
}

/// A validator that `If-Range` accepts: strong, or none.
pub(crate) fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, "etag")?.trim();
    (etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2).then(|| etag.to_owned())
}

fn bare_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The first byte and the size of `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, size) = text.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']).split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
    Some((start, size.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[track_caller]
    fn of(status: u16, pairs: &[(&'static str, &str)]) -> Verdict {
        verdict(StatusCode::from_u16(status).unwrap(), &headers(pairs), true, true)
    }

    #[test]
    fn a_range_is_the_rest_only_with_its_place() {
        assert_eq!(of(206, &[("content-range", "bytes 5-9/10")]), Verdict::Rest { start: 5, size: Some(10) });
        assert_eq!(of(206, &[("content-range", "bytes 5-9/*")]), Verdict::Rest { start: 5, size: None });
        for damaged in [&[][..], &[("content-range", "bytes */10")], &[("content-range", "5-9/10")]] {
            assert_eq!(of(206, damaged), Verdict::Later(None), "{damaged:?}");
        }
        assert_eq!(of(200, &[("content-length", "7")]), Verdict::Whole { size: Some(7) });
        assert_eq!(of(416, &[("content-range", "bytes */10")]), Verdict::NoSuchRange(Some(10)));
        assert_eq!(of(416, &[]), Verdict::NoSuchRange(None));
    }

    #[test]
    fn the_hub_s_code_says_what_the_status_does_not() {
        for (status, code, refusal) in [
            (401, "GatedRepo", Refusal::Gated),
            (403, "GatedRepo", Refusal::Gated),
            (401, "RepoNotFound", Refusal::RepositoryNotFound),
            (404, "RevisionNotFound", Refusal::RevisionNotFound),
            (404, "EntryNotFound", Refusal::FileNotFound),
            (401, "", Refusal::Unauthorized),
            (404, "New", Refusal::FileNotFound),
            (418, "", Refusal::Other),
        ] {
            assert_eq!(of(status, &[("x-error-code", code)]), Verdict::Refused(refusal), "{status} {code}");
        }
    }

    #[test]
    fn another_host_s_refusal_is_an_expired_address() {
        let other = |status, ranged| verdict(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), false, ranged);
        assert_eq!((other(403, true), other(401, false)), (Verdict::Expired, Verdict::Expired));
        assert_eq!(other(404, false), Verdict::Refused(Refusal::FileNotFound));
    }

    #[test]
    fn a_busy_hub_says_for_how_long() {
        let later = |seconds| Verdict::Later(Some(Duration::from_secs(seconds)));
        assert_eq!(of(429, &[("ratelimit", "\"api\";r=0;t=55"), ("retry-after", "3")]), later(55));
        assert_eq!(of(503, &[("retry-after", "3")]), later(3));
        assert_eq!(of(429, &[("retry-after", "999999999")]), later(600));
        assert_eq!(of(500, &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Verdict::Later(None));
    }

    #[test]
    fn etags_lose_their_marks_and_weak_ones_do_not_validate() {
        let sum = "a".repeat(64);
        for etag in [format!("\"{sum}\""), format!("W/\"{sum}\""), sum.clone()] {
            assert_eq!(linked_sum(&headers(&[("x-linked-etag", &etag)])).unwrap().to_string(), sum);
        }
        assert_eq!(linked_sum(&headers(&[("x-linked-etag", "\"0123\"")])), None, "a git sha1");
        assert_eq!(strong_etag(&headers(&[("etag", "\"x\"")])).as_deref(), Some("\"x\""));
        for weak in ["W/\"x\"", "x", "\"\""] {
            assert_eq!(strong_etag(&headers(&[("etag", weak)])), None, "{weak}");
        }
    }
}
