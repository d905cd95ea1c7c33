//! The built program from outside: exit codes, streams, and the key that leaves the arguments.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

use std::process::{Command, Output};

/// Runs the program with an environment of its own and an empty configuration file.
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auxot-worker"))
        .args(arguments)
        .env_clear()
        .env("AUXOT_CONFIG", "/dev/null")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_version_is_told() {
    let output = run(&["--version"]);
    let told = text(&output.stdout);
    assert!(
        told.starts_with(concat!("auxot-worker v", env!("CARGO_PKG_VERSION"))) && told.lines().count() == 1,
        "{told}"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn faults_are_all_told_with_code_64() {
    let output = run(&["--type", "cpu", "--zzz", "--heartbeat-interval", "soon"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), ""));
    let told = text(&output.stderr);
    assert!(told.starts_with("cannot use the settings, 4 faults:\n"), "{told}");
    for part in ["flag --type", "flag --zzz", "`router.heartbeat_interval`", "`router.key`: no worker key"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_key_given_as_a_flag_arrives_through_the_environment() {
    // Only a program that was started again can have found the key there: this environment held none.
    let output = run(&["--gpu-key", "gpu_secret", "--print-config"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let told = text(&output.stdout);
    assert!(told.contains("key = \"***\"  # environment variable AUXOT_GPU_KEY"), "{told}");
    assert!(!told.contains("gpu_secret"));
}
