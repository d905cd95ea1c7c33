//! `auxot-worker install`, `uninstall` and `list`: the worker as a service of systemd or launchd.
//!
//! The files are written first, each whole or not at all; then the service manager is asked to start the service, which it does
//! once the worker reports that it is ready. With another root nothing is started: the files are for an image of a system.

mod layout;
mod manager;
mod router;
mod unit;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use auxot_admin::control::client;
use auxot_settings::Settings;
use secrecy::ExposeSecret;

use self::layout::{Layout, MODELS};
use self::manager::{Manager, ManagerError, Service, Start};
use self::router::LocalRouter;
use super::ask::ask;
use crate::arguments::ServiceRequest;
use auxot_console::Console;

/// How long an installation waits for the router.
const ROUTER_WAIT: Duration = Duration::from_secs(30);
/// The pause between two questions to the service.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// Why the service is not installed or removed.
#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error(
        "cannot install without a key: set AUXOT_GPU_KEY or AUXOT_GPU_KEY_FILE, or AUXOT_GATEWAY_ADDR for programs of this host only"
    )]
    NoKey,
    #[error("cannot install for the system as this user: run it as root, or use --user")]
    NotRoot,
    #[error(
        "the service runs and gets no jobs within {} s: {trouble}; correct the settings and restart it, or see `auxot-worker doctor`",
        ROUTER_WAIT.as_secs()
    )]
    NoRouter { trouble: String },
    #[error("cannot use the engine {}: a service of the system does not see this folder; move it to /usr/local/lib/auxot", .0.display())]
    HiddenEngine(PathBuf),
    #[error("cannot install a router too: {} is missing; it is a part of every release", .0.display())]
    NoRouterProgram(PathBuf),
    #[error("cannot install a router too on macOS: start auxot-router by hand, and name it with AUXOT_ROUTER_URL")]
    NoRouterService,
    #[error(
        "cannot install a router too: {} says already where the worker gets its jobs; remove that file first, and install again",
        .0.display()
    )]
    HasSettings(PathBuf),
    #[error("cannot make the keys of the router: {0}")]
    Keys(String),
    #[error("cannot {action} {}: {source}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServiceError {
    let path = path.to_path_buf();
    move |source| ServiceError::File { action, path, source }
}

/// `auxot-worker install`.
pub(super) fn install(settings: &Settings, request: &ServiceRequest, console: &Console) -> ExitCode {
    end(try_install(settings, request, console), console)
}

/// `auxot-worker uninstall`.
pub(super) fn uninstall(request: &ServiceRequest, console: &Console) -> ExitCode {
    end(try_uninstall(request, console), console)
}

/// `auxot-worker list`.
pub(super) fn list(console: &Console) -> ExitCode {
    for user in [false, true] {
        let layout = Layout::new(&ServiceRequest { user, root: None, router: None });
        for (unit, service) in [(&layout.unit, Service::Worker), (&layout.router.unit, Service::Router)] {
            if unit.is_file() {
                let state = Manager::of(&layout, service).state();
                console.print(&format!("{}  {state}", unit.display()));
            }
        }
    }
    ExitCode::SUCCESS
}

fn end(ended: Result<(), ServiceError>, console: &Console) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn try_install(settings: &Settings, request: &ServiceRequest, console: &Console) -> Result<(), ServiceError> {
    let layout = Layout::new(request);
    if !request.user && request.root.is_none() && !rustix::process::getuid().is_root() {
        return Err(ServiceError::NotRoot);
    }
    let program = std::env::current_exe().map_err(fault("find", Path::new("this program")))?;
    let router = LocalRouter::of(request.router, &layout, &program)?;
    let mut settings = settings.clone();
    if let Some(url) = router.as_ref().and_then(LocalRouter::url) {
        settings.router.url = url;
    }
    let key = key(&settings)?;
    if key.is_none() && !layout.key.is_file() && !settings.gateway.is_on() && router.is_none() {
        return Err(ServiceError::NoKey);
    }
    let engine = engine(&settings, request)?;
    let installed = router.map(|router| router.write(&layout)).transpose()?;
    let pair = installed.as_ref().and_then(|installed| installed.keys.as_ref());
    write_worker(&layout, &program, pair.map(|pair| pair.worker_key.clone()).or(key).as_deref())?;
    let has_key = layout.key.is_file();
    if !layout.config.exists() {
        let text = unit::config(&settings, has_key, engine.as_deref(), layout.own(&layout.models));
        write(&layout.config, text.as_bytes(), 0o644)?;
    }
    write(&layout.unit, unit::text(&layout, &settings, has_key).as_bytes(), 0o644)?;
    let written = layout.files().into_iter().filter(|path| path.is_file()).map(|path| path.display().to_string());
    console.print(&format!("written: {}", written.collect::<Vec<_>>().join(", ")));
    if let Some(pair) = pair {
        console.print(&format!("API key for clients of the router, shown this once: {}", pair.api_key));
    }
    if request.root.is_some() {
        return Ok(());
    }
    if let Some(installed) = &installed {
        let manager = Manager::of(&layout, Service::Router);
        manager.start(installed.start)?;
        console.print(&format!("the router runs: {}", manager.state()));
    }
    let manager = Manager::of(&layout, Service::Worker);
    manager.start(Start::Restart)?;
    console.print(&format!("the service runs: {}", manager.state()));
    if has_key { await_router(&settings, console) } else { Ok(()) }
}

/// Writes the program and its key, and makes the models folder.
fn write_worker(layout: &Layout, program: &Path, key: Option<&str>) -> Result<(), ServiceError> {
    // A program that runs cannot be written, and can be replaced.
    let bytes = fs::read(program).map_err(fault("read", program))?;
    write(&layout.program, &bytes, 0o755)?;
    if let Some(key) = key {
        write(&layout.key, format!("{key}\n").as_bytes(), 0o600)?;
    }
    fs::create_dir_all(&layout.models).map_err(fault("create", &layout.models))
}

/// Waits until the router sends jobs to the service, or says why it does not.
fn await_router(settings: &Settings, console: &Console) -> Result<(), ServiceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(fault("start", Path::new("a runtime")))?;
    let mut trouble = "it cannot be asked".to_owned();
    let asking = async {
        loop {
            if let Ok(status) = ask(settings, client::status).await {
                match status.router {
                    Some(router) if router.trouble.is_none() => return router.url,
                    Some(router) => trouble = router.trouble.unwrap_or_default(),
                    None => trouble = "no router is configured".to_owned(),
                }
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    };
    // A time-out is made within the runtime.
    let connected = runtime.block_on(async { tokio::time::timeout(ROUTER_WAIT, asking).await });
    match connected {
        Ok(url) => console.print(&format!("the router {url} has the worker")),
        Err(_) => return Err(ServiceError::NoRouter { trouble }),
    }
    Ok(())
}

fn try_uninstall(request: &ServiceRequest, console: &Console) -> Result<(), ServiceError> {
    let layout = Layout::new(request);
    for (unit, service) in [(&layout.unit, Service::Worker), (&layout.router.unit, Service::Router)] {
        if request.root.is_none() && unit.is_file() {
            Manager::of(&layout, service).stop()?;
        }
    }
    for path in layout.files() {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault("remove", path)(error)),
            _ => {}
        }
    }
    if request.root.is_none() {
        Manager::of(&layout, Service::Worker).forget()?;
    }
    // All of the state but the models.
    if let Some(state) = layout.models.parent() {
        for entry in fs::read_dir(state).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.file_name().is_some_and(|name| name != MODELS) {
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(fault("remove", &path))?;
            }
        }
    }
    for folder in [&layout.config, &layout.router.keys].into_iter().filter_map(|file| file.parent()) {
        // Other files of the operator keep it.
        let _in_use = remove_folder(folder);
    }
    console.print(&format!("removed; the models stay in {}", layout.models.display()));
    Ok(())
}

/// Removes an empty folder, or the link to one that the service manager made.
fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::read_link(folder) {
        Ok(target) => {
            fs::remove_dir(folder.with_file_name("").join(target))?;
            fs::remove_file(folder)
        }
        Err(_) => fs::remove_dir(folder),
    }
}

/// The worker key of the settings.
fn key(settings: &Settings) -> Result<Option<String>, ServiceError> {
    if let Some(key) = &settings.router.key {
        return Ok(Some(key.expose_secret().to_owned()));
    }
    let Some(file) = &settings.router.key_file else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(fault("read", file))?;
    Ok(text.lines().next().map(|line| line.trim().to_owned()))
}

/// The engine of the settings, as a path that the service sees; `None` where it is not here yet.
fn engine(settings: &Settings, request: &ServiceRequest) -> Result<Option<PathBuf>, ServiceError> {
    let binary = &settings.engine.binary;
    let found = if binary.components().count() > 1 {
        fs::canonicalize(binary).ok()
    } else {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).map(|folder| folder.join(binary)).find(|path| path.is_file())
    };
    match found {
        Some(path)
            if !request.user && ["/home", "/root", "/run/user"].iter().any(|hidden| path.starts_with(hidden)) =>
        {
            Err(ServiceError::HiddenEngine(path))
        }
        found => Ok(found),
    }
}

/// Replaces a file by one with this mode.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ServiceError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    });
    written.map_err(fault("write", path))
}
