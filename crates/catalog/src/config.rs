//! Where this host keeps its models.

mod stores;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The settings of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folders that hold models, searched with their sub-folders: a list, or one text with `:` between
    /// the paths. A leading `~/` is the user's home.
    #[serde(deserialize_with = "folders")]
    pub models_dir: Vec<PathBuf>,
    /// One more model file, anywhere on the host.
    pub model_file: Option<PathBuf>,
    /// Whether the models of other programs are used too, read only, where those keep them.
    pub stores: bool,
    /// Your own names for models, as `alias=model`: a list, or one text with commas.
    #[serde(deserialize_with = "aliases")]
    pub aliases: Vec<Alias>,
}

/// An operator's own name for a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias {
    /// The name that jobs may use.
    pub name: String,
    /// The model it means, by any name that finds it.
    pub model: String,
}

impl TryFrom<String> for Alias {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once('=').map(|(name, model)| (name.trim(), model.trim())) {
            Some((name, model)) if !name.is_empty() && !model.is_empty() => {
                Ok(Self { name: name.to_string(), model: model.to_string() })
            }
            _ => Err(format!("cannot read {text:?} as an alias: write it as name=model")),
        }
    }
}

impl From<Alias> for String {
    fn from(alias: Alias) -> Self {
        format!("{}={}", alias.name, alias.model)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            models_dir: vec![PathBuf::from("~/.auxot/models")],
            model_file: None,
            stores: false,
            aliases: Vec::new(),
        }
    }
}

impl Config {
    /// The stores of other programs that are scanned, as this process's environment names them.
    pub(crate) fn store_folders(&self) -> Vec<PathBuf> {
        if self.stores { stores::folders(|name| std::env::var(name).ok()) } else { Vec::new() }
    }
}

/// Replaces a leading `~/` by the home directory, where there is one.
#[must_use]
pub fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// An environment variable can only hold one text, so a text stands for a list too.
fn folders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    Ok(match TextOrList::deserialize(deserializer)? {
        TextOrList::Text(text) => std::env::split_paths(&text).filter(|path| !path.as_os_str().is_empty()).collect(),
        TextOrList::List(list) => list.into_iter().map(PathBuf::from).collect(),
    })
}

/// As [`folders`], with commas.
fn aliases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Alias>, D::Error> {
    let texts = match TextOrList::deserialize(deserializer)? {
        TextOrList::Text(text) => {
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_string).collect()
        }
        TextOrList::List(list) => list,
    };
    texts.into_iter().map(|text| Alias::try_from(text).map_err(D::Error::custom)).collect()
}

/// One text with dividers, or a list.
enum TextOrList {
    Text(String),
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for TextOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = TextOrList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOrList::Text(text.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(TextOrList::List(texts))
            }
        }
        deserializer.deserialize_any(Either)
    }
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
    fn an_alias_is_a_name_and_a_model() {
        let text: Config = serde_json::from_str(r#"{"aliases":"gpt-4o = llama-3.3-70b, small=qwen-0.5b"}"#).unwrap();
        let list: Config = serde_json::from_str(r#"{"aliases":["gpt-4o=llama-3.3-70b","small=qwen-0.5b"]}"#).unwrap();
        assert_eq!(text, list);
        assert_eq!(text.aliases[0], Alias { name: "gpt-4o".into(), model: "llama-3.3-70b".into() });
        let written = serde_json::to_string(&text).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&written).unwrap(), text);
        assert!(
            serde_json::from_str::<Config>(r#"{"aliases":["gpt-4o"]}"#).unwrap_err().to_string().contains("name=model")
        );
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<Config>(r#"{"model_dir":"/a"}"#).is_err());
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand_home(Path::new("~/models")), home.join("models"));
        assert_eq!(expand_home(Path::new("/~/models")), Path::new("/~/models"));
    }
}
