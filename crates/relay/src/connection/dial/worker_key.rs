//! The worker key: a setting, or read from its file for each connection.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use crate::config::Config;

/// The source of the key.
#[derive(Debug)]
pub(crate) struct WorkerKey {
    file: Option<PathBuf>,
    /// The last key that was read.
    last: Mutex<SecretString>,
}

impl WorkerKey {
    /// Reads the key for the first time.
    pub(crate) fn open(config: &Config) -> Result<Self, String> {
        let last = match (&config.key, &config.key_file) {
            (Some(key), _) => key.expose_secret().trim().to_owned(),
            (None, Some(path)) => read(path)?,
            (None, None) => String::new(),
        };
        if last.is_empty() {
            return Err("set AUXOT_GPU_KEY, or AUXOT_GPU_KEY_FILE to a file whose first line is the key".to_owned());
        }
        let file = config.key_file.clone().filter(|_| config.key.is_none());
        Ok(Self { file, last: Mutex::new(SecretString::from(last)) })
    }

    /// The current key. While the file cannot be read, the previous key stays in use.
    pub(crate) async fn current(&self) -> SecretString {
        if let Some(path) = self.file.clone() {
            match tokio::task::spawn_blocking(move || read(&path)).await {
                Ok(Ok(key)) if !key.is_empty() => return self.remember(SecretString::from(key)),
                Ok(Ok(_)) => warn!("the worker key file is empty: the previous key stays in use"),
                Ok(Err(fault)) => warn!(fault, "cannot read the worker key file again: the previous key stays in use"),
                Err(_) => {}
            }
        }
        self.last().clone()
    }

    fn remember(&self, key: SecretString) -> SecretString {
        *self.last() = key.clone();
        key
    }

    pub(crate) fn last(&self) -> std::sync::MutexGuard<'_, SecretString> {
        // Each change replaces the whole key.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_file_is_read_for_each_connection_and_an_unreadable_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, " first \nrest").expect("written");
        let config = Config { key_file: Some(path.clone()), ..Config::default() };
        let key = WorkerKey::open(&config).expect("read");
        assert_eq!(key.current().await.expose_secret(), "first");
        std::fs::write(&path, "second\n").expect("written");
        assert_eq!(key.current().await.expose_secret(), "second");
        std::fs::write(&path, "\n").expect("written");
        assert_eq!(key.current().await.expose_secret(), "second");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(key.current().await.expose_secret(), "second");
        assert!(WorkerKey::open(&config).is_err() && WorkerKey::open(&Config::default()).is_err());
    }
}
