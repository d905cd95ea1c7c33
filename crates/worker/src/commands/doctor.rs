//! `auxot-worker doctor`: what keeps this host from serving, or may, each with what to do.

mod bundle;
mod finding;
#[cfg(target_os = "linux")]
mod host;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use auxot_admin::control::client;
use auxot_catalog::{Catalog, path_text};
use auxot_engine::{Host, HostError};
use auxot_gateway::ListenAddress;
use auxot_gpu::Sample;
use auxot_placement::{DeviceVisibility, bytes_text};
use auxot_relay::{Relay, RouterCheck};
use auxot_settings::Settings;
use nix::sys::resource::{Resource, getrlimit};
use rustix::fs::{Access, access, statvfs};

use self::finding::{Finding, Verdict, bad, good, warning};
use super::ask::ask;
use crate::arguments::BundleRequest;
use crate::causes::with_causes;
use auxot_console::{Console, Paint};

/// Fewer open files than this are not enough for a busy worker.
const ENOUGH_FILES: u64 = 4096;
/// Less free space than this may be too little for the state of the worker.
const ENOUGH_SPACE: u64 = 64 << 20;
/// The longest check of the router.
const ROUTER_TIMEOUT: Duration = Duration::from_secs(20);
/// Damaged files that are listed; the others are counted.
const LISTED: usize = 8;

/// The process id of a running worker of this user, and why its router sends no jobs.
struct RunningWorker {
    pid: u32,
    trouble: Option<String>,
    /// Why its metrics port does not listen.
    metrics: Option<String>,
}

/// Checks this host, or what a bundle would be on it.
pub(super) fn run(
    (settings, catalog): (&Settings, &Catalog),
    bundle: Option<&BundleRequest>,
    json: bool,
    console: &Console,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            console.print_error(&format!("cannot start: {fault}"));
            return ExitCode::FAILURE;
        }
    };
    let findings = match bundle {
        Some(request) => bundle::check(settings, request),
        None => runtime.block_on(check(settings, catalog)),
    };
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    console.print(&match json {
        true => serde_json::to_string_pretty(&findings).unwrap_or_default(),
        false => text(&findings, console),
    });
    if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn check(settings: &Settings, catalog: &Catalog) -> Vec<Finding> {
    let running = running_worker(settings).await;
    let mut findings = Vec::new();
    if let Some(worker) = &running {
        findings.push(good("worker", format!("runs with pid {}; see `auxot-worker status`", worker.pid)));
    }
    let sample = auxot_gpu::sample_once(&settings.gpu);
    let engine = Host::open(settings.engine.clone()).await;
    findings.push(match &engine {
        Ok(host) => good("engine", engine_text(host)),
        Err(fault) => bad("engine", with_causes(fault), engine_remedy(fault)),
    });
    findings.extend(devices(settings, &sample, engine.as_ref().ok()));
    findings.extend(models(settings, catalog));
    findings.extend(router(settings, running.as_ref()).await);
    findings.extend(ports(settings, running.as_ref()));
    #[cfg(target_os = "linux")]
    findings.extend(host::check(&settings.gpu).await);
    findings.extend(folders(settings));
    findings.push(open_files());
    findings
}

async fn running_worker(settings: &Settings) -> Option<RunningWorker> {
    let status = ask(settings, client::status).await.ok()?;
    let trouble = status.router.and_then(|router| router.trouble);
    Some(RunningWorker { pid: status.worker.pid, trouble, metrics: status.metrics.trouble })
}

fn engine_remedy(fault: &HostError) -> &'static str {
    match fault {
        HostError::Binary(_) => "install llama-server, or set AUXOT_LLAMA_BINARY to one",
        HostError::RuntimeDir(_) => "set AUXOT_RUNTIME_DIR to a folder that only this user can enter",
        HostError::System(_) => "raise the limits on processes and memory of this user (`ulimit -a`)",
    }
}

fn engine_text(host: &Host) -> String {
    let engine = host.engine();
    let mut text = path_text(&engine.binary);
    if let Some(build) = &engine.build {
        text.push_str(&format!(", build {} ({})", build.build, build.commit));
    }
    let devices: Vec<&str> = engine.devices.iter().flatten().map(|device| &*device.name).collect();
    if !devices.is_empty() {
        text.push_str(&format!(", runs on {}", devices.join(" and ")));
    }
    text.push_str(if engine.unix_sockets { ", listens on sockets" } else { ", listens on ports" });
    text.push_str(if engine.has_dry_run() { ", estimates memory by a dry run" } else { ", has no dry run" });
    text
}

fn devices(settings: &Settings, sample: &Sample, host: Option<&Host>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let listed = host.and_then(|host| host.engine().devices.clone());
    let visibility = DeviceVisibility::new(listed);
    for device in sample.devices.iter().filter(|device| !device.is_host()) {
        let memory = match (device.free, device.total) {
            (Some(free), Some(total)) => format!("{} of {} free", bytes_text(free), bytes_text(total)),
            _ => "memory unknown".to_owned(),
        };
        let text = format!("{} {}: {memory}", device.id, device.name);
        let is_reachable = !visibility.unreachable_devices(sample).any(|other| other.id == device.id);
        findings.push(match () {
            () if device.lost => bad("devices", format!("{text}; the device is lost"), "reset it or restart the host"),
            () if device.total.is_none() => warning(
                "devices",
                text,
                "its driver tells no memory: check that this user may open the device and that driver and library fit",
            ),
            () if !is_reachable && host.is_some() => warning(
                "devices",
                format!("{text}; the engine cannot use it"),
                "use an engine that was built for it (CUDA, ROCm, Metal or Vulkan), with its driver",
            ),
            () => good("devices", text),
        });
    }
    if findings.is_empty() {
        let free = sample.host.free.map(|free| format!("{} free", bytes_text(free))).unwrap_or_default();
        findings.push(warning(
            "devices",
            format!("no GPU: models run on the processor, in host memory ({free})"),
            "for a GPU install its driver, and check AUXOT_GPU_DEVICES",
        ));
    }
    if let Some(unknown) = auxot_fleet::device_warning(&settings.gpu.devices, sample) {
        findings.push(warning("devices", unknown, "correct gpu.devices (AUXOT_GPU_DEVICES)"));
    }
    findings
}

fn models(settings: &Settings, catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    let served = catalog.models().iter().filter(|model| model.task.is_served()).count();
    let folders: Vec<String> = settings.catalog.models_dir.iter().map(|dir| path_text(dir)).collect();
    findings.push(match served {
        0 => bad(
            "models",
            format!("no model that can be served in {}", folders.join(", ")),
            "put GGUF files there, or set AUXOT_MODELS_DIR",
        ),
        1 => good("models", "1 can be served"),
        count => good("models", format!("{count} can be served")),
    });
    for damaged in catalog.damaged().iter().take(LISTED) {
        let text = format!("cannot use {}: {}", path_text(&damaged.path), damaged.fault);
        findings.push(warning("models", text, "copy or download it again, or remove it"));
    }
    if let Some(more) = catalog.damaged().len().checked_sub(LISTED).filter(|more| *more > 0) {
        findings.push(warning("models", format!("{more} more files cannot be used"), "see `auxot-worker models`"));
    }
    for name in &settings.fleet.autoload {
        if let Err(fault) = catalog.resolve(name) {
            findings.push(bad("models", fault.to_string(), "correct AUXOT_GPU_AUTOLOAD_MODELS, or add the model"));
        }
    }
    let warnings = super::name_warnings(settings, catalog);
    findings.extend(warnings.into_iter().map(|text| warning("models", text, "correct the setting")));
    findings
}

async fn router(settings: &Settings, running: Option<&RunningWorker>) -> Vec<Finding> {
    const AREA: &str = "router";
    let config = settings.router.clone();
    if config.key.is_none() && config.key_file.is_none() {
        let is_off = !settings.gateway.is_on();
        let (text, remedy) = ("no worker key is set", "set AUXOT_ROUTER_URL and AUXOT_GPU_KEY");
        return vec![if is_off { bad(AREA, text, remedy) } else { warning(AREA, text, remedy) }];
    }
    if let Some(worker) = running {
        return vec![match &worker.trouble {
            None => good(AREA, "the running worker is connected"),
            Some(trouble) => {
                bad(AREA, trouble.clone(), "check AUXOT_ROUTER_URL and AUXOT_GPU_KEY, and that the router runs")
            }
        }];
    }
    let relay = match Relay::new(config, &crate::places::state_dir(settings)) {
        Ok(relay) => relay,
        Err(fault) => return vec![bad(AREA, with_causes(&fault), "correct the router settings")],
    };
    let url = relay.router_url();
    let check = tokio::time::timeout(ROUTER_TIMEOUT, relay.check()).await;
    vec![match check {
        Ok(RouterCheck::Accepted) => good(AREA, format!("{url} accepts this worker")),
        Ok(RouterCheck::KeyRefused { reason }) => bad(
            AREA,
            format!("{url} refuses the worker key: {reason}"),
            "create a worker key there and set AUXOT_GPU_KEY",
        ),
        Ok(RouterCheck::Unreachable { reason }) => bad(
            AREA,
            format!("cannot reach {url}: {reason}"),
            "check AUXOT_ROUTER_URL, the network, and that the router runs",
        ),
        Err(_) => bad(
            AREA,
            format!("{url} does not answer within {} s", ROUTER_TIMEOUT.as_secs()),
            "check AUXOT_ROUTER_URL, the network, and that the router runs",
        ),
    }]
}

fn ports(settings: &Settings, running: Option<&RunningWorker>) -> Vec<Finding> {
    let (metrics, is_running) = (SocketAddr::new(settings.metrics.host, settings.metrics.port), running.is_some());
    let mut findings = vec![match running.and_then(|running| running.metrics.as_ref()) {
        Some(trouble) => warning(
            "metrics",
            format!("{trouble}; the running worker tries again every few seconds"),
            "end the program that has the port, or set another one in AUXOT_METRICS_PORT",
        ),
        None => port("metrics", metrics, "AUXOT_METRICS_PORT", Verdict::Warning, is_running),
    }];
    for address in &settings.gateway.addr {
        if let ListenAddress::Tcp(address) = address {
            findings.push(port("gateway", *address, "AUXOT_GATEWAY_ADDR", Verdict::Bad, is_running));
        }
    }
    findings
}

fn port(area: &'static str, address: SocketAddr, setting: &str, verdict: Verdict, is_running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => good(area, format!("{address} is free")),
        Err(fault) if is_running && fault.kind() == std::io::ErrorKind::AddrInUse => {
            good(area, format!("{address} is in use, by the running worker as far as is known"))
        }
        Err(fault) => Finding {
            verdict,
            ..bad(area, format!("cannot listen on {address}: {fault}"), format!("set another one in {setting}"))
        },
    }
}

fn folders(settings: &Settings) -> Vec<Finding> {
    let state = crate::places::state_dir(settings);
    let there = nearest(&state);
    let mut findings = Vec::new();
    findings.push(match access(&there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => good("state", path_text(&state)),
        Err(fault) => bad(
            "state",
            format!("cannot write to {}: {fault}", path_text(&there)),
            "let this user write there, or set router.state_dir",
        ),
    });
    if let Ok(space) = statvfs(&there) {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < ENOUGH_SPACE {
            let text = format!("{} free in {}", bytes_text(free), path_text(&there));
            findings.push(bad("state", text, "free some space"));
        }
    }
    findings
}

/// The path, or the nearest folder above it that exists.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn open_files() -> Finding {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard < ENOUGH_FILES => warning(
            "limits",
            format!("{hard} open files at most"),
            "raise the limit (LimitNOFILE= of the unit, or `ulimit -Hn`)",
        ),
        Ok((_, hard)) => good("limits", format!("{hard} open files at most")),
        Err(fault) => {
            warning("limits", format!("cannot read the limit of open files: {fault}"), "nothing is known of it")
        }
    }
}

/// What is wrong first, each with its remedy below.
fn text(findings: &[Finding], console: &Console) -> String {
    let mut text = String::new();
    for (verdict, sign, paint) in
        [(Verdict::Bad, "✗", Paint::Bad), (Verdict::Warning, "!", Paint::Work), (Verdict::Good, "✓", Paint::Good)]
    {
        for finding in findings.iter().filter(|finding| finding.verdict == verdict) {
            text.push_str(&format!("{} {:<8} {}\n", console.paint(paint, sign), finding.area, finding.text));
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("           {}\n", console.paint(Paint::Faint, remedy)));
            }
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    text.push_str(&match (count(Verdict::Bad), count(Verdict::Warning)) {
        (0, 0) => "\nNothing is wrong.".to_owned(),
        (0, warnings) => format!("\nThe worker can serve; warnings: {warnings}."),
        (bad, _) => format!("\nThe worker cannot serve as it is set up; faults: {bad}."),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_first_with_their_remedies() {
        let findings = [
            good("engine", "is there"),
            warning("devices", "no GPU", "install one"),
            bad("router", "gone", "start it"),
        ];
        let text = text(&findings, &Console::fixed_width(80));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["✗ router   gone", "           start it"]);
        assert_eq!(lines[2..5], ["! devices  no GPU", "           install one", "✓ engine   is there"]);
        assert!(text.ends_with("faults: 1."), "{text}");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&folder.path().join("a/b")), folder.path());
    }
}
