//! A fake `llama-server` b10434: the same arguments, states, sockets and texts, with switches for every fault.
//!
//! It is a real program, so that real signals, process groups, pipes and sockets are what a test exercises. It holds
//! no model: an answer is made of fixed words, at a pace the switches name. Where it is simpler than the engine, the
//! module that is simpler says so.
//!
//! The order is the engine's: arguments, then bind, then load (503 meanwhile, state lines on stdout in child
//! mode), then ready; the handler for SIGTERM comes after the load, so that a TERM during the load kills at once.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is the interface that is being imitated")]

mod answer;
mod api;
mod arguments;
mod cards;
mod chat;
mod child_mode;
mod connection;
mod engine;
mod exits;
mod hold;
mod http;
mod log;
mod model;
mod offload;
mod report;
mod request;
mod run;
mod server;
mod slots;
mod stream;
mod switches;

use std::process::ExitCode;

use arguments::{Action, Arguments};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Arguments::parse(&words) {
        Ok(Action::Help) => {
            print!("{}", *arguments::HELP_TEXT);
            return ExitCode::from(u8::from(arguments::is_of_2024()));
        }
        Ok(Action::Version) => eprint!("{}", arguments::VERSION),
        Ok(Action::ListDevices) => print!("{}", cards::list()),
        Ok(Action::Grandchild) => run::idle(),
        Ok(Action::Serve(arguments)) => return serve(*arguments, words),
        Err(line) => {
            eprintln!("{line}");
            return ExitCode::from(1);
        }
    }
    ExitCode::SUCCESS
}

fn serve(arguments: Arguments, words: Vec<String>) -> ExitCode {
    if run::daemonises(&arguments, &words) {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            biased;
            // First, so that its signals are handled before a test can know of this process.
            code = exits::signalled() => code,
            code = run::run(arguments, words) => code,
        }
    });
    // The stdin reader may be blocked in a read that never ends.
    runtime.shutdown_background();
    ExitCode::from(code)
}
