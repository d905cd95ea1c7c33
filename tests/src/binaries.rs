//! The paths of the built programs: in the same target folder and profile as the running test.

use std::path::PathBuf;

/// The path of a program of this workspace, for instance `auxot-worker`.
///
/// Cargo passes a test only the programs of its own package, so the others are found by path: a test runs from
/// `target/<profile>/deps`, the programs lie one folder up. `make test` builds them first.
pub fn program(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap_or_else(|error| panic!("cannot find this test's own file: {error}"));
    let beside = me.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    beside.unwrap_or_else(|| {
        panic!("cannot find the program {name} near {}: build it first, `cargo build --workspace --bins`", me.display())
    })
}

/// Where this test itself is.
pub(crate) fn folder() -> PathBuf {
    let me = std::env::current_exe().unwrap_or_else(|error| panic!("cannot find this test's own file: {error}"));
    me.parent().map(std::path::Path::to_owned).unwrap_or_default()
}

/// The fake engine.
pub fn fake_engine() -> PathBuf {
    program("fake-llama-server")
}
