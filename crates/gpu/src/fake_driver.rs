//! A made-up NVIDIA driver for the tests of this crate.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::config::Config;

/// A driver whose state is a text file.
pub(crate) struct FakeDriver(tempfile::TempDir);

/// Where the library's source is now: the target folder is shared between checkouts, so the place where this test was
/// compiled may be gone.
fn source() -> PathBuf {
    let here =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.join("tests/fake_nvml/lib.rs")
}

impl FakeDriver {
    /// Compiles the library with the toolchain that compiled this test; it needs nothing but `std`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
        let output = Command::new(if rustc.exists() { rustc } else { PathBuf::from("rustc") })
            .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=fake_nvml", "-Cdebuginfo=0", "-o"])
            .arg(folder.path().join("libfake_nvml.so"))
            .arg(source())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(folder)
    }

    pub(crate) fn set(&self, state: &str) {
        std::fs::write(self.0.path().join("new"), state).unwrap();
        std::fs::rename(self.0.path().join("new"), self.0.path().join("state")).unwrap();
    }

    pub(crate) fn config(&self) -> Config {
        Config { nvml_path: Some(self.0.path().join("libfake_nvml.so")), ..self.without() }
    }

    /// Only this driver's cards, and samples only on request.
    pub(crate) fn without(&self) -> Config {
        let nvml_path = Some(self.0.path().join("libabsent.so"));
        let sysfs_root = self.0.path().join("sys");
        Config { nvml_path, sysfs_root, sample_interval: Duration::from_secs(3600), ..Config::default() }
    }
}

/// Two cards and four processes.
pub(crate) const TWO_CARDS: &str = "\
gpu 24000 4000 NVIDIA RTX 4090
proc 0 11 1500
proc 0 12 na
draw 0 11 1500
draw 0 13 7
gpu 80000 0 NVIDIA H100
";
