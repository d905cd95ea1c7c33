//! Names of repositories and of the files in them. Both come from outside and become paths, so both are checked.

use std::fmt;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// The longest name of an owner or of a repository.
const LONGEST_NAME: usize = 96;
/// The longest path of a file.
const LONGEST_PATH: usize = 512;

/// A repository, `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// Reads `owner/name`; `None` where it is no such name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        (is_name(owner) && is_name(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// The folder for its files, below a models folder: `owner_name`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}_{}", self.owner, self.name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl TryFrom<String> for Repository {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("cannot read {text:?} as a repository: write it as owner/name"))
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(known)
        && !text.starts_with(['.', '-'])
        && !text.contains("..")
}

/// Whether a file's path in a repository may become a path below a folder of ours.
pub(crate) fn is_safe_path(path: &str) -> bool {
    let plain = |part: Component<'_>| match part {
        // Hidden names are for parts and records.
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    };
    let length = (1..=LONGEST_PATH).contains(&path.len());
    length
        && !path.contains(|letter: char| letter.is_control() || letter == '\\')
        && Path::new(path).components().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_and_a_name() {
        assert_eq!(Repository::parse("a-b/C_d.e-GGUF").unwrap().folder(), "a-b_C_d.e-GGUF");
        let long = format!("a/{}", "b".repeat(97));
        for text in ["", "a", "a/", "/b", "a/b/c", "a/..", "../b", "a/b c", "a/-b", "a/.b", "a/b..c", "a/b\n", &long] {
            assert_eq!(Repository::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_path_from_outside_stays_below_its_folder() {
        for path in ["a.gguf", "Q4_K_M/a-00001-of-00002.gguf", "a/b/ü.gguf"] {
            assert!(is_safe_path(path), "{path}");
        }
        let long = "a".repeat(513);
        for path in ["", "/etc/passwd", "../a", "a/../../b", ".a.part", "a/.b", "a\\b", "a\0b", "a\nb", "./a", &long] {
            assert!(!is_safe_path(path), "{path:?}");
        }
    }
}
