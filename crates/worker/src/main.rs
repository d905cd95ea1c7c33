//! The program `auxot-worker`: reads its settings, opens the rooms of the house, and says how it ended.

mod arguments;
mod commands;
mod core_dumps;
mod logging;
mod reload;
mod shutdown;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use arguments::{EXIT_USAGE, Request};

fn main() -> ExitCode {
    core_dumps::forbid();
    // Engines, links and clients of the metrics page each need some.
    auxot_engine::raise_open_files();
    auxot_engine::adopt_orphans();
    let (settings, sources) = match Request::read(std::env::args_os(), std::env::vars_os()) {
        Request::Serve { settings, sources } => (settings, sources),
        Request::Look { settings, look } => return commands::run(&settings, &look),
        Request::PrintSettings(settings) => return print(&commands::effective(&settings)),
        Request::Tell(text) => return print(&text),
        Request::Refuse(faults) => {
            let _ = writeln!(std::io::stderr(), "{faults}");
            return ExitCode::from(EXIT_USAGE);
        }
        Request::Restart(restart) => {
            let fault = restart.exec();
            let _ = writeln!(std::io::stderr(), "cannot start again without the key in the arguments: {fault}");
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

/// Prints what the command line asks for.
fn print(text: &str) -> ExitCode {
    // A reader that has gone away is not a failure of this program.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}
