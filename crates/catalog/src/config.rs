//! Where this host keeps its models.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The settings of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folders that hold models, searched with their sub-folders: a list, or one text with `:` between
    /// the paths. A leading `~/` is the user's home.
    #[serde(deserialize_with = "folders")]
    pub models_dir: Vec<PathBuf>,
    /// One more model file, wherever it lies.
    pub model_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { models_dir: vec![PathBuf::from("~/.auxot/models")], model_file: None }
    }
}

/// Replaces a leading `~/` by the home directory, where there is one.
pub(crate) fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// An environment variable can only hold one text, so a text stands for a list too.
fn folders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    struct Folders;
    impl<'de> Visitor<'de> for Folders {
        type Value = Vec<PathBuf>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path, several paths with `:` between them, or a list of paths")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(std::env::split_paths(text).filter(|path| !path.as_os_str().is_empty()).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut folders = Vec::new();
            while let Some(folder) = list.next_element()? {
                folders.push(folder);
            }
            Ok(folders)
        }
    }
    deserializer.deserialize_any(Folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_a_list_mean_the_same() {
        let text: Config = serde_json::from_str(r#"{"models_dir":"/a:/b"}"#).unwrap();
        let list: Config = serde_json::from_str(r#"{"models_dir":["/a","/b"]}"#).unwrap();
        assert_eq!(text, list);
        assert_eq!(text.models_dir, [PathBuf::from("/a"), PathBuf::from("/b")]);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<Config>(r#"{"model_dir":"/a"}"#).is_err());
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand(Path::new("~/models")), home.join("models"));
        assert_eq!(expand(Path::new("/~/models")), Path::new("/~/models"));
    }
}
