//! The worker's run: start the components, serve until a signal, stop them in order.
//!
//! ```text
//!   Opening ──▶ Serving ──▶ Draining (jobs finish) ──▶ Stopping (engines end) ──▶ Done
//!                              │ second signal            │ second signal
//!                              └──────────────────────────┴──▶ Done: what still runs is killed
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use auxot_admin::{OperatorServer, Recorder, Server, Shown};
use auxot_catalog::{Catalog, path_text};
use auxot_engine::Host;
use auxot_fleet::{Devices, Fleet, FleetSettings, Paths, Sample, Tasks, device_warning};
use auxot_gateway::Gateway;
use auxot_gpu::Sampler;
use auxot_otlp::Exporter;
use auxot_relay::{BUCKETS, GAP_BUCKETS, GAP_HISTOGRAMS, HISTOGRAMS, Relay, RelayEnd};
use auxot_settings::{Loaded, Settings, Sources};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::causes::with_causes;
use crate::downloads;
use crate::logging::{LevelControl, Log};
use crate::operator::Operator;
use crate::places::{catalog_index, of_service, state_dir};
use crate::reload::{Reload, StopLimits};
use crate::service_manager;
use crate::shutdown::{HangUps, Shutdown};

/// The router refuses the key: only the operator can fix it, so a service manager should not retry (`EX_NOPERM`).
const EXIT_KEY_REFUSED: u8 = 77;
/// A required resource is missing (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;

/// How long the start waits for the first sample of the devices.
const FIRST_SAMPLE: Duration = Duration::from_secs(5);

/// Runs the worker; a reload reads the settings again from `sources`.
pub(crate) fn run(settings: Loaded<Settings>, sources: Sources, log: &Log) -> ExitCode {
    // Files and sockets of the worker and its engines are private to its user.
    nix::sys::stat::umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // One thread: a token needs no wake-up of another thread, and an idle worker stays small. Blocking work (reading
    // headers, sampling devices, starting processes) has threads of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            error!(%fault, "cannot start the runtime");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let (lines, level) = (log.hold_back(), log.level());
    let code = runtime.block_on(async {
        // Tasks, and not this future itself: each wake-up of it would be another system call.
        let (mut beside, mut serving) = (JoinSet::new(), JoinSet::new());
        beside.spawn(lines);
        serving.spawn(serve(settings, sources, level));
        match serving.join_next().await {
            Some(Ok(Ok(code))) => code,
            Some(Ok(Err(fault))) => {
                error!(fault = with_causes(fault.as_ref()), "cannot serve");
                ExitCode::from(EXIT_UNAVAILABLE)
            }
            // A panic, which has been logged.
            Some(Err(_)) | None => ExitCode::FAILURE,
        }
    });
    // A blocking task that hangs (on a dead network file system, for example) must not delay the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let left = auxot_engine::end_descendants();
    if left > 0 {
        warn!(left, "killed processes that engines had left behind");
    }
    code
}

async fn serve(settings: Loaded<Settings>, sources: Sources, level: LevelControl) -> anyhow::Result<ExitCode> {
    let mut shutdown = Shutdown::listen().context("cannot listen for signals")?;
    let hang_ups = HangUps::listen().context("cannot listen for signals")?;
    for reason in &settings.ignored {
        warn!(reason, "setting ignored");
    }
    for warning in &settings.old_names {
        warn!(%warning, "a setting has its old name");
    }
    info!(version = auxot_settings::VERSION, file = settings.file.as_deref().map(path_text), "auxot-worker starts");
    let reload = Reload::new(sources, settings.clone(), hang_ups);
    let operator = Arc::new(Operator::new(&shutdown, reload.requests(), level));
    let opened = tokio::select! {
        opened = open(settings.value) => match opened? {
            Ok(components) => components,
            // The relay has logged it with the router's message.
            Err(KeyRefused) => return Ok(ExitCode::from(EXIT_KEY_REFUSED)),
        },
        () = shutdown.requested() => return Ok(ExitCode::SUCCESS),
    };
    let Components { fleet, tasks, front_ends, server, operators, recorder, sampler, exporter } = opened;
    // Without a router there is nothing that could keep it from giving jobs.
    let trouble = front_ends.relay.as_ref().map_or_else(|| watch::channel(None).1, Relay::trouble);
    let (limits, current) = (reload.limits(), reload.settings());
    let shown = Shown { router: trouble.clone(), metrics: server.status() };
    // These run until the last engine has exited.
    let beside = async {
        tokio::join!(
            tasks.run(),
            operators.serve(fleet.clone(), shown, operator),
            server.serve(recorder, fleet.clone(), trouble.clone()),
            service_manager::report(fleet.clone(), trouble),
            reload.serve(fleet.clone()),
            downloads::run(fleet.clone(), current),
        )
    };
    tokio::pin!(beside);
    let closing = close(&mut shutdown, front_ends, &fleet, limits);
    let code = tokio::select! {
        code = closing => code,
        _ = &mut beside => ExitCode::FAILURE,
    };
    drop(sampler);
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    info!("auxot-worker ends");
    Ok(code)
}

/// Everything that runs while the worker serves.
struct Components {
    fleet: Fleet,
    tasks: Tasks,
    front_ends: FrontEnds,
    server: Server,
    operators: OperatorServer,
    recorder: Recorder,
    sampler: Sampler,
    exporter: Option<Exporter>,
}

/// Where jobs come from.
struct FrontEnds {
    /// Jobs of the router, unless the worker serves programs of this host alone.
    relay: Option<Relay>,
    /// Requests of programs of this host.
    gateway: Gateway,
}

/// The router refused the key before anything was loaded.
struct KeyRefused;

async fn open(mut settings: Settings) -> anyhow::Result<Result<Components, KeyRefused>> {
    let histograms: Vec<(&str, &[f64])> = HISTOGRAMS
        .iter()
        .chain(&auxot_engine::metrics::HISTOGRAMS)
        .chain(&auxot_fleet::HISTOGRAMS)
        .map(|name| (*name, BUCKETS.as_slice()))
        .chain(GAP_HISTOGRAMS.iter().map(|name| (*name, GAP_BUCKETS.as_slice())))
        .collect();
    let recorder = Recorder::install(&histograms)?;
    auxot_relay::describe_metrics();
    auxot_fleet::describe_metrics();
    auxot_engine::metrics::describe();
    let (state, index) = (state_dir(&settings), catalog_index(&settings));
    settings.engine.log_dir.get_or_insert_with(|| of_service("LOGS_DIRECTORY").unwrap_or_else(|| state.join("logs")));
    let has_router = settings.router.key.is_some() || settings.router.key_file.is_some();
    let mut relay = if has_router { Some(Relay::new(settings.router, &state)?) } else { None };
    let router_url = relay.as_ref().map(Relay::router_url);
    let gateway = Gateway::open(settings.gateway).await?;
    let server = Server::open(&settings.metrics, metrics_connections()).await;
    let named = settings.gpu.clone();
    let (sampler, mut devices) = Sampler::start(settings.gpu);
    let files = settings.catalog.clone();
    let scan = tokio::task::spawn_blocking(move || scan(&files, &index));
    let host = Host::open(settings.engine.clone());
    let desired = async {
        match &mut relay {
            Some(relay) => relay.first_desired().await,
            None => Ok(None),
        }
    };
    let (catalog, host, (), desired) = tokio::join!(scan, host, first_sample(&mut devices), desired);
    let (catalog, host) = (catalog.context("cannot scan the models folders")?, host?);
    info!(models = catalog.models().len(), damaged = catalog.damaged().len(), "models folders scanned");
    if let Some(setting) = unknown_devices(&named).await {
        warn!(setting, "a setting names a device that this host does not have");
    }
    let Ok(desired) = desired else { return Ok(Err(KeyRefused)) };
    let paths = Paths { catalog: Arc::new(catalog), state };
    let fleet_settings = FleetSettings {
        fleet: settings.fleet,
        engine: settings.engine,
        placement: settings.placement,
        catalog: settings.catalog,
    };
    let version = auxot_settings::VERSION.to_owned();
    let operators = OperatorServer::new(host.runtime_dir(), settings.page, version, router_url);
    let refresh = sampler.handle();
    let devices = Devices::new(devices, move || refresh.request());
    let (fleet, tasks) = Fleet::open(fleet_settings, host, paths, devices, desired);
    let exporter = Exporter::start(&settings.traces, auxot_settings::VERSION, fleet.jobs())?;
    let front_ends = FrontEnds { relay, gateway };
    Ok(Ok(Components { fleet, tasks, front_ends, server, operators, recorder, sampler, exporter }))
}

/// A warning about names in `gpu.devices` that match no device of this host, usable or not.
async fn unknown_devices(named: &auxot_gpu::Config) -> Option<String> {
    if named.devices.is_empty() {
        return None;
    }
    let (names, all) = (named.devices.clone(), auxot_gpu::Config { devices: Vec::new(), ..named.clone() });
    let look = tokio::task::spawn_blocking(move || device_warning(&names, &auxot_gpu::sample_once(&all)));
    // A hanging driver must not delay the start.
    tokio::time::timeout(FIRST_SAMPLE, look).await.ok()?.ok()?
}

/// Waits for the first sample of the devices, which decides sizes and placement. A hanging driver must not prevent the
/// start, so the wait is bounded; after it the devices are unknown.
async fn first_sample(devices: &mut watch::Receiver<Arc<Sample>>) {
    if tokio::time::timeout(FIRST_SAMPLE, devices.changed()).await.is_err() {
        warn!(after_s = FIRST_SAMPLE.as_secs(), "no sample of the devices yet: starting without one");
    }
}

/// A small part of the open files: the others are for engines and router connections.
fn metrics_connections() -> usize {
    let open_files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(open_files / 16).unwrap_or(usize::MAX).clamp(2, 32)
}

/// Scans the models folders and caches the headers for the next start.
fn scan(files: &auxot_catalog::Config, index: &Path) -> Catalog {
    let catalog = Catalog::recall(files, &[], index);
    if catalog.opened() > 0
        && let Err(error) = catalog.remember(index)
    {
        warn!(path = %index.display(), %error, "cannot cache the headers of the models");
    }
    catalog
}

/// Serves until a signal or a refused key, then drains and stops; a second signal ends both at once.
async fn close(
    shutdown: &mut Shutdown,
    front_ends: FrontEnds,
    fleet: &Fleet,
    limits: watch::Receiver<StopLimits>,
) -> ExitCode {
    let request_drain = watch::Sender::new(None);
    let serving = serve_jobs(front_ends, fleet, &request_drain, &limits);
    tokio::pin!(serving);
    let (end, requests_cut_short) = tokio::select! {
        end = &mut serving => end,
        () = shutdown.requested() => {
            let limit = limits.borrow().drain;
            info!(from = "serving", to = "draining", limit_s = limit.as_secs_f64(), "worker");
            service_manager::stopping();
            fleet.freeze();
            request_drain.send_replace(Some(limit));
            tokio::select! {
                end = &mut serving => end,
                () = shutdown.requested() => return killed(fleet),
            }
        }
    };
    let stop_worst_case = limits.borrow().stop;
    info!(from = "draining", to = "stopping", limit_s = stop_worst_case.as_secs_f64(), "worker");
    tokio::select! {
        () = fleet.stop() => {}
        () = shutdown.requested() => return killed(fleet),
        () = tokio::time::sleep(stop_worst_case + Duration::from_secs(1)) => {
            warn!("an engine does not exit; its process is left to the kernel");
        }
    }
    match end {
        RelayEnd::Drained { cut_short } => {
            if cut_short + requests_cut_short > 0 {
                warn!(cut_short = cut_short + requests_cut_short, "jobs were cut short");
            }
            ExitCode::SUCCESS
        }
        // The relay has logged it with the router's message.
        RelayEnd::KeyRefused { .. } => ExitCode::from(EXIT_KEY_REFUSED),
    }
}

/// Runs the front ends until they are drained, or the router refuses the key. The second part of the result is the number of
/// local requests that were cut short.
async fn serve_jobs(
    front_ends: FrontEnds,
    fleet: &Fleet,
    request_drain: &watch::Sender<Option<Duration>>,
    limits: &watch::Receiver<StopLimits>,
) -> (RelayEnd, usize) {
    let relaying = async {
        let drain = drain_requested(request_drain);
        match front_ends.relay {
            Some(relay) => {
                let end = Box::pin(relay.run(fleet.clone(), drain)).await;
                // A refused key ends the worker, and so the other front end.
                request_drain
                    .send_if_modified(|drain| drain.is_none() && drain.replace(limits.borrow().drain).is_none());
                end
            }
            None => {
                drain.await;
                RelayEnd::Drained { cut_short: 0 }
            }
        }
    };
    tokio::join!(relaying, front_ends.gateway.run(fleet.clone(), drain_requested(request_drain)))
}

/// Resolves with the time for running jobs when the drain begins.
fn drain_requested(request: &watch::Sender<Option<Duration>>) -> impl Future<Output = Duration> + use<> {
    let mut request = request.subscribe();
    async move {
        // The sender is never dropped while this is awaited.
        request.wait_for(Option::is_some).await.ok().and_then(|limit| *limit).unwrap_or_default()
    }
}

/// The second signal: engines are killed when their tasks are dropped.
fn killed(fleet: &Fleet) -> ExitCode {
    warn!("shutdown requested again: ending at once");
    fleet.kill();
    ExitCode::FAILURE
}
