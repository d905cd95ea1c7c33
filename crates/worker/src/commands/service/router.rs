//! The router beside the worker of a single host: its program, keys, settings and unit.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::layout::{Layout, RouterFiles};
use super::manager::Start;
use super::{ServiceError, fault, unit, write};

const PROGRAM: &str = "auxot-router";

/// A router that is installed with the worker.
#[derive(Debug)]
pub(super) struct LocalRouter {
    /// The program of this release.
    source: PathBuf,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// It is new, and listens here.
    Install(SocketAddr),
    /// It is there already, with its own settings and keys.
    Upgrade,
}

/// What was written.
pub(super) struct Installed {
    /// The keys of a new router.
    pub(super) keys: Option<KeyPair>,
    pub(super) start: Start,
}

/// A pair of keys, which is shown this once.
#[derive(Deserialize)]
pub(super) struct KeyPair {
    pub(super) worker_key: String,
    pub(super) api_key: String,
}

impl LocalRouter {
    /// The one that is asked for, or that an earlier installation has left; `program` is the worker's.
    pub(super) fn of(
        address: Option<SocketAddr>,
        layout: &Layout,
        program: &Path,
    ) -> Result<Option<Self>, ServiceError> {
        let source = program.with_file_name(PROGRAM);
        let change = match address {
            _ if layout.router.unit.is_file() => Change::Upgrade,
            Some(_) if cfg!(target_os = "macos") => return Err(ServiceError::NoRouterService),
            Some(address) => Change::Install(address),
            None => return Ok(None),
        };
        match (&change, source.is_file()) {
            (Change::Install(_), false) => Err(ServiceError::NoRouterProgram(source)),
            // An upgrade of the worker alone.
            (Change::Upgrade, false) => Ok(None),
            (Change::Install(_), true) if layout.config.exists() => {
                Err(ServiceError::HasSettings(layout.config.clone()))
            }
            (_, true) => Ok(Some(Self { source, change })),
        }
    }

    /// The address for the worker; `None` where its settings have one already.
    pub(super) fn url(&self) -> Option<String> {
        let Change::Install(address) = self.change else { return None };
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Some(format!("http://{}", SocketAddr::new(host, address.port())))
    }

    /// Writes its files, and makes keys where it is new.
    pub(super) fn write(&self, layout: &Layout) -> Result<Installed, ServiceError> {
        let files = &layout.router;
        let program = fs::read(&self.source).map_err(fault("read", &self.source))?;
        let unit = unit::router(layout);
        let is_same = is_same(&files.program, &program) && is_same(&files.unit, unit.as_bytes());
        write(&files.program, &program, 0o755)?;
        write(&files.unit, unit.as_bytes(), 0o644)?;
        let Change::Install(address) = self.change else {
            move_keys(files)?;
            // The answers of a router that stays as it is go on.
            return Ok(Installed { keys: None, start: if is_same { Start::Keep } else { Start::Restart } });
        };
        write(&files.settings, settings(address).as_bytes(), 0o644)?;
        Ok(Installed { keys: Some(keys(files)?), start: Start::Restart })
    }
}

fn is_same(path: &Path, bytes: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == bytes)
}

fn settings(address: SocketAddr) -> String {
    format!(
        "# Settings of auxot-router, written by `auxot-worker install`; `auxot-router --help` names them all.\n\
         AUXOT_HOST={}\nAUXOT_PORT={}\n",
        address.ip(),
        address.port()
    )
}

/// Moves the keys of an earlier version to where the service reads them while it runs.
fn move_keys(files: &RouterFiles) -> Result<(), ServiceError> {
    let RouterFiles { keys, former_keys, .. } = files;
    if keys.exists() {
        return Ok(());
    }
    match fs::read(former_keys) {
        Ok(known) => {
            write(keys, &known, 0o600)?;
            fs::remove_file(former_keys).map_err(fault("remove", former_keys))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault("read", former_keys)(error)),
    }
}

/// Makes the first pair of keys; the file has hashes only.
fn keys(files: &RouterFiles) -> Result<KeyPair, ServiceError> {
    // Those of a router that was removed are of no use: they cannot be shown again.
    match fs::remove_file(&files.keys) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault("replace", &files.keys)(error)),
        _ => {}
    }
    let mut command = Command::new(&files.program);
    command.args(["keys", "create", "--json", "--file"]).arg(&files.keys);
    let output = command.output().map_err(fault("run", &files.program))?;
    let refused = || ServiceError::Keys(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    if !output.status.success() {
        return Err(refused());
    }
    serde_json::from_slice(&output.stdout).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_reaches_a_router_on_all_addresses_by_the_hosts_own() {
        for (address, url) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            let change = Change::Install(address.parse().unwrap());
            assert_eq!(LocalRouter { source: PathBuf::new(), change }.url().as_deref(), Some(url));
        }
    }
}
