//! What a repository has at one commit.

use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use url::Url;

use crate::answer::{Refusal, Verdict, refusal, verdict};
use crate::client::{HubClient, NoAnswer, host_of};
use crate::digest::Sum;
use crate::download::{Download, Item, Origin};
use crate::error::HubError;
use crate::repository::{Repository, is_safe_path};
use crate::source::{RepositorySource, Wanted};
use crate::variant::{RemoteFile, Variant, VariantError, choose, usual, variants};

/// Pages of one listing.
const MOST_PAGES: usize = 200;
/// The largest page.
const LARGEST_PAGE: usize = 16 << 20;
/// The branch of a repository without a named revision.
const MAIN: &str = "main";

/// The models of a repository at one commit.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The repository.
    pub repository: Repository,
    /// The commit.
    pub commit: String,
    /// Its models.
    pub variants: Vec<Variant>,
}

impl Listing {
    /// The model that is wanted; `None` where the best that fits is wanted and there are several.
    ///
    /// # Errors
    /// When there is none, or several fit.
    pub fn choose(&self, wanted: &Wanted) -> Result<Option<&Variant>, VariantError> {
        choose(&self.variants, wanted)
    }

    /// The model that most people take, where there is one.
    #[must_use]
    pub fn usual(&self) -> Option<&Variant> {
        usual(&self.variants)
    }

    /// A model's files, with their places below a models folder.
    #[must_use]
    pub fn download(&self, variant: &Variant, models_folder: &std::path::Path) -> Download {
        let item = |file: &RemoteFile| Item {
            origin: self.origin(file),
            path: file.path.clone().into(),
            size: Some(file.size),
            sha256: file.sha256,
        };
        let folder = models_folder.join(self.repository.folder());
        Download { folder, items: variant.all_files().map(item).collect() }
    }

    pub(crate) fn origin(&self, file: &RemoteFile) -> Origin {
        let (repository, commit) = (self.repository.clone(), self.commit.clone());
        Origin::Hub { repository, commit, path: file.path.clone() }
    }
}

/// An entry of the hub's listing.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

#[derive(Debug, Deserialize)]
struct Revision {
    sha: String,
}

/// One attempt at a listing: it may be repeated, or it has failed for good.
#[derive(Debug)]
pub(crate) enum ListFault {
    Again(String, Option<std::time::Duration>),
    Final(HubError),
}

impl From<NoAnswer> for ListFault {
    fn from(fault: NoAnswer) -> Self {
        Self::Again(fault.to_string(), None)
    }
}

/// Resolves the revision and lists its files.
pub(crate) async fn list(client: &HubClient, source: &RepositorySource) -> Result<Listing, ListFault> {
    let repository = source.repository.clone();
    let revision = source.revision.as_deref().unwrap_or(MAIN);
    let base = client.endpoint.url(&format!("api/models/{repository}/")).map_err(ListFault::Final)?;
    let below = |parts: &[&str]| {
        let mut url = base.clone();
        // An endpoint has a host, so its path has segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    };
    let fault = |reason: String| ListFault::Final(HubError::Listing { repository: repository.clone(), reason });
    let (body, _) = page(client, &below(&["revision", revision]), source).await?;
    let Revision { sha: commit } = serde_json::from_slice(&body).map_err(|error| fault(error.to_string()))?;
    if commit.is_empty() || !commit.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(fault(format!("{commit:?} is no commit")));
    }
    let mut next = Some(below(&["tree", &commit]));
    if let Some(first) = &mut next {
        first.set_query(Some("recursive=true"));
    }
    let mut files = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(url) = next.take() else { break };
        let (body, headers) = page(client, &url, source).await?;
        let entries: Vec<Entry> = serde_json::from_slice(&body).map_err(|error| fault(error.to_string()))?;
        files.extend(entries.into_iter().filter(|entry| entry.kind == "file" && is_safe_path(&entry.path)).map(file));
        next = next_page(&url, &headers).filter(|next| client.endpoint.owns(next));
    }
    Ok(Listing { repository, commit, variants: variants(&files) })
}

fn file(entry: Entry) -> RemoteFile {
    let sum = |lfs: &Lfs| -> Option<Sum> { lfs.oid.trim_start_matches("sha256:").parse().ok() };
    let (size, sha256) = entry.lfs.as_ref().map_or((entry.size, None), |lfs| (lfs.size, sum(lfs)));
    RemoteFile { path: entry.path, size, sha256 }
}

/// The body and the headers of one answer of the hub's API.
async fn page(client: &HubClient, url: &Url, source: &RepositorySource) -> Result<(Vec<u8>, HeaderMap), ListFault> {
    let answer = client.get(url, &HeaderMap::new()).await?;
    let (status, headers) = (answer.response.status(), answer.response.headers().clone());
    if status.is_success() {
        return Ok((client.body(answer.response, LARGEST_PAGE).await?, headers));
    }
    match verdict(status, &headers, true, false) {
        Verdict::Later(pause) => Err(ListFault::Again(format!("{} answers {status}", host_of(url)), pause)),
        _ => Err(ListFault::Final(refused(
            client,
            source,
            refusal(status, &headers),
            status.as_u16(),
            &source.repository.to_string(),
        ))),
    }
}

/// The address of `Link: <…>; rel="next"`.
fn next_page(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    url.join(next.split_once('<')?.1.split_once('>')?.0).ok()
}

/// The error for a refusal of the hub; `what` is what was requested.
pub(crate) fn refused(
    client: &HubClient,
    source: &RepositorySource,
    refusal: Refusal,
    status: u16,
    what: &str,
) -> HubError {
    let (host, has_token) = (host_of(&client.endpoint.base), client.has_token());
    let repository = source.repository.to_string();
    let revision = source.revision.clone().unwrap_or_else(|| MAIN.to_owned());
    match refusal {
        Refusal::Gated => {
            let page = format!("{}{repository}", client.endpoint.base);
            HubError::Gated { repository, page, has_token }
        }
        Refusal::RepositoryNotFound => HubError::RepositoryNotFound { repository, host, has_token },
        Refusal::RevisionNotFound => HubError::RevisionNotFound { repository, revision },
        Refusal::FileNotFound => HubError::FileNotFound { file: what.to_owned(), host },
        Refusal::Unauthorized => HubError::Unauthorized { host, has_token },
        Refusal::Other => HubError::Status { what: what.to_owned(), host, status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_that_of_the_link() {
        let url = Url::parse("https://h/api/models/a/b/tree/c?recursive=true").unwrap();
        let next = |link: &str| {
            let headers = [(LINK, link.parse().unwrap())].into_iter().collect();
            next_page(&url, &headers).map(|url| url.to_string())
        };
        assert_eq!(next("<https://h/x?cursor=1>; rel=\"next\"").as_deref(), Some("https://h/x?cursor=1"));
        assert_eq!(next("</x>; rel=\"prev\", </y>; rel=\"next\"").as_deref(), Some("https://h/y"));
        assert_eq!(next("</x>; rel=\"prev\""), None);
    }

    #[test]
    fn an_entry_s_size_and_digest_are_those_of_large_file_storage() {
        let sum = "0".repeat(64);
        let text =
            format!(r#"{{"type":"file","oid":"1","size":134,"path":"a.gguf","lfs":{{"oid":"{sum}","size":7}}}}"#);
        let read = file(serde_json::from_str(&text).unwrap());
        assert_eq!((read.size, read.sha256.unwrap().to_string()), (7, sum));
        let small = file(serde_json::from_str(r#"{"type":"file","size":5,"path":"b"}"#).unwrap());
        assert_eq!((small.size, small.sha256), (5, None));
    }
}
