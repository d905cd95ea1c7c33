//! The commands that inspect this host, or ask the running worker, and exit. They need no router, key or engine.

mod activity;
mod ask;
mod bundle;
mod doctor;
mod fit;
mod fit_text;
mod import;
mod keys;
mod load_bar;
mod models;
mod pull;
mod remote;
mod remove;
mod service;
mod show;
mod status_text;
mod steer;
mod top;
mod verify;

pub(crate) use pull::download_of_table;

use std::process::ExitCode;

use auxot_catalog::{Catalog, MeasurementHistory, Model};
use auxot_console::Console;
use auxot_fleet::{device_warning, table_warnings};
use auxot_settings::{Loaded, Settings};

use crate::arguments::{FitRequest, Inspection, KeyCommand, Target};
use fit::HostState;

/// The model does not exist or cannot be used (`EX_NOINPUT`).
const EXIT_NO_MODEL: u8 = 66;

/// Runs a command.
pub(crate) fn run(loaded: &Loaded<Settings>, inspection: &Inspection) -> ExitCode {
    let console = Console::of_this_program();
    complain(&console, &loaded.old_names);
    let settings = &loaded.value;
    let catalog = || Catalog::recall(&settings.catalog, &[], &crate::places::catalog_index(settings));
    match &inspection.what {
        Target::Doctor(bundle) => doctor::run((settings, &catalog()), bundle.as_ref(), inspection.json, &console),
        Target::Status { watch } => ask::status(settings, *watch, inspection.json, &console),
        Target::Command { verb, model, wait } => {
            steer::models(settings, verb, model.as_deref(), *wait, inspection.json, &console)
        }
        Target::Jobs => activity::jobs(settings, inspection.json, &console),
        Target::Events { follow } => activity::events(settings, *follow, inspection.json, &console),
        Target::Logs { model, lines, follow } => {
            activity::logs(settings, (model, *lines, *follow), inspection.json, &console)
        }
        Target::Page { token } => steer::page(settings, *token, inspection.json, &console),
        Target::Mcp => ask::mcp(settings, &console),
        Target::Drain => steer::drain(settings, inspection.json, &console),
        Target::Reload => steer::reload(settings, inspection.json, &console),
        Target::LogLevel(level) => steer::log_level(settings, level.as_deref(), inspection.json, &console),
        Target::Top => top::run(settings, &console),
        Target::Config => {
            console.print(&effective(loaded));
            ExitCode::SUCCESS
        }
        Target::Import(path) => import::run(path, inspection.json, &console),
        Target::Keys(command) => print_keys(settings, command, inspection.json, &console),
        Target::Install(request) => service::install(settings, request, &console),
        Target::Uninstall(request) => service::uninstall(request, &console),
        Target::Bundle(request) => bundle::verify(&request.file, request.signers.as_deref(), inspection.json, &console),
        Target::Services => service::list(&console),
        Target::Pull(request) => pull::run(settings, request, inspection.json, &console),
        Target::Verify { name, repair } => {
            verify::run((settings, &catalog()), name.as_deref(), *repair, inspection.json, &console)
        }
        Target::Remove(name) => with_model(&catalog(), name, &console, |catalog, model| {
            remove::run(catalog, model, inspection.json, &console)
        }),
        Target::Models => print_models(settings, &catalog(), inspection.json, &console),
        Target::Show(name) => with_model(&catalog(), name, &console, |catalog, model| {
            print_model(settings, (catalog, model), inspection.json, &console)
        }),
        Target::Fit(request) => {
            let catalog = catalog();
            if catalog.resolve(&request.name).is_err() && pull::is_of_hub(settings, &request.name) {
                return remote_fit(settings, request, inspection.json, &console);
            }
            with_model(&catalog, &request.name, &console, |catalog, model| {
                run_fit(settings, (catalog, model), request, inspection.json, &console)
            })
        }
    }
}

/// `auxot-worker keys`.
fn print_keys(settings: &Settings, command: &KeyCommand, json: bool, console: &Console) -> ExitCode {
    match keys::run(settings, command, json) {
        Ok(text) => {
            console.print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            console.print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// `auxot-worker models`.
fn print_models(settings: &Settings, catalog: &Catalog, json: bool, console: &Console) -> ExitCode {
    complain(console, &name_warnings(settings, catalog));
    console.print(&if json { models::json(catalog) } else { models::text(catalog, console) });
    ExitCode::SUCCESS
}

/// `auxot-worker models show`.
fn print_model(settings: &Settings, (catalog, model): (&Catalog, &Model), json: bool, console: &Console) -> ExitCode {
    let own = settings.fleet.of(model, |name| catalog.resolve(name).ok());
    let parameters = fit::usual_parameters(settings, &own, model);
    console.print(&if json { show::json(model, &parameters) } else { show::text(model, &parameters, console) });
    ExitCode::SUCCESS
}

/// `auxot-worker fit` for a model that is not here, by its headers.
fn remote_fit(settings: &Settings, request: &FitRequest, json: bool, console: &Console) -> ExitCode {
    match pull::header_of(settings, &request.name) {
        Ok(found) => match found.model() {
            Some(model) => run_fit(settings, (found.catalog(), model), request, json, console),
            None => ExitCode::from(EXIT_NO_MODEL),
        },
        Err(error) => {
            console.print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// `auxot-worker fit`.
fn run_fit(
    settings: &Settings,
    (catalog, model): (&Catalog, &Model),
    request: &FitRequest,
    json: bool,
    console: &Console,
) -> ExitCode {
    complain(console, &warnings(settings, catalog));
    let sample = auxot_gpu::sample_once(&settings.gpu);
    let history = MeasurementHistory::open(&auxot_fleet::measurements_file(&crate::places::state_dir(settings)));
    let host_state = HostState { sample: &sample, identity: catalog.identity(model), history: &history };
    let own = settings.fleet.of(model, |name| catalog.resolve(name).ok());
    let report = match fit::check_fit(settings, &own, model, request, &host_state) {
        Ok(report) => report,
        Err(unknown) => {
            console.print_error(&unknown.to_string());
            return ExitCode::FAILURE;
        }
    };
    console.print(&if json { report.json() } else { fit_text::text(&report, console) });
    if report.outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The effective settings, followed by warnings about old names and about those without effect on this host.
pub(crate) fn effective(settings: &Loaded<Settings>) -> String {
    let mut text = settings.effective().trim_end().to_owned();
    let needs_models = !settings.value.fleet.models.is_empty() || !settings.value.catalog.aliases.is_empty();
    let catalog = || Catalog::recall(&settings.value.catalog, &[], &crate::places::catalog_index(&settings.value));
    let catalog = if needs_models { catalog() } else { Catalog::default() };
    let old_names = settings.old_names.iter().map(ToString::to_string);
    for warning in old_names.chain(warnings(&settings.value, &catalog)) {
        text.push_str(&format!("\n# warning: {warning}"));
    }
    text
}

/// Warnings about settings that have no meaning or several meanings on this host.
fn warnings(settings: &Settings, catalog: &Catalog) -> Vec<String> {
    let mut warnings = name_warnings(settings, catalog);
    if !settings.gpu.devices.is_empty() {
        let all = auxot_gpu::sample_once(&auxot_gpu::Config { devices: Vec::new(), ..settings.gpu.clone() });
        warnings.extend(device_warning(&settings.gpu.devices, &all));
    }
    warnings
}

/// The warnings about names of models.
fn name_warnings(settings: &Settings, catalog: &Catalog) -> Vec<String> {
    let mut warnings = catalog.alias_warnings();
    warnings.extend(table_warnings(&settings.fleet, catalog));
    warnings
}

fn complain(console: &Console, warnings: &[impl std::fmt::Display]) {
    for warning in warnings {
        console.print_error(&format!("warning: {warning}"));
    }
}

fn with_model(
    catalog: &Catalog,
    name: &str,
    console: &Console,
    then: impl FnOnce(&Catalog, &Model) -> ExitCode,
) -> ExitCode {
    match catalog.resolve(name) {
        Ok(model) => then(catalog, model),
        Err(error) => {
            console.print_error(&error.to_string());
            ExitCode::from(EXIT_NO_MODEL)
        }
    }
}
