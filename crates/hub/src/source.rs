//! What a person asks for, as a text.

use std::path::PathBuf;

use url::Url;

use crate::digest::Sum;
use crate::repository::{Repository, is_safe_path};

/// Prefixes of a repository, besides `hf:`.
const HUB_NAMES: [&str; 4] = ["hf://", "hf:", "hf.co/", "huggingface.co/"];

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A name of the table of models.
    Name(String),
    /// A repository of the hub.
    Repository(RepositorySource),
    /// One file at an address of any host, with its digest where the address ends in `#sha256=…`.
    Url(Url, Option<Sum>),
    /// A file of this host.
    File(PathBuf),
}

/// A repository and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySource {
    /// The repository.
    pub repository: Repository,
    /// A branch, a tag or a commit; `None` is the main branch.
    pub revision: Option<String>,
    /// Which of its models.
    pub wanted: Wanted,
}

/// Which model of a repository is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The best that fits.
    Best,
    /// The one in this quantisation.
    Quant(String),
    /// The one that this file belongs to.
    File(String),
}

/// Why a text is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {text:?} as a source: {reason}; write NAME, hf:owner/repo:QUANT, https://… or a file")]
pub struct SourceError {
    text: String,
    reason: String,
}

impl Source {
    /// Reads a text.
    ///
    /// # Errors
    /// When it begins as a repository or an address and is none.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let fault = |reason: &str| SourceError { text: text.to_owned(), reason: reason.to_owned() };
        if let Some(rest) = HUB_NAMES.iter().find_map(|name| text.strip_prefix(name)) {
            return RepositorySource::parse(rest).map(Self::Repository).map_err(fault);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let mut url = Url::parse(text).map_err(|reason| fault(&reason.to_string()))?;
            let sum = match url.fragment().map(|fragment| fragment.strip_prefix("sha256=")) {
                None => None,
                Some(Some(sum)) => Some(sum.parse().map_err(|()| fault("the digest is not 64 hexadecimal digits"))?),
                Some(None) => return Err(fault("only #sha256=… may follow an address")),
            };
            url.set_fragment(None);
            return Ok(Self::Url(url, sum));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        if text.starts_with(['/', '.', '~']) {
            return Ok(Self::File(PathBuf::from(text)));
        }
        match RepositorySource::parse(text) {
            Ok(source) => Ok(Self::Repository(source)),
            Err(_) if text.trim().is_empty() => Err(fault("it is empty")),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl RepositorySource {
    /// Reads `owner/repo`, `owner/repo:QUANT`, `owner/repo:path/file.gguf`, each also with `@revision` after the repository.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (place, tail) = match text.split_once(':') {
            Some((place, tail)) => (place, Some(tail)),
            None => (text, None),
        };
        let (name, revision) = match place.split_once('@') {
            Some((_, "")) => return Err("the revision is empty"),
            Some((name, revision)) => (name, Some(revision.to_owned())),
            None => (place, None),
        };
        let repository = Repository::parse(name).ok_or("a repository is owner/name")?;
        let wanted = match tail {
            None | Some("latest") => Wanted::Best,
            Some("") => return Err("the quantisation is empty"),
            Some(tail) if tail.to_ascii_lowercase().ends_with(".gguf") => {
                if !is_safe_path(tail) {
                    return Err("the file's path may not leave its folder");
                }
                Wanted::File(tail.to_owned())
            }
            Some(tail) => Wanted::Quant(tail.to_owned()),
        };
        Ok(Self { repository, revision, wanted })
    }

    /// The same for an address of the hub's pages or of its files, `/owner/repo/resolve/main/x.gguf`.
    #[must_use]
    pub fn of_page(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').splitn(5, '/');
        let mut part = || parts.next();
        let repository = Repository::parse(&format!("{}/{}", part()?, part()?))?;
        let Some(kind) = part() else {
            return Some(Self { repository, revision: None, wanted: Wanted::Best });
        };
        let (revision, file) = (part()?.to_owned(), part()?.to_owned());
        let is_file = matches!(kind, "resolve" | "blob") && is_safe_path(&file);
        is_file.then_some(Self { repository, revision: Some(revision), wanted: Wanted::File(file) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> (String, Option<String>, Wanted) {
        match Source::parse(text) {
            Ok(Source::Repository(source)) => (source.repository.to_string(), source.revision, source.wanted),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_repository_has_a_revision_and_a_quantisation_or_a_file() {
        let name = || "a/b-GGUF".to_owned();
        for text in ["hf:a/b-GGUF", "a/b-GGUF", "hf.co/a/b-GGUF:latest", "huggingface.co/a/b-GGUF", "hf://a/b-GGUF"] {
            assert_eq!(repository(text), (name(), None, Wanted::Best), "{text}");
        }
        assert_eq!(repository("a/b-GGUF:Q4_K_M"), (name(), None, Wanted::Quant("Q4_K_M".into())));
        let file = Wanted::File("Q8_0/x-00001-of-00002.gguf".into());
        assert_eq!(repository("hf:a/b-GGUF@v1:Q8_0/x-00001-of-00002.gguf"), (name(), Some("v1".into()), file));
        for text in ["hf:a", "hf:a/b/c", "hf:a/b@", "hf:a/b:", "hf:a/b:../x.gguf", "hf:a/b:/etc/x.gguf", ""] {
            assert!(Source::parse(text).unwrap_err().to_string().contains("hf:owner/repo:QUANT"), "{text}");
        }
    }

    #[test]
    fn addresses_files_and_names_are_different_sources() {
        let sum = "0".repeat(64);
        let Ok(Source::Url(url, known)) = Source::parse(&format!("https://h/x.gguf#sha256={sum}")) else { panic!() };
        assert_eq!((url.as_str(), known.unwrap().to_string()), ("https://h/x.gguf", sum));
        assert!(Source::parse("https://h/x.gguf#sha256=1").is_err() && Source::parse("https://").is_err());
        assert!(Source::parse("https://h/x.gguf#other").is_err());
        for (text, path) in [("/m/x.gguf", "/m/x.gguf"), ("./x.gguf", "./x.gguf"), ("file:///m/x.gguf", "/m/x.gguf")] {
            assert_eq!(Source::parse(text), Ok(Source::File(path.into())), "{text}");
        }
        for name in ["llama-3.3-70b-q4_k_m", "gemma3:4b", "qwen 2.5"] {
            assert_eq!(Source::parse(name), Ok(Source::Name(name.into())), "{name}");
        }
    }

    #[test]
    fn the_hub_s_pages_mean_their_repository() {
        let of = |path| RepositorySource::of_page(path).map(|source| (source.revision, source.wanted));
        assert_eq!(of("/a/b"), Some((None, Wanted::Best)));
        let file = Some((Some("main".into()), Wanted::File("d/x.gguf".into())));
        assert_eq!((of("/a/b/blob/main/d/x.gguf"), of("a/b/resolve/main/d/x.gguf")), (file.clone(), file));
        for path in ["/a", "/a/b/tree/main/x", "/a/b/resolve/main", "/a/b/resolve/main/../x", "/../b"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
