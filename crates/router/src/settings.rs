//! Reads the command line and the environment into a [`Config`], or into the list of all their faults.
//!
//! A flag wins over its variable; an empty variable counts as unset.

mod cli;
mod control;
mod keys;
mod providers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use cli::{Cli, Command, ServeArgs};
pub use keys::{CreateArgs, FileArgs, KeysCommand, KindArg, ListArgs, RevokeArgs, RotateArgs};

pub use control::{PageArgs, RouterArgs, StatusArgs};

use crate::{Config, DesiredModel, Keys};

/// All faults of the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Faults(Vec<String>);

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logging {
    /// The lowest level that is logged.
    pub level: tracing::Level,
    /// One JSON object for each line instead of text.
    pub json: bool,
}

/// The source of environment variables.
pub trait Environment {
    /// The value of the variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Collects values and faults.
struct SettingsReader<'a> {
    environment: &'a dyn Environment,
    faults: Vec<String>,
}

impl SettingsReader<'_> {
    /// The value of the flag, else of the variable, parsed by `read`; a fault is recorded and the value counts as
    /// unset.
    fn take<T>(&mut self, given: Option<&str>, flag: &str, variable: &str, read: Read<T>) -> Option<T> {
        let from_variable =
            || self.environment.get(variable).filter(|value| !value.trim().is_empty() && !is_of_kubernetes(value));
        let (value, source) = match given {
            Some(value) => (value.to_owned(), format!("--{flag}")),
            None => (from_variable()?, variable.to_owned()),
        };
        match read(value.trim()) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.faults.push(format!("cannot use `{value}` for {source}: {expected}"));
                None
            }
        }
    }

    fn take_into<T>(&mut self, target: &mut T, given: Option<&str>, flag: &str, variable: &str, read: Read<T>) {
        if let Some(value) = self.take(given, flag, variable, read) {
            *target = value;
        }
    }

    fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(Faults(self.faults)) }
    }
}

/// Kubernetes gives each container variables for each service: a service named `auxot` makes an `AUXOT_PORT` of
/// `tcp://10.0.0.1:8080`, which is not a setting of this program.
fn is_of_kubernetes(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.trim().starts_with(scheme))
}

type Read<T> = fn(&str) -> Result<T, &'static str>;

fn text(value: &str) -> Result<String, &'static str> {
    Ok(value.to_owned())
}

fn port(value: &str) -> Result<u16, &'static str> {
    value.parse().map_err(|_| "expected a number from 0 to 65535")
}

fn address(value: &str) -> Result<SocketAddr, &'static str> {
    value.parse().map_err(|_| "expected an address with a port such as `127.0.0.1:9091`")
}

fn count(value: &str) -> Result<u32, &'static str> {
    value.parse().ok().filter(|&count| count > 0).ok_or("expected a whole number, at least 1")
}

fn bound(value: &str) -> Result<usize, &'static str> {
    value.parse().map_err(|_| "expected a whole number")
}

fn size(value: &str) -> Result<usize, &'static str> {
    let size: bytesize::ByteSize = value.parse().map_err(|_| "expected a size such as `256MiB`")?;
    usize::try_from(size.as_u64()).map_err(|_| "expected a smaller size")
}

fn span(value: &str) -> Result<Duration, &'static str> {
    let expected = "expected a duration above 0 such as `90s` or `5m`";
    let span: jiff::SignedDuration = value.parse().map_err(|_| expected)?;
    Duration::try_from(span).ok().filter(|span| !span.is_zero()).ok_or(expected)
}

fn pause(value: &str) -> Result<Duration, &'static str> {
    let expected = "expected a duration such as `30s`";
    let span: jiff::SignedDuration = value.parse().map_err(|_| expected)?;
    Duration::try_from(span).map_err(|_| expected)
}

fn level(value: &str) -> Result<tracing::Level, &'static str> {
    value.parse().map_err(|_| "expected error, warn, info, debug or trace")
}

fn format(value: &str) -> Result<bool, &'static str> {
    match value {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("expected text or json"),
    }
}

fn hash(value: &str) -> Result<String, &'static str> {
    if crate::keys::is_readable(value) { Ok(value.to_owned()) } else { Err("expected an Argon2id hash in PHC form") }
}

/// The settings of `serve`.
///
/// # Errors
/// All values that cannot be used, each with its source.
pub fn serve(arguments: &ServeArgs, environment: &dyn Environment) -> Result<(Config, Logging), Faults> {
    let mut reading = SettingsReader { environment, faults: Vec::new() };
    let mut config = Config::default();
    let mut logging = Logging { level: tracing::Level::INFO, json: false };
    let a = arguments;
    reading.take_into(&mut config.host, a.host.as_deref(), "host", "AUXOT_HOST", text);
    reading.take_into(&mut config.port, a.port.as_deref(), "port", "AUXOT_PORT", port);
    let certificate = reading.take(a.tls_certificate.as_deref(), "tls-certificate", "AUXOT_TLS_CERTIFICATE", path);
    let key = reading.take(a.tls_key.as_deref(), "tls-key", "AUXOT_TLS_KEY", path);
    if certificate.is_some() != key.is_some() {
        let both = "--tls-certificate (AUXOT_TLS_CERTIFICATE) and --tls-key (AUXOT_TLS_KEY)";
        reading.faults.push(format!("cannot use one without the other: {both}"));
    }
    config.tls = certificate.zip(key);
    let threshold = a.worker_dead_threshold.as_deref();
    let variable = "AUXOT_WORKER_DEAD_THRESHOLD";
    reading.take_into(&mut config.dead_threshold, threshold, "worker-dead-threshold", variable, span);
    reading.take_into(&mut config.job_timeout, a.job_timeout.as_deref(), "job-timeout", "AUXOT_JOB_TIMEOUT", span);
    reading.take_into(
        &mut config.drain_timeout,
        a.drain_timeout.as_deref(),
        "drain-timeout",
        "AUXOT_DRAIN_TIMEOUT",
        pause,
    );
    let ttl = a.auth_cache_ttl.as_deref();
    reading.take_into(&mut config.auth_cache_ttl, ttl, "auth-cache-ttl", "AUXOT_AUTH_CACHE_TTL", pause);
    reading.take_into(&mut config.max_waiting, a.max_waiting.as_deref(), "max-waiting", "AUXOT_MAX_WAITING", bound);
    reading.take_into(&mut config.max_bodies, a.max_bodies.as_deref(), "max-bodies", "AUXOT_MAX_BODIES", size);
    reading.take_into(&mut config.idle_timeout, a.idle_timeout.as_deref(), "idle-timeout", "AUXOT_IDLE_TIMEOUT", span);
    reading.take_into(&mut config.body_timeout, a.body_timeout.as_deref(), "body-timeout", "AUXOT_BODY_TIMEOUT", span);
    reading.take_into(&mut logging.level, a.log_level.as_deref(), "log-level", "AUXOT_LOG_LEVEL", level);
    reading.take_into(&mut logging.json, a.log_format.as_deref(), "log-format", "AUXOT_LOG_FORMAT", format);
    config.desired = DesiredModel {
        model: reading.take(a.model.as_deref(), "model", "AUXOT_MODEL", text),
        quantization: reading.take(a.quantization.as_deref(), "quantization", "AUXOT_QUANTIZATION", text),
        ctx_size: reading.take(a.ctx_size.as_deref(), "ctx-size", "AUXOT_CTX_SIZE", count),
        max_parallel: reading.take(a.max_parallel.as_deref(), "max-parallel", "AUXOT_MAX_PARALLEL", count),
    };
    config.keys = checked_keys(&mut reading, a.keys_file.as_deref());
    config.metrics_addr = reading.take(a.metrics_addr.as_deref(), "metrics-addr", "AUXOT_METRICS_ADDR", address);
    config.control = Some(control::control(&mut reading, a.runtime_dir.as_deref(), a.page_port.as_deref()));
    providers(&mut reading, a.providers_file.as_deref(), &mut config);
    reading.finish((config, logging))
}

/// A named file must exist; the default one may be missing while hashes come from the environment.
fn checked_keys(reading: &mut SettingsReader<'_>, given: Option<&str>) -> Keys {
    let worker = reading.take(None, "", "AUXOT_ADMIN_KEY_HASH", hash);
    let api = reading.take(None, "", "AUXOT_API_KEY_HASH", hash);
    let named = reading.take(given, "keys-file", KEYS_VARIABLE, path);
    let path = match named {
        Some(path) => Some(path),
        None => default_keys_file(reading.environment).filter(|path| path.exists()),
    };
    path.map_or_else(Keys::default, Keys::file).with_hashes(worker.as_deref(), api.as_deref())
}

/// A named file must exist; without one there are only workers.
fn providers(reading: &mut SettingsReader<'_>, given: Option<&str>, config: &mut Config) {
    let Some(file) = reading.take(given, "providers-file", "AUXOT_ROUTER_PROVIDERS_FILE", path) else { return };
    match providers::read(&file, reading.environment) {
        Ok(providers) => {
            config.load_wait = providers.load_wait.unwrap_or(config.load_wait);
            config.providers = providers.others;
        }
        Err(faults) => reading.faults.extend(faults),
    }
}

const KEYS_VARIABLE: &str = "AUXOT_ROUTER_KEYS_FILE";

fn path(value: &str) -> Result<PathBuf, &'static str> {
    Ok(PathBuf::from(value))
}

/// `$XDG_CONFIG_HOME/auxot/router-keys`, which is usually under `~/.config`, or the file that an earlier version has made
/// there.
fn default_keys_file(environment: &dyn Environment) -> Option<PathBuf> {
    let set = |name| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    let (usual, former) = (base.join("auxot/router-keys"), base.join("auxot/router-keys.toml"));
    Some(if former.exists() && !usual.exists() { former } else { usual })
}

/// The key file of the `keys` commands.
///
/// # Errors
/// No file is named and there is no home directory for the default one.
pub fn keys_file(given: Option<&str>, environment: &dyn Environment) -> Result<PathBuf, Faults> {
    let mut reading = SettingsReader { environment, faults: Vec::new() };
    let named = reading.take(given, "file", KEYS_VARIABLE, path);
    named.or_else(|| default_keys_file(environment)).ok_or_else(|| {
        Faults(vec!["cannot choose a key file without a home directory: name one with --file".to_owned()])
    })
}

#[cfg(test)]
mod tests;
