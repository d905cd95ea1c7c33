//! RuleChecker that types cannot express: metadata one setting, metadata two of them, or metadata the files that they name.

mod gateway;
mod hub;
mod model;

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use auxot_catalog::expand_home;

use crate::fault::{Origin, SettingFault};
use crate::load::Loaded;
use crate::settings::Settings;

/// The router drops a worker after 90 s without a heartbeat; one heartbeat may get lost.
const MAX_HEARTBEAT: Duration = Duration::from_secs(60);

/// Each sample costs a call into the device's driver.
const MIN_SAMPLE: Duration = Duration::from_millis(100);

/// A job with one picture is larger.
const MIN_MESSAGE: bytesize::ByteSize = bytesize::ByteSize::mib(1);

/// More than what is written at once.
const MIN_LOG_FILE: bytesize::ByteSize = bytesize::ByteSize::mib(1);

/// The longest list of names or tables.
const MAX_NAMES: usize = 1_000;
/// More parallel requests than any engine build accepts.
const MAX_SLOTS: u32 = 256;

/// The purpose of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The whole worker.
    Serve,
    /// A command that only inspects models and devices.
    Inspect,
}

/// Adds every broken rule to `faults`.
pub(crate) fn validate(loaded: &Loaded<Settings>, purpose: Purpose, faults: &mut Vec<SettingFault>) {
    let mut checker = RuleChecker { loaded, faults };
    if purpose == Purpose::Serve {
        checker.address_and_key();
        checker.program();
    }
    checker.link_times();
    checker.job_times();
    checker.models();
    checker.each_model();
    checker.engine();
    checker.devices();
    checker.gateway();
    checker.hub();
    checker.traces();
}

struct RuleChecker<'l> {
    loaded: &'l Loaded<Settings>,
    faults: &'l mut Vec<SettingFault>,
}

impl RuleChecker<'_> {
    /// Reports a key, unless its value was already refused: then the default stands in its place, and a fault of the
    /// default is not the operator's.
    fn fault(&mut self, key: &str, text: impl Into<String>) {
        if self.faults.iter().all(|known| known.key != key) {
            self.faults.push(SettingFault { origin: self.loaded.origin(key), key: key.to_owned(), text: text.into() });
        }
    }

    fn positive(&mut self, key: &str, time: Duration) {
        if time.is_zero() {
            self.fault(key, "must be more than 0");
        }
    }

    /// `low` must not exceed `high`; the fault goes to the one that is set.
    fn ordered(&mut self, low: (&str, Duration), high: (&str, Duration)) {
        if low.1 <= high.1 {
            return;
        }
        if self.loaded.origin(high.0) == Origin::Default {
            self.fault(low.0, format!("{:?} is more than `{}`, which is {:?}", low.1, high.0, high.1));
        } else {
            self.fault(high.0, format!("{:?} is less than `{}`, which is {:?}", high.1, low.0, low.1));
        }
    }

    fn address_and_key(&mut self) {
        let router = &self.loaded.value.router;
        if let Err(error) = auxot_relay::RouterUrl::parse(&router.url) {
            self.fault("router.url", error.to_string());
        }
        let unreadable =
            |fault: &&mut SettingFault| fault.key.is_empty() && matches!(fault.origin, Origin::File { .. });
        match (&router.key, &router.key_file) {
            (Some(_), Some(_)) => {
                let other = self.loaded.origin("router.key_file");
                self.fault("router.key", format!("the key is set here and as a file ({other}); keep one of the two"));
            }
            // Without a router the models are for the programs of this host.
            (None, None)
                if self.loaded.value.gateway.is_on() && self.loaded.origin("router.url") == Origin::Default => {}
            (None, None) if self.faults.iter_mut().find(unreadable).is_none() && !self.has("router.key_file") => {
                let text = "no worker key; set AUXOT_GPU_KEY, or name a file that holds it in AUXOT_GPU_KEY_FILE";
                self.fault("router.key", text);
            }
            (Some(_), None) => self.key_in_the_file(),
            (None, Some(path)) => {
                if let Err(text) = key_file(path) {
                    self.fault("router.key_file", text);
                }
            }
            (None, None) => {}
        }
        if let Some(path) = &router.ca_file
            && let Err(error) = File::open(path).and_then(|file| file.metadata()).and_then(not_a_directory)
        {
            self.fault("router.ca_file", format!("cannot read {}: {error}", path.display()));
        }
    }

    fn has(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key == key)
    }

    fn key_in_the_file(&mut self) {
        if let Origin::File { path, .. } = self.loaded.origin("router.key")
            && fs::metadata(&path).is_ok_and(|metadata| readable_by_others(&metadata))
        {
            let path = path.display();
            self.fault("router.key", format!("all users can read the key in this file; run: chmod o= {path}"));
        }
    }

    fn link_times(&mut self) {
        let router = &self.loaded.value.router;
        if router.heartbeat_interval.is_zero() || router.heartbeat_interval > MAX_HEARTBEAT {
            let text = format!(
                "must be more than 0 and at most {MAX_HEARTBEAT:?}: the router drops a worker that is silent for 90s"
            );
            self.fault("router.heartbeat_interval", text);
        } else if !router.silence_timeout.is_zero() && router.silence_timeout <= router.heartbeat_interval {
            let text = format!(
                "must be more than `router.heartbeat_interval`, which is {:?}: the router sends something only when it answers a heartbeat; 0 is automatic",
                router.heartbeat_interval
            );
            self.fault("router.silence_timeout", text);
        }
        self.positive("router.reconnect_delay", router.reconnect_delay);
        self.ordered(
            ("router.reconnect_delay", router.reconnect_delay),
            ("router.reconnect_max_delay", router.reconnect_max_delay),
        );
        self.positive("router.connect_timeout", router.connect_timeout);
        self.positive("router.hello_timeout", router.hello_timeout);
        self.positive("router.write_timeout", router.write_timeout);
        if router.max_message < MIN_MESSAGE {
            self.fault("router.max_message", "must be at least 1MiB: jobs carry pictures");
        }
    }

    fn job_times(&mut self) {
        let Settings { router, fleet, engine, .. } = &self.loaded.value;
        self.positive("router.job_timeout", router.job_timeout);
        self.positive("router.headers_timeout", router.headers_timeout);
        // An engine that works on a long prompt sends only pings.
        if router.idle_timeout <= engine.ping_interval {
            let text = format!("must be more than `engine.ping_interval`, which is {:?}", engine.ping_interval);
            self.fault("router.idle_timeout", text);
        }
        self.positive("fleet.max_wait", fleet.max_wait);
        self.positive("fleet.rescan_interval", fleet.rescan_interval);
        if fleet.max_waiting == 0 {
            self.fault("fleet.max_waiting", "must be at least 1: a job waits while its model loads");
        }
    }

    fn models(&mut self) {
        let Settings { fleet, catalog, .. } = &self.loaded.value;
        if fleet.autoload.iter().any(|name| name.trim().is_empty()) {
            self.fault("fleet.autoload", "one of the names is empty");
        }
        self.named_once("fleet.autoload", &fleet.autoload);
        if fleet.models.len() > MAX_NAMES {
            let text = format!("has {} tables, at most {MAX_NAMES} are accepted", fleet.models.len());
            self.fault("fleet.models", text);
        }
        if catalog.models_dir.is_empty() && catalog.model_file.is_none() {
            self.fault("catalog.models_dir", "no models folder; set one, or one file in AUXOT_MODEL_FILE");
        }
        // The default folder may be missing: the catalog then reports that there are no models.
        if self.loaded.origin("catalog.models_dir") != Origin::Default {
            for folder in catalog.models_dir.iter().filter(|folder| !expand_home(folder).is_dir()) {
                self.fault("catalog.models_dir", format!("{} is not a directory", folder.display()));
            }
        }
        if let Some(file) = catalog.model_file.as_ref().filter(|file| !expand_home(file).is_file()) {
            self.fault("catalog.model_file", format!("{} is not a file", file.display()));
        }
    }

    fn program(&mut self) {
        let engine = &self.loaded.value.engine;
        // A bare name is looked up in PATH when the engine starts.
        if engine.binary.components().count() > 1
            && !fs::metadata(&engine.binary)
                .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        {
            self.fault("engine.binary", format!("{} is not an executable file", engine.binary.display()));
        }
    }

    fn slots(&mut self, key: &str, slots: Option<u32>) {
        if let Some(slots) = slots.filter(|slots| !(1..=MAX_SLOTS).contains(slots)) {
            self.fault(key, format!("must be 1 to {MAX_SLOTS}, found {slots}"));
        }
    }

    fn ctx_size(&mut self, key: &str, tokens: Option<u32>) {
        if tokens == Some(0) {
            self.fault(key, "must be at least 1; leave it out for what the model was trained for");
        }
    }

    fn engine(&mut self) {
        let engine = &self.loaded.value.engine;
        self.slots("engine.slots", engine.slots);
        self.ctx_size("engine.ctx_size", engine.ctx_size);
        if engine.threads == Some(0) {
            self.fault("engine.threads", "must be at least 1; leave it out to let the engine decide");
        }
        if engine.ping_interval < Duration::from_secs(1) || engine.ping_interval.subsec_nanos() != 0 {
            self.fault("engine.ping_interval", "must be whole seconds, 1 or more: the engine accepts no others");
        }
        self.log_files();
        self.positive("engine.load_stall", engine.load_stall);
        self.positive("engine.liveness_interval", engine.liveness_interval);
        self.positive("engine.liveness_busy_interval", engine.liveness_busy_interval);
        self.positive("engine.liveness_timeout", engine.liveness_timeout);
        self.positive("engine.liveness_stall", engine.liveness_stall);
        self.ordered(
            ("engine.restart_delay", engine.restart_delay),
            ("engine.restart_max_delay", engine.restart_max_delay),
        );
    }

    fn traces(&mut self) {
        if let Err(error) = self.loaded.value.traces.url() {
            self.fault("traces.endpoint", error.to_string());
        }
    }

    fn log_files(&mut self) {
        let engine = &self.loaded.value.engine;
        if engine.log_file_size < MIN_LOG_FILE {
            self.fault("engine.log_file_size", format!("must be {MIN_LOG_FILE} or more"));
        }
        // The file that is written and the one before.
        let least = 2 * engine.log_file_size.as_u64();
        if (1..least).contains(&engine.log_total_size.as_u64()) {
            let text = "must be at least twice `engine.log_file_size`, or 0 for no files";
            self.fault("engine.log_total_size", text);
        }
    }

    /// A list of names. More checker for devices would need their drivers.
    fn named_once(&mut self, key: &str, names: &[String]) {
        if names.len() > MAX_NAMES {
            self.fault(key, format!("has {} names, at most {MAX_NAMES} are accepted", names.len()));
            return;
        }
        let mut seen = HashSet::new();
        for name in names.iter().filter(|name| !name.trim().is_empty()) {
            if !seen.insert(name.to_ascii_lowercase()) {
                self.fault(key, format!("`{name}` is in the list twice"));
            }
        }
    }

    fn devices(&mut self) {
        let Settings { gpu, placement, .. } = &self.loaded.value;
        self.named_once("gpu.devices", &gpu.devices);
        if placement.host_limit.is_some_and(|limit| limit.as_u64() == 0) {
            self.fault("placement.host_limit", "must be more than 0; leave it out for no limit");
        }
        if gpu.sample_interval < MIN_SAMPLE {
            self.fault("gpu.sample_interval", format!("must be at least {MIN_SAMPLE:?}"));
        }
        if let Some(path) = gpu.nvml_path.as_ref().filter(|path| !path.is_file()) {
            self.fault("gpu.nvml_path", format!("{} is not a file", path.display()));
        }
    }
}

/// The fault of a key file, if any. Only a plain file is read here: a pipe can be read only once.
fn key_file(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let metadata = fs::metadata(path).map_err(cannot)?;
    if metadata.is_dir() {
        return Err(format!("{} is a directory", path.display()));
    }
    if readable_by_others(&metadata) {
        return Err(format!("all users can read the key in {}; run: chmod o= {0}", path.display()));
    }
    if metadata.is_file() {
        let mut line = String::new();
        BufReader::new(File::open(path).map_err(cannot)?).read_line(&mut line).map_err(cannot)?;
        if line.trim().is_empty() {
            return Err(format!("the first line of {} is empty; it must be the key", path.display()));
        }
    }
    Ok(())
}

/// The group may read: a service manager passes credentials that way.
fn readable_by_others(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o007 != 0
}

fn not_a_directory(metadata: Metadata) -> std::io::Result<()> {
    if metadata.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
