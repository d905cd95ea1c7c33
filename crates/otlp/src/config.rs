//! The settings of the export.

use serde::{Deserialize, Serialize};
use url::Url;

/// The path of traces below the address of a collector.
const PATH: &str = "v1/traces";

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of a collector that takes OTLP over HTTP; unset means that no traces are recorded.
    pub endpoint: Option<String>,
}

/// An address that is none of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {endpoint:?} as the address of a collector: {reason}; write it as http://127.0.0.1:4318")]
pub struct EndpointError {
    endpoint: String,
    reason: String,
}

impl Config {
    /// The address for traces; `None` without a collector.
    ///
    /// # Errors
    /// The address is not valid, or not one of HTTP.
    pub fn url(&self) -> Result<Option<Url>, EndpointError> {
        let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| !endpoint.trim().is_empty()) else {
            return Ok(None);
        };
        let fault = |reason: String| EndpointError { endpoint: endpoint.clone(), reason };
        let mut url: Url = endpoint.trim().parse().map_err(|error: url::ParseError| fault(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fault(format!("its scheme is {}", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("it has a password, which would be in the log".to_owned()));
        }
        let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Some(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_below_the_address() {
        let url = |endpoint: &str| Config { endpoint: Some(endpoint.to_owned()) }.url();
        for (endpoint, expected) in [
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("https://collector.example/otlp", "https://collector.example/otlp/v1/traces"),
        ] {
            assert_eq!(url(endpoint).map(|url| url.map(String::from)), Ok(Some(expected.to_owned())));
        }
        assert_eq!(url(" "), Ok(None));
        for bad in ["localhost:4318", "grpc://localhost:4317", "http://user:word@localhost", "http://"] {
            assert!(url(bad).is_err_and(|fault| fault.to_string().contains("http://127.0.0.1:4318")), "{bad}");
        }
    }
}
