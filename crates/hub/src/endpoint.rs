//! The hub's address and the token for it, from the variables that its other clients read.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use crate::error::HubError;
use crate::repository::Repository;

/// The public hub.
const PUBLIC: &str = "https://huggingface.co";
/// A token file has one line.
const LONGEST_TOKEN: u64 = 4096;

/// A hub and the token for it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(crate) base: Url,
    pub(crate) token: Option<SecretString>,
}

impl Endpoint {
    /// The endpoint of the settings (`configured`), else of `HF_ENDPOINT`, else the public one; the token of `HF_TOKEN`, else
    /// of the files where the hub's own client keeps it. `variable` reads the environment. Blocks.
    ///
    /// # Errors
    /// When the address cannot be used, or `HF_HUB_OFFLINE` forbids the network.
    pub fn of(configured: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if variable("HF_HUB_OFFLINE")
            .is_some_and(|value| matches!(&*value.to_ascii_lowercase(), "1" | "true" | "yes" | "on"))
        {
            return Err(HubError::Offline);
        }
        let configured = Some(configured.to_owned()).filter(|text| !text.trim().is_empty());
        let text = configured.or_else(|| variable("HF_ENDPOINT")).unwrap_or_else(|| PUBLIC.to_owned());
        let fault = |reason: &str| HubError::Endpoint { text: text.clone(), reason: reason.to_owned() };
        let mut base = Url::parse(text.trim()).map_err(|reason| fault(&reason.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(fault("it must begin with https:// or http://"));
        }
        // The path of an endpoint is a folder.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base, token: token(&variable) })
    }

    /// Whether an address is on the hub's own host; only there is the token sent.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        self.base.origin() == url.origin()
    }

    /// An address below the hub's.
    pub(crate) fn url(&self, path: &str) -> Result<Url, HubError> {
        let fault = |reason: url::ParseError| HubError::Endpoint { text: path.to_owned(), reason: reason.to_string() };
        self.base.join(path).map_err(fault)
    }

    /// The address of a file of a repository.
    pub(crate) fn file(&self, repository: &Repository, commit: &str, path: &str) -> Result<Url, HubError> {
        let mut url = self.url(&format!("{repository}/resolve/{commit}/"))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        Ok(url)
    }

    /// The path of an address below the hub's, where it is one.
    #[must_use]
    pub fn path_of<'u>(&self, url: &'u Url) -> Option<&'u str> {
        if self.owns(url) { url.path().strip_prefix(self.base.path()) } else { None }
    }
}

fn token(variable: &impl Fn(&str) -> Option<String>) -> Option<SecretString> {
    let home = variable("HOME").map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".cache")));
    let hub_home = variable("HF_HOME").map(PathBuf::from).or_else(|| cache.map(|cache| cache.join("huggingface")));
    let file = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| hub_home.map(|home| home.join("token")));
    let text = variable("HF_TOKEN").or_else(|| read_token(&file?))?;
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty())?;
    Some(SecretString::from(line.to_owned()))
}

fn read_token(file: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(LONGEST_TOKEN).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn endpoint(configured: &str, environment: &[(&str, &str)]) -> Result<Endpoint, HubError> {
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Endpoint::of(configured, find)
    }

    #[test]
    fn the_settings_win_over_the_environment_and_a_path_is_kept() {
        let environment = [("HF_ENDPOINT", "http://mirror:8080/hf")];
        let url = |endpoint: Endpoint| endpoint.url("a/b/resolve/c/d.gguf").unwrap().to_string();
        assert_eq!(url(endpoint("", &environment).unwrap()), "http://mirror:8080/hf/a/b/resolve/c/d.gguf");
        assert_eq!(url(endpoint("https://own/", &environment).unwrap()), "https://own/a/b/resolve/c/d.gguf");
        assert_eq!(url(endpoint("", &[]).unwrap()), "https://huggingface.co/a/b/resolve/c/d.gguf");
        for text in ["ftp://x", "huggingface.co", "/x"] {
            assert!(endpoint(text, &[]).unwrap_err().to_string().contains(text), "{text}");
        }
        assert!(matches!(endpoint("", &[("HF_HUB_OFFLINE", "1")]), Err(HubError::Offline)));
    }

    #[test]
    fn the_token_is_that_of_the_variable_else_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::create_dir_all(folder.path().join(".cache/huggingface")).unwrap();
        std::fs::write(folder.path().join(".cache/huggingface/token"), "of-file\n").unwrap();
        let token = |environment: &[(&str, &str)]| {
            let token = endpoint("", environment).unwrap().token;
            token.map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(token(&[("HOME", home)]).as_deref(), Some("of-file"));
        assert_eq!(token(&[("HOME", home), ("HF_TOKEN", " own ")]).as_deref(), Some("own"));
        assert_eq!(token(&[("HOME", home), ("HF_HOME", "/nowhere")]), None);
        assert!(!format!("{:?}", endpoint("", &[("HF_TOKEN", "own")]).unwrap()).contains("own"));
    }

    #[test]
    fn only_the_same_host_and_port_is_the_hub_s() {
        let hub = endpoint("http://mirror:8080/hf", &[]).unwrap();
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(hub.owns(&url("http://mirror:8080/cdn/x")));
        for other in ["http://mirror/x", "https://mirror:8080/x", "http://cdn.mirror:8080/x", "http://evil/mirror:8080"]
        {
            assert!(!hub.owns(&url(other)), "{other}");
        }
        assert_eq!(hub.path_of(&url("http://mirror:8080/hf/a/b")), Some("a/b"));
    }
}
