//! A made-up NVIDIA driver for whole programs: a library whose cards are lines of a text file.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The driver of one test. What the lines of its state mean is written in the library's own source.
#[derive(Debug)]
pub struct FakeNvml {
    library: PathBuf,
    state: PathBuf,
}

impl FakeNvml {
    /// Compiles the library into a folder, with the toolchain that compiled this test; it needs nothing but `std`.
    pub fn new(folder: &Path) -> FakeNvml {
        // The target folder is shared between checkouts, so the place where this was compiled may be gone.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
        let (library, state) = (folder.join("libfake_nvml.so"), folder.join("nvml-state"));
        let output = Command::new(if rustc.exists() { rustc } else { PathBuf::from("rustc") })
            .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=fake_nvml", "-O", "-o"])
            .arg(&library)
            .arg(here.join("../crates/gpu/tests/fake_nvml/lib.rs"))
            // Where it looks unless a process is told otherwise.
            .env("FAKE_NVML_STATE", &state)
            .output()
            .unwrap_or_else(|error| panic!("cannot run rustc: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        FakeNvml { library, state }
    }

    /// The library.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Cards of so many MiB in total and in use, each with a name.
    pub fn cards(&self, cards: &[(u64, u64, &str)]) {
        let line = |(total, used, name): &(u64, u64, &str)| format!("gpu {} {} {name}\n", total << 20, used << 20);
        self.set(&cards.iter().map(line).collect::<String>());
    }

    /// Writes the state, whole.
    pub fn set(&self, state: &str) {
        let beside = self.state.with_extension("new");
        let written = std::fs::write(&beside, state).and_then(|()| std::fs::rename(&beside, &self.state));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", self.state.display()));
    }

    /// Shows the cards to a worker.
    pub fn show(&self, command: &mut Command) {
        command.env("AUXOT_NVML_PATH", &self.library);
    }
}
