//! A folder of one test: models with their sidecars, sockets, logs; gone when the test is.

use std::path::{Path, PathBuf};

use crate::gguf::ModelFile;

/// A private temporary folder with a short path, because a unix socket's path must stay under 100 bytes.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// Makes the folder.
    pub fn new() -> Scratch {
        let folder = tempfile::Builder::new().prefix("auxot-").tempdir_in("/tmp");
        Scratch { folder: folder.unwrap_or_else(|error| panic!("cannot make a scratch folder: {error}")) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The models folder, created on first use.
    pub fn models(&self) -> PathBuf {
        let models = self.join("models");
        std::fs::create_dir_all(&models).unwrap_or_else(|error| panic!("cannot make {}: {error}", models.display()));
        models
    }

    /// Writes a model for the fake engine: a minimal GGUF of that name with `switches` in the sidecar beside it.
    pub fn fake_model(&self, file_name: &str, switches: &str) -> PathBuf {
        let stem = file_name.trim_end_matches(".gguf");
        let path = ModelFile::named(stem).write(&self.models(), file_name);
        set_switches(&path, switches);
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// Writes the sidecar that the fake engine reads at its next start, whole or not at all: one may start just now.
pub fn set_switches(model: &Path, switches: &str) {
    let beside = |ending: &str| {
        let mut path = model.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (path, draft) = (beside(".fake"), beside(".fake.draft"));
    let written = std::fs::write(&draft, switches).and_then(|()| std::fs::rename(&draft, &path));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
