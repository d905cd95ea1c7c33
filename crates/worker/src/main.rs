//! The program `auxot-worker`: reads its settings, starts its components, and reports its end by the exit code.

mod arguments;
mod causes;
mod commands;
mod core_dumps;
mod downloads;
mod logging;
mod operator;
mod places;
mod reload;
mod service_manager;
mod shutdown;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use arguments::{EXIT_USAGE, Invocation};

fn main() -> ExitCode {
    core_dumps::forbid();
    // Engines, connections to the router and clients of the metrics endpoint need open files.
    auxot_engine::raise_open_files();
    auxot_engine::adopt_orphans();
    let (settings, sources) = match Invocation::read(std::env::args_os(), std::env::vars_os()) {
        Invocation::Serve { settings, sources } => (settings, sources),
        Invocation::Inspect { settings, inspection } => return commands::run(&settings, &inspection),
        Invocation::PrintSettings(settings) => return print(&commands::effective(&settings)),
        Invocation::Print(text) => return print(&text),
        Invocation::Refuse(faults) => {
            let _ = writeln!(std::io::stderr(), "{faults}");
            return ExitCode::from(EXIT_USAGE);
        }
        Invocation::Restart(restart) => {
            let fault = restart.exec();
            let _ = writeln!(std::io::stderr(), "cannot restart without the key in the arguments: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let log = match logging::start(&settings.value.log) {
        Ok(log) => log,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "cannot start the log: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let code = worker::run(*settings, sources, &log);
    // The last lines are written before the process ends.
    drop(log);
    code
}

/// Prints a text on standard output.
fn print(text: &str) -> ExitCode {
    // A closed output is not a failure of this program.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}
