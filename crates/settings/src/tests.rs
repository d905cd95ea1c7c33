//! Tests of the loader on a small tree, so that its rules do not depend on today's settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::*;

mod changes;
mod documented;
mod effective;
mod faults;
mod models;
mod reference;
mod renamed;
mod values;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Small {
    router: Router,
    fleet: Fleet,
    engine: EngineSection,
    log: LogConfig,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Router {
    url: String,
    #[serde(skip_serializing)]
    key: Option<SecretString>,
    #[serde(skip_serializing)]
    pin: u16,
    ca_file: Option<std::path::PathBuf>,
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    heartbeat_interval: Duration,
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    silence: Option<Duration>,
    max_message: ByteSize,
    port: u16,
    host: IpAddr,
    confirm: bool,
    share: f64,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            url: "auxot.com".to_owned(),
            key: None,
            pin: 0,
            ca_file: None,
            heartbeat_interval: Duration::from_secs(30),
            silence: None,
            max_message: ByteSize::mib(256),
            port: 9090,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            confirm: false,
            share: 0.5,
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fleet {
    autoload: Vec<String>,
    devices: Option<Vec<u32>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EngineSection {
    cache_ram: ByteSize,
    layers: Layers,
    extra_args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Default for EngineSection {
    fn default() -> Self {
        Self { cache_ram: ByteSize::gib(1), layers: Layers::Auto, extra_args: Vec::new(), env: BTreeMap::new() }
    }
}

/// A word or a number, as an untagged enum reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Layers {
    Count(i32),
    #[serde(rename = "auto")]
    Auto,
}

const SMALL: SettingNames = SettingNames {
    table: &[
        SettingName {
            key: "router.url",
            variable: "AUXOT_ROUTER_URL",
            flag: "router-url",
            alias: None,
            value: "URL",
            help: "",
        },
        SettingName {
            key: "router.key",
            variable: "AUXOT_GPU_KEY",
            flag: "gpu-key",
            alias: None,
            value: "KEY",
            help: "",
        },
        SettingName {
            key: "router.heartbeat_interval",
            variable: "AUXOT_HEARTBEAT_INTERVAL",
            flag: "heartbeat-interval",
            alias: None,
            value: "TIME",
            help: "",
        },
        SettingName {
            key: "fleet.autoload",
            variable: "AUXOT_GPU_AUTOLOAD_MODELS",
            flag: "gpu-autoload-models",
            alias: None,
            value: "A,B",
            help: "",
        },
        SettingName {
            key: "log.level",
            variable: "AUXOT_LOG_LEVEL",
            flag: "log-level",
            alias: None,
            value: "L",
            help: "",
        },
    ],
    renamed: &[
        RenamedSetting {
            old: "router.beat",
            key: "router.heartbeat_interval",
            flat: Some(FlatNames { variable: "AUXOT_BEAT", flag: "beat" }),
        },
        RenamedSetting { old: "engine.cache", key: "engine.cache_ram", flat: None },
    ],
    ..NAMES
};

/// A file, an environment and a command line of the test.
#[derive(Clone, Default)]
struct TestSources {
    file: Option<&'static str>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<Given>,
}

impl TestSources {
    fn file(text: &'static str) -> Self {
        Self { file: Some(text), ..Self::default() }
    }

    fn variable(name: &str, value: &str) -> Self {
        Self::default().and_variable(name, value)
    }

    fn flag(flag: &str, key: &str, value: &str) -> Self {
        Self::default().and_flag(flag, key, value)
    }

    fn and_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn and_flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.flags.push(Given { flag: flag.to_owned(), key: key.to_owned(), value: value.to_owned() });
        self
    }

    fn load(self) -> Result<Loaded<Small>, Faults> {
        let folder = tempfile::tempdir().unwrap();
        // No file of the machine that runs the test may take part.
        let mut sources = Sources::new(self.environment);
        let path = folder.path().join("auxot.toml");
        std::fs::write(&path, self.file.unwrap_or_default()).unwrap();
        sources.config = Some(path.clone());
        sources.flags = self.flags;
        let without_folder = |fault: &mut SettingFault| {
            fault.text = fault.text.replace(&path.display().to_string(), "auxot.toml");
            if let Origin::File { path: here, .. } = &mut fault.origin {
                *here = "auxot.toml".into();
            }
        };
        match load::<Small>(&sources, &SMALL) {
            Ok(mut loaded) => {
                loaded.old_names.iter_mut().for_each(without_folder);
                Ok(loaded)
            }
            Err(mut faults) => {
                faults.0.iter_mut().for_each(without_folder);
                Err(faults)
            }
        }
    }

    #[track_caller]
    fn good(self) -> Small {
        self.load().unwrap_or_else(|faults| panic!("{faults}")).value
    }

    #[track_caller]
    fn faults(self) -> Vec<String> {
        self.load().expect_err("this must have faults").0.iter().map(ToString::to_string).collect()
    }
}

fn key_of(small: &Small) -> Option<&str> {
    small.router.key.as_ref().map(ExposeSecret::expose_secret)
}
