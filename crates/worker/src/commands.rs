//! The commands that look at this host and end: they need neither router nor key nor engine.

mod bar;
mod console;
mod fit;
mod fit_text;
mod models;
mod numbers;
mod show;

use std::process::ExitCode;

use auxot_catalog::{Catalog, MeasurementHistory, Model};
use auxot_fleet::{device_warning, table_warnings};
use auxot_settings::{Loaded, Settings};

use crate::arguments::{Look, What};
use console::Console;
use fit::Around;

/// There is no such model, or it cannot be used (`EX_NOINPUT`).
const EXIT_NO_MODEL: u8 = 66;

/// Runs a command to its end.
pub(crate) fn run(settings: &Settings, look: &Look) -> ExitCode {
    let console = Console::of_this_program();
    let catalog = Catalog::recall(&settings.catalog, &[], &crate::worker::catalog_index(settings));
    match &look.what {
        What::Models => {
            complain(&console, &name_warnings(settings, &catalog));
            console.say(&if look.json { models::json(&catalog) } else { models::text(&catalog, &console) });
            ExitCode::SUCCESS
        }
        What::Show(name) => with_model(&catalog, name, &console, |model| {
            let parameters = fit::usual_parameters(settings, &settings.fleet.of(model, &catalog), model);
            console.say(&if look.json {
                show::json(model, &parameters)
            } else {
                show::text(model, &parameters, &console)
            });
            ExitCode::SUCCESS
        }),
        What::Fit(wish) => with_model(&catalog, &wish.name, &console, |model| {
            complain(&console, &warnings(settings, &catalog));
            let sample = auxot_gpu::look(&settings.gpu);
            let history =
                MeasurementHistory::open(&auxot_fleet::measurements_file(&crate::worker::state_dir(settings)));
            let around = Around { sample: &sample, identity: catalog.identity(model), history: &history };
            let verdict = match fit::judge(settings, &settings.fleet.of(model, &catalog), model, wish, &around) {
                Ok(verdict) => verdict,
                Err(unknown) => {
                    console.complain(&unknown.to_string());
                    return ExitCode::FAILURE;
                }
            };
            console.say(&if look.json { verdict.json() } else { fit_text::text(&verdict, &console) });
            if verdict.outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }),
    }
}

/// What is in force, and behind it what of that changes nothing on this host.
pub(crate) fn effective(settings: &Loaded<Settings>) -> String {
    let mut text = settings.effective().trim_end().to_owned();
    let needs_models = !settings.value.fleet.models.is_empty() || !settings.value.catalog.aliases.is_empty();
    let catalog = || Catalog::recall(&settings.value.catalog, &[], &crate::worker::catalog_index(&settings.value));
    let catalog = if needs_models { catalog() } else { Catalog::default() };
    for warning in warnings(&settings.value, &catalog) {
        text.push_str(&format!("\n# warning: {warning}"));
    }
    text
}

/// What of the settings means nothing on this host, or more than one thing.
fn warnings(settings: &Settings, catalog: &Catalog) -> Vec<String> {
    let mut warnings = name_warnings(settings, catalog);
    if !settings.gpu.devices.is_empty() {
        let all = auxot_gpu::look(&auxot_gpu::Config { devices: Vec::new(), ..settings.gpu.clone() });
        warnings.extend(device_warning(&settings.gpu.devices, &all));
    }
    warnings
}

/// The names for models among them.
fn name_warnings(settings: &Settings, catalog: &Catalog) -> Vec<String> {
    let mut warnings = catalog.alias_warnings();
    warnings.extend(table_warnings(&settings.fleet, catalog));
    warnings
}

fn complain(console: &Console, warnings: &[String]) {
    for warning in warnings {
        console.complain(&format!("warning: {warning}"));
    }
}

fn with_model(catalog: &Catalog, name: &str, console: &Console, then: impl FnOnce(&Model) -> ExitCode) -> ExitCode {
    match catalog.resolve(name) {
        Ok(model) => then(model),
        Err(error) => {
            console.complain(&error.to_string());
            ExitCode::from(EXIT_NO_MODEL)
        }
    }
}
