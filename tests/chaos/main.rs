//! `make chaos`: every fault at every moment, and its outcome.
//!
//! A row is a [`Fault`] with `inject`, a column a [`Moment`] with `reach`, a cell one worker, with a fake
//! engine as its child and a router that behaves correctly unless it is the fault. The expected outcomes are in one
//! table, `expected::TABLE`; the rules for all cells are in `cell`.
//!
//! Moments are exact: the fake engine is held (`--hold`) at the moment of the fault and released afterwards. Nothing
//! sleeps except for the jump of the clock; everything else waits for a line, a message, a report or an exit, with a
//! deadline. A cell runs once: one that fails sometimes has found a fault.
//!
//! Cells that need no hold run with the real engine too, with a tiny model whose text is known. `local` has the rows of clients
//! of the gateway.
//!
//! Each row is a test that can be run alone: `cargo test --test chaos -- child_killed`. A run
//! of more than one row prints the table at its end; every row also leaves its figures in `target/chaos/ROW.json`, from
//! which `--table` prints the table of the last runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod actor;
mod cell;
mod expected;
mod fault;
mod job;
mod local;
mod moment;
mod row;
mod stage;
mod table;

use auxot_tests::DEADLINE;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--table") {
        table::print(&table::read());
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let trial = |(fault, actor)| {
        let name = row::name(fault, actor).replace([' ', ','], "_").replace("__", "_");
        Trial::test(name, move || row::play(fault, actor))
    };
    let local = local::LocalFault::ALL.map(|fault| {
        let name = fault.name().replace([' ', ','], "_").replace("__", "_");
        Trial::test(name, move || local::play(fault))
    });
    let conclusion = libtest_mimic::run(&arguments, expected::rows().map(trial).chain(local).collect());
    if conclusion.num_passed + conclusion.num_failed > 1 {
        table::print(&table::read());
    }
    conclusion.exit_code()
}
