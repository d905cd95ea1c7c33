//! Puts the commit into the version string, where the source lies in a repository.

#![allow(clippy::print_stdout, reason = "cargo reads it there")]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // It grows with each commit; a checkout of another one writes to it too.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| format!(" ({commit})")).unwrap_or_default();
    println!("cargo:rustc-env=AUXOT_COMMIT={commit}");
}

/// What git says, if it is there and says anything.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!said.is_empty()).then_some(said)
}
