//! The worker's life: open every room, serve until asked to end, close them in order.
//!
//! ```text
//!   Opening ──▶ Serving ──▶ Draining (jobs finish) ──▶ Stopping (engines end) ──▶ Done
//!                              │ second signal            │ second signal
//!                              └──────────────────────────┴──▶ Done: what still runs is killed
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use auxot_admin::{Recorder, Server};
use auxot_catalog::{Catalog, path_text};
use auxot_engine::Host;
use auxot_fleet::{Devices, Fleet, FleetSettings, Paths, Sample, Tasks, device_warning};
use auxot_gpu::Sampler;
use auxot_relay::{BUCKETS, HISTOGRAMS, Relay, RelayEnd};
use auxot_settings::{Loaded, Settings, Sources};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::logging::Log;
use crate::reload::{Limits, Reload};
use crate::shutdown::{HangUps, Shutdown};

/// The router refuses our key: the operator must act, so a service manager need not try again (`EX_NOPERM`).
const EXIT_KEY_REFUSED: u8 = 77;
/// Something the worker needs is not there (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;

/// How long the start waits for the first reading of the devices.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Runs the worker to its end; the settings can be read again from `sources`.
pub(crate) fn run(settings: Loaded<Settings>, sources: Sources, log: &Log) -> ExitCode {
    // Whatever we or our engines make, sockets included, is ours alone.
    nix::sys::stat::umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // One thread: the token path has no cross-thread wake-ups, and an idle worker stays small. What
    // blocks (reading headers, sampling devices, starting processes) has threads of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            error!(%fault, "cannot start the runtime");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let lines = log.hold_back();
    let code = runtime.block_on(async {
        // Tasks, and nothing in this future itself: each wake-up of it would be a system call more.
        let (mut beside, mut serving) = (JoinSet::new(), JoinSet::new());
        beside.spawn(lines);
        serving.spawn(serve(settings, sources));
        match serving.join_next().await {
            Some(Ok(Ok(code))) => code,
            Some(Ok(Err(fault))) => {
                error!(fault = told(&fault), "cannot serve");
                ExitCode::from(EXIT_UNAVAILABLE)
            }
            // A panic, which has been logged.
            Some(Err(_)) | None => ExitCode::FAILURE,
        }
    });
    // A blocking task that hangs (a dead network file system, say) must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let left = auxot_engine::end_descendants();
    if left > 0 {
        warn!(left, "processes that came of an engine were still there; they were ended");
    }
    code
}

/// An error with its causes, each once: many errors have the cause in their own text.
fn told(fault: &anyhow::Error) -> String {
    fault.chain().map(ToString::to_string).fold(String::new(), |text, cause| match () {
        () if text.contains(&cause) => text,
        () if text.is_empty() => cause,
        () => format!("{text}: {cause}"),
    })
}

async fn serve(settings: Loaded<Settings>, sources: Sources) -> anyhow::Result<ExitCode> {
    let mut shutdown = Shutdown::listen().context("cannot listen for signals")?;
    let hang_ups = HangUps::listen().context("cannot listen for signals")?;
    for reason in &settings.ignored {
        warn!(reason, "setting ignored");
    }
    info!(version = auxot_settings::VERSION, file = settings.file.as_deref().map(path_text), "auxot-worker starts");
    let reload = Reload::new(sources, settings.clone(), hang_ups);
    let opened = tokio::select! {
        opened = open(settings.value) => match opened? {
            Ok(rooms) => rooms,
            // The relay has said so already, with the router's own words.
            Err(KeyRefused) => return Ok(ExitCode::from(EXIT_KEY_REFUSED)),
        },
        () = shutdown.asked() => return Ok(ExitCode::SUCCESS),
    };
    let Rooms { fleet, tasks, relay, server, recorder, sampler } = opened;
    let trouble = relay.trouble();
    let limits = reload.limits();
    // The tasks, the endpoint and the sampler live until the last engine is gone.
    let beside = async {
        tokio::join!(tasks.run(), server.serve(recorder, fleet.clone(), trouble), reload.serve(fleet.clone()))
    };
    tokio::pin!(beside);
    let closing = close(&mut shutdown, relay, &fleet, limits);
    let code = tokio::select! {
        code = closing => code,
        _ = &mut beside => ExitCode::FAILURE,
    };
    drop(sampler);
    info!("auxot-worker ends");
    Ok(code)
}

/// Everything that is open while the worker serves.
struct Rooms {
    fleet: Fleet,
    tasks: Tasks,
    relay: Relay,
    server: Server,
    recorder: Recorder,
    sampler: Sampler,
}

/// The router does not take the key, which was found out before anything was loaded.
struct KeyRefused;

async fn open(settings: Settings) -> anyhow::Result<Result<Rooms, KeyRefused>> {
    let histograms: Vec<(&str, &[f64])> = HISTOGRAMS
        .iter()
        .chain(&auxot_engine::metrics::HISTOGRAMS)
        .chain(&auxot_fleet::HISTOGRAMS)
        .map(|name| (*name, BUCKETS.as_slice()))
        .collect();
    let recorder = Recorder::install(&histograms)?;
    auxot_relay::describe_metrics();
    auxot_fleet::describe_metrics();
    auxot_engine::metrics::describe();
    let (state, index) = (state_dir(&settings), catalog_index(&settings));
    let mut relay = Relay::new(settings.router, &state)?;
    let server = Server::open(&settings.metrics, metrics_connections()).await;
    let named = settings.gpu.clone();
    let (sampler, mut devices) = Sampler::start(settings.gpu);
    let files = settings.catalog.clone();
    let scan = tokio::task::spawn_blocking(move || scan(&files, &index));
    let host = Host::open(settings.engine.clone());
    let (catalog, host, (), desired) = tokio::join!(scan, host, first_look(&mut devices), relay.first_desired());
    let (catalog, host) = (catalog.context("cannot scan the models folders")?, host?);
    info!(models = catalog.models().len(), damaged = catalog.damaged().len(), "models folders scanned");
    if let Some(setting) = strange_devices(&named).await {
        warn!(setting, "a setting names a device that is not here");
    }
    let Ok(desired) = desired else { return Ok(Err(KeyRefused)) };
    let paths = Paths { catalog: Arc::new(catalog), state };
    let fleet_settings = FleetSettings {
        fleet: settings.fleet,
        engine: settings.engine,
        placement: settings.placement,
        catalog: settings.catalog,
    };
    let refresh = sampler.handle();
    let devices = Devices::new(devices, move || refresh.ask());
    let (fleet, tasks) = Fleet::open(fleet_settings, host, paths, devices, desired);
    Ok(Ok(Rooms { fleet, tasks, relay, server, recorder, sampler }))
}

/// The names in `gpu.devices` that mean none of this host's devices, in one sentence. Those that may not be used count.
async fn strange_devices(named: &auxot_gpu::Config) -> Option<String> {
    if named.devices.is_empty() {
        return None;
    }
    let (names, all) = (named.devices.clone(), auxot_gpu::Config { devices: Vec::new(), ..named.clone() });
    let look = tokio::task::spawn_blocking(move || device_warning(&names, &auxot_gpu::look(&all)));
    // A driver that hangs keeps nobody from starting.
    tokio::time::timeout(FIRST_LOOK, look).await.ok()?.ok()?
}

/// Waits until the devices have been read once: sizes and places are decided by them. A driver that hangs must not
/// keep the worker from starting, so the wait ends; then nothing is known about them.
async fn first_look(devices: &mut watch::Receiver<Arc<Sample>>) {
    if tokio::time::timeout(FIRST_LOOK, devices.changed()).await.is_err() {
        warn!(after_s = FIRST_LOOK.as_secs(), "no reading of the devices yet: starting without one");
    }
}

/// A small part of all that may be open: the rest is for engines and links.
fn metrics_connections() -> usize {
    let open_files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(open_files / 16).unwrap_or(usize::MAX).clamp(2, 32)
}

/// Where the headers of model files are remembered.
pub(crate) fn catalog_index(settings: &Settings) -> PathBuf {
    state_dir(settings).join("catalog")
}

/// Where things are remembered: where the settings say, else what the service manager gave us, else the user's folder.
pub(crate) fn state_dir(settings: &Settings) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The service manager may give several, with colons between them.
    let of_service = std::env::var_os("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next());
    let of_service = of_service.filter(|dir| dir.is_absolute());
    let configured = settings.router.state_dir.clone().or(of_service);
    configured
        .or_else(|| variable("XDG_STATE_HOME").map(|folder| folder.join("auxot")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/auxot")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/auxot"))
}

/// Looks at the models folders, and remembers what it read there for the next start.
fn scan(files: &auxot_catalog::Config, index: &Path) -> Catalog {
    let catalog = Catalog::recall(files, &[], index);
    if catalog.opened() > 0
        && let Err(error) = catalog.remember(index)
    {
        warn!(path = %index.display(), %error, "cannot remember the headers of the models");
    }
    catalog
}

/// Serves until a signal or a refused key, then drains and stops; a second signal cuts both short.
async fn close(shutdown: &mut Shutdown, relay: Relay, fleet: &Fleet, limits: watch::Receiver<Limits>) -> ExitCode {
    let (ask_drain, drain_asked) = oneshot::channel::<Duration>();
    let drain = async {
        // The sender is never dropped unsent while this is awaited.
        drain_asked.await.unwrap_or_default()
    };
    let relaying = relay.run(fleet.clone(), drain);
    tokio::pin!(relaying);
    let end = tokio::select! {
        end = &mut relaying => end,
        () = shutdown.asked() => {
            let limit = limits.borrow().drain;
            info!(from = "serving", to = "draining", limit_s = limit.as_secs_f64(), "worker");
            fleet.freeze();
            let _ = ask_drain.send(limit);
            tokio::select! {
                end = &mut relaying => end,
                () = shutdown.asked() => return killed(fleet),
            }
        }
    };
    let stop_worst_case = limits.borrow().stop;
    info!(from = "draining", to = "stopping", limit_s = stop_worst_case.as_secs_f64(), "worker");
    tokio::select! {
        () = fleet.stop() => {}
        () = shutdown.asked() => return killed(fleet),
        () = tokio::time::sleep(stop_worst_case + Duration::from_secs(1)) => {
            warn!("an engine does not end; its process is left to the kernel");
        }
    }
    match end {
        RelayEnd::Drained { cut_short: 0 } => ExitCode::SUCCESS,
        RelayEnd::Drained { cut_short } => {
            warn!(cut_short, "jobs were cut short");
            ExitCode::SUCCESS
        }
        // The lane has said so already, with the router's own words.
        RelayEnd::KeyRefused { .. } => ExitCode::from(EXIT_KEY_REFUSED),
    }
}

/// The second signal: engines are killed when their tasks are dropped.
fn killed(fleet: &Fleet) -> ExitCode {
    warn!("asked to end again: ending now");
    fleet.kill();
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let bare = || std::io::Error::other("no such thing");
        let fault = anyhow::Error::from(auxot_engine::HostError::System(bare())).context("cannot open the host");
        assert_eq!(told(&fault), "cannot open the host: cannot prepare to start engines: no such thing");
        assert_eq!(told(&anyhow::Error::from(bare())), "no such thing");
    }
}
