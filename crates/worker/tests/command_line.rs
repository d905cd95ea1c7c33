//! The built program: exit codes, output streams, and the key that leaves the arguments.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

use std::process::{Command, Output};

/// Runs the program with its own environment and an empty configuration file.
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
fn the_version_is_printed() {
    let output = run(&["--version"]);
    let printed = text(&output.stdout);
    assert!(
        printed.starts_with(concat!("auxot-worker v", env!("CARGO_PKG_VERSION"))) && printed.lines().count() == 1,
        "{printed}"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn all_faults_are_printed_with_code_64() {
    let output = run(&["--type", "cpu", "--zzz", "--heartbeat-interval", "soon"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), ""));
    let printed = text(&output.stderr);
    assert!(printed.starts_with("cannot use the settings, 4 faults:\n"), "{printed}");
    for part in ["flag --type", "flag --zzz", "`router.heartbeat_interval`", "`router.key`: no worker key"] {
        assert!(printed.contains(part), "{printed}");
    }
}

#[test]
fn a_key_given_as_a_flag_arrives_through_the_environment() {
    // The key can only come from the restart: this environment has none.
    let output = run(&["--gpu-key", "gpu_secret", "--print-config"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let printed = text(&output.stdout);
    assert!(printed.contains("key = \"***\"  # environment variable AUXOT_GPU_KEY"), "{printed}");
    assert!(!printed.contains("gpu_secret"));
}
