//! How devices are found and how often they are read.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The settings of the device sampler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// NVIDIA's management library; unset means `libnvidia-ml.so.1` wherever the system finds it.
    pub nvml_path: Option<PathBuf>,
    /// Where the kernel shows devices and control groups.
    pub sysfs_root: PathBuf,
    /// Where the kernel shows processes.
    pub proc_root: PathBuf,
    /// Time between two samples of the devices, such as `5s`; never less than 100 milliseconds.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub sample_interval: Duration,
    /// The devices that may be used, by index or id (the beginning of a UUID is enough); `host` is the
    /// host's own memory. Empty means every GPU. A list, or one text with commas.
    #[serde(deserialize_with = "device_list")]
    pub devices: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nvml_path: None,
            sysfs_root: PathBuf::from("/sys"),
            proc_root: PathBuf::from("/proc"),
            sample_interval: Duration::from_secs(10),
            devices: Vec::new(),
        }
    }
}

/// Reads devices in every natural way: an environment variable can only hold one text, and an index looks like a
/// number.
///
/// # Errors
/// When it is neither, or a negative number.
pub fn device_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Devices;
    impl<'de> Visitor<'de> for Devices {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a device, several with commas between them, or a list of devices")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_string).collect())
        }

        fn visit_u64<E>(self, index: u64) -> Result<Self::Value, E> {
            Ok(vec![index.to_string()])
        }

        fn visit_i64<E: Error>(self, index: i64) -> Result<Self::Value, E> {
            let index = u64::try_from(index).map_err(|_| E::custom("cannot use a negative device index"))?;
            self.visit_u64(index)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut devices = Vec::new();
            while let Some(One(more)) = list.next_element()? {
                devices.extend(more);
            }
            Ok(devices)
        }
    }

    struct One(Vec<String>);
    impl<'de> Deserialize<'de> for One {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Devices).map(One)
        }
    }
    deserializer.deserialize_any(Devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_may_be_written_in_every_natural_way() {
        let read = |json: &str| serde_json::from_str::<Config>(json).unwrap().devices;
        assert_eq!(read(r#"{"devices":"0, GPU-abc"}"#), ["0", "GPU-abc"]);
        assert_eq!(read(r#"{"devices":[0,"GPU-abc"]}"#), ["0", "GPU-abc"]);
        assert_eq!(read(r#"{"devices":1}"#), ["1"]);
        assert_eq!(read(r#"{"devices":""}"#), [""; 0]);
        assert!(serde_json::from_str::<Config>(r#"{"devices":-1}"#).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let config = Config { sample_interval: Duration::from_millis(1500), ..Config::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
        assert!(serde_json::from_str::<Config>(r#"{"nvml":"x"}"#).is_err());
    }
}
