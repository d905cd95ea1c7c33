//! A fake NVIDIA driver for whole programs, and the memory of fake engines on its devices.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries;

const LIBRARY: &str = "libfake_nvml.so";

/// The driver of one test: a folder with a library, its state and a folder for each card. What the lines of the state mean is
/// written in the library's own source.
#[derive(Debug)]
pub struct FakeNvml {
    folder: PathBuf,
}

impl FakeNvml {
    /// Writes the library into a separate folder below this one.
    pub fn new(folder: &Path) -> FakeNvml {
        let (folder, library) = (folder.join("cards"), compiled());
        let copied = std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(&library, folder.join(LIBRARY)));
        copied.unwrap_or_else(|error| panic!("cannot copy {} into {}: {error}", library.display(), folder.display()));
        FakeNvml { folder }
    }

    /// The value for `--cards`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The library.
    pub fn library(&self) -> PathBuf {
        self.folder.join(LIBRARY)
    }

    /// Cards of so many MiB in total and in use, each with a name.
    pub fn cards(&self, cards: &[(u64, u64, &str)]) {
        let line = |(total, used, name): &(u64, u64, &str)| format!("gpu {} {} {name}\n", total << 20, used << 20);
        self.set(&cards.iter().map(line).collect::<String>());
    }

    /// Writes the state, whole.
    pub fn set(&self, state: &str) {
        let (draft, path) = (self.folder.join("state.draft"), self.folder.join("state"));
        let written = std::fs::write(&draft, state).and_then(|()| std::fs::rename(&draft, &path));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }

    /// The id of a card.
    pub fn id(card: usize) -> String {
        format!("GPU-fake-{:04}", card * 100)
    }

    /// Bytes that a process used on a card, from its record; also after its exit.
    pub fn held(&self, card: usize, pid: u32) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.join(Self::id(card)).join(pid.to_string())).ok()?;
        text.split(' ').next()?.parse().ok()
    }

    /// Shows the cards to a worker.
    pub fn show(&self, command: &mut Command) {
        command.env("AUXOT_NVML_PATH", self.library());
    }
}

/// The library, compiled by the first test that needs it, with the toolchain that compiled the test; it needs nothing but `std`.
fn compiled() -> PathBuf {
    // The target folder is shared between checkouts, so the place where this was compiled may be gone.
    let here =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let source = here.join("../crates/gpu/tests/fake_nvml");
    let mut texts = DefaultHasher::new();
    for file in ["lib.rs", "cards.rs"] {
        let text = std::fs::read(source.join(file));
        text.unwrap_or_else(|error| panic!("cannot read {}: {error}", source.join(file).display())).hash(&mut texts);
    }
    let library = binaries::folder().join(format!("fake_nvml-{:016x}.so", texts.finish()));
    if !library.exists() {
        // In a folder of its own, with all that the compiler leaves beside it: another test may be doing the same.
        let folder =
            tempfile::tempdir_in(binaries::folder()).unwrap_or_else(|error| panic!("cannot make a folder: {error}"));
        let draft = folder.path().join("fake_nvml.so");
        compile(&source.join("lib.rs"), &draft);
        std::fs::rename(&draft, &library).unwrap_or_else(|error| panic!("cannot name {}: {error}", library.display()));
    }
    library
}

fn compile(source: &Path, library: &Path) {
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let output = Command::new(if rustc.exists() { rustc } else { PathBuf::from("rustc") })
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=fake_nvml", "-O", "-Cdebuginfo=0", "-o"])
        .args([library, source])
        .output()
        .unwrap_or_else(|error| panic!("cannot run rustc: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
