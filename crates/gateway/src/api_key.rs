//! Requires an API key, where there are keys, before anything of a body is read.

use std::net::IpAddr;

use auxot_access::keys::KeyKind;
use auxot_access::{CheckUnavailable, Verifier};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::failure::Failure;

/// Passes a request with a good key. Where the client is decides how many keys it may have checked at once.
pub(crate) async fn require(keys: &Verifier, headers: &HeaderMap, from: IpAddr) -> Result<(), Failure> {
    let key = key(headers).ok_or(Failure::NoKey)?;
    match keys.check(KeyKind::Api, key, from).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::BadKey),
        Err(CheckUnavailable::Busy(checks)) => Err(Failure::TooManyChecks(checks)),
        Err(CheckUnavailable::Unreadable) => Err(Failure::KeysUnreadable),
    }
}

/// The token of `Authorization: Bearer …`, whose scheme is case-insensitive, or the value of `x-api-key`.
fn key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let own = || headers.get("x-api-key").and_then(|value| value.to_str().ok());
    bearer.or_else(own).map(str::trim).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_key_comes_in_either_field() {
        let of = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        assert_eq!(key(&of("authorization", "bearer  gw_1 ")), Some("gw_1"));
        assert_eq!(key(&of("x-api-key", "gw_1")), Some("gw_1"));
        for none in
            [of("authorization", "Basic gw_1"), of("authorization", "Bearer "), of("x-api-key", ""), HeaderMap::new()]
        {
            assert_eq!(key(&none), None);
        }
    }
}
