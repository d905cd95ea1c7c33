//! The operator's settings for devices and models.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::{Rules, SplitMode};

/// What stays free, and how models may be spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory that stays free on every device.
    pub reserve: ByteSize,
    /// Memory that stays free on the host.
    pub host_reserve: ByteSize,
    /// How a model that is too large for one device is spread: `layers`, `tensor` or `never`.
    pub split: SplitMode,
    /// Whether some layers may be in host memory.
    pub partial: bool,
    /// Whether all of a model may be in host memory; on a host without devices it always may.
    pub host: bool,
    /// Host memory that all models together may take; unset means all but the reserve.
    pub host_limit: Option<ByteSize>,
}

impl Default for Config {
    fn default() -> Self {
        let (reserve, host_reserve) = (ByteSize::mib(512), ByteSize::gib(1));
        Self { reserve, host_reserve, split: SplitMode::Layers, partial: false, host: false, host_limit: None }
    }
}

impl Config {
    /// The rules of the planner for a host with or without devices.
    #[must_use]
    pub fn rules(&self, has_devices: bool) -> Rules {
        Rules {
            reserve: self.reserve.as_u64(),
            host_reserve: self.host_reserve.as_u64(),
            split: self.split,
            partial: self.partial,
            host: self.host || !has_devices,
            layers: None,
            host_limit: self.host_limit.map(|limit| limit.as_u64()),
            unmeasured: true,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Config::default().rules(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), Config::default());
        let read = serde_json::from_str::<Config>(r#"{"reserve":"2GiB","split":"tensor"}"#).unwrap();
        assert_eq!((read.reserve, read.split), (ByteSize::gib(2), SplitMode::Tensor));
        assert!(serde_json::from_str::<Config>(r#"{"split":"row"}"#).is_err());
    }
}
