//! The key that a request shows.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token of `Authorization: Bearer …`, whose scheme is case-insensitive, or the value of `x-api-key`.
#[must_use]
pub fn shown_key(headers: &HeaderMap) -> Option<&str> {
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
        assert_eq!(shown_key(&of("authorization", "bearer  gw_1 ")), Some("gw_1"));
        assert_eq!(shown_key(&of("x-api-key", "gw_1")), Some("gw_1"));
        for none in
            [of("authorization", "Basic gw_1"), of("authorization", "Bearer "), of("x-api-key", ""), HeaderMap::new()]
        {
            assert_eq!(shown_key(&none), None);
        }
    }
}
