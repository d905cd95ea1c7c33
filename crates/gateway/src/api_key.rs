//! Requires an API key, where there are keys, before anything of a body is read.

use std::net::IpAddr;

use auxot_access::keys::KeyKind;
use auxot_access::{CheckUnavailable, Verifier, shown_key};
use http::HeaderMap;

use crate::failure::Failure;

/// Passes a request with a good key. Where the client is decides how many keys it may have checked at once.
pub(crate) async fn require(keys: &Verifier, headers: &HeaderMap, from: IpAddr) -> Result<(), Failure> {
    let key = shown_key(headers).ok_or(Failure::NoKey)?;
    match keys.check(KeyKind::Api, key, from).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::BadKey),
        Err(CheckUnavailable::Busy(checks)) => Err(Failure::TooManyChecks(checks)),
        Err(CheckUnavailable::Unreadable) => Err(Failure::KeysUnreadable),
    }
}
