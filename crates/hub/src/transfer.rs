//! One file, attempt by attempt, until it is whole and verified.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use auxot_backoff::Backoff;
use bytes::Bytes;
use bytesize::ByteSize;
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
use tokio::task::spawn_blocking;
use url::Url;

use crate::answer::{Refusal, Verdict, strong_etag, verdict};
use crate::body::{BodyWriter, Head};
use crate::client::{Answer, HubClient, host_of};
use crate::config::Config;
use crate::digest::Sum;
use crate::download::{Item, Origin};
use crate::error::HubError;
use crate::event::{Event, Observer};
use crate::listing::refused;
use crate::part::Part;
use crate::source::{RepositorySource, Wanted};

/// Downloads of content that does not have its digest.
const MOST_MISMATCHES: u32 = 2;
/// Bytes of one read of a local file.
const PIECE: usize = 1 << 20;

/// One file on its way.
pub(crate) struct Transfer {
    pub(crate) client: HubClient,
    pub(crate) config: Config,
    pub(crate) item: Item,
    pub(crate) name: String,
    pub(crate) observer: Observer,
}

/// The end of an attempt.
enum Attempt {
    /// All bytes are here.
    Whole,
    /// Another attempt follows, after the pause that the server asks for.
    Again(String, Option<Duration>),
}

/// Runs code that blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HubError> + Send + 'static,
) -> Result<T, HubError> {
    spawn_blocking(work).await.map_err(|fault| HubError::Setup(fault.to_string()))?
}

/// The pause before another attempt.
pub(crate) fn pause(config: &Config, failures: u32, requested: Option<Duration>) -> Duration {
    let random = auxot_access::random().map_or(u64::MAX / 2, u64::from_ne_bytes);
    let backoff = Backoff::new(config.retry_delay, config.retry_max_delay);
    requested.unwrap_or_else(|| backoff.upper_half(failures, random))
}

impl Transfer {
    fn report(&self, event: &Event<'_>) {
        (self.observer)(event);
    }

    /// Downloads until the part is whole and has its digest.
    pub(crate) async fn run(&self, mut part: Part) -> Result<Part, HubError> {
        let (mut failures, mut mismatches, mut furthest) = (0, 0, part.have());
        self.report(&Event::Started { file: &self.name, size: part.size(), have: part.have() });
        while part.whole().is_none() {
            let (returned, attempt) = self.attempt(part).await?;
            part = returned;
            let (reason, requested) = match attempt {
                Attempt::Again(reason, requested) => (reason, requested),
                Attempt::Whole => {
                    let (returned, mismatch) = verify(part).await?;
                    part = returned;
                    let Some((expected, found)) = mismatch else { continue };
                    mismatches += 1;
                    if mismatches == MOST_MISMATCHES {
                        return Err(HubError::Mismatch { file: self.name.clone(), expected, found });
                    }
                    (format!("its SHA-256 is {found}, and should be {expected}"), None)
                }
            };
            failures = if part.have() > furthest { 0 } else { failures + 1 };
            furthest = furthest.max(part.have());
            if failures >= self.config.attempts {
                let (file, have) = (self.name.clone(), ByteSize(part.have()));
                return Err(HubError::NoProgress { file, attempts: failures, reason, have });
            }
            let pause = pause(&self.config, failures, requested);
            self.report(&Event::Retrying { file: &self.name, reason: &reason, pause });
            tokio::time::sleep(pause).await;
        }
        let (sha256, stated) = (part.whole().map(|sum| sum.to_string()).unwrap_or_default(), part.expected().is_some());
        self.report(&Event::Received { file: &self.name, bytes: part.have() });
        self.report(&Event::Verified { file: &self.name, sha256, stated });
        Ok(part)
    }

    async fn attempt(&self, part: Part) -> Result<(Part, Attempt), HubError> {
        if part.size() == Some(part.have()) {
            return Ok((part, Attempt::Whole));
        }
        let url = match &self.item.origin {
            Origin::File(path) => return self.copy(part, path).await,
            Origin::Url(url) => url.clone(),
            Origin::Hub { repository, commit, path } => self.client.endpoint.file(repository, commit, path)?,
        };
        match self.client.get(&url, &range_headers(&part)).await {
            Ok(answer) => self.take(part, answer, &url).await,
            Err(fault) => Ok((part, Attempt::Again(fault.to_string(), None))),
        }
    }

    /// Acts on an answer.
    async fn take(&self, mut part: Part, answer: Answer, url: &Url) -> Result<(Part, Attempt), HubError> {
        let (status, have) = (answer.response.status(), part.have());
        let again = |part, reason: String| Ok((part, Attempt::Again(reason, None)));
        let host = host_of(answer.response.url());
        let verdict = verdict(status, answer.response.headers(), answer.from_hub, have > 0);
        let total = match verdict {
            Verdict::Whole { size } | Verdict::Rest { size, .. } => {
                self.compare(&part, answer.sum, answer.size.or(size))?;
                answer.size.or(size)
            }
            Verdict::NoSuchRange(size) if size == Some(have) && part.size().is_none_or(|known| known == have) => {
                part.note(size, answer.sum, None)?;
                return Ok((part, Attempt::Whole));
            }
            Verdict::NoSuchRange(_) => return again(restart(part).await?, format!("{host} does not have byte {have}")),
            Verdict::Later(requested) => {
                return Ok((part, Attempt::Again(format!("{host} answers {status}"), requested)));
            }
            Verdict::Expired => return again(part, format!("the address at {host} has expired ({status})")),
            Verdict::Refused(refusal) => {
                let origin = &self.item.origin;
                return Err(refused_file(&self.client, origin, refusal, status.as_u16(), &self.name, url));
            }
        };
        let etag = strong_etag(answer.response.headers());
        let is_rest = matches!(verdict, Verdict::Rest { .. });
        if let Verdict::Rest { start, .. } = verdict
            && start != have
        {
            return again(part, format!("{host} sends byte {start} instead of {have}"));
        }
        if is_rest && part.etag().is_some() && etag.is_some() && etag.as_deref() != part.etag() {
            return again(restart(part).await?, format!("the file at {host} has changed"));
        }
        let sum = answer.sum;
        let part = blocking(move || {
            // 200 to a range is the file from its start.
            if !is_rest && part.have() > 0 {
                part.restart()?;
            }
            part.note(total, sum, etag)?;
            Ok(part)
        });
        self.receive(part.await?, answer.response).await
    }

    /// What the answer states must be what is known.
    fn compare(&self, part: &Part, sum: Option<Sum>, size: Option<u64>) -> Result<(), HubError> {
        let differ = |stated: String, linked: String| {
            if stated == linked {
                Ok(())
            } else {
                Err(HubError::Contradiction { file: self.name.clone(), stated, linked })
            }
        };
        if let (Some(stated), Some(linked)) = (part.expected(), sum) {
            differ(stated.to_string(), linked.to_string())?;
        }
        match (part.size(), size) {
            (Some(stated), Some(linked)) => differ(format!("{stated} bytes"), format!("{linked} bytes")),
            _ => Ok(()),
        }
    }

    /// Receives a body to its end.
    async fn receive(&self, part: Part, mut response: Response) -> Result<(Part, Attempt), HubError> {
        let (mut have, size) = (part.have(), part.size());
        let mut head = Head::new(&self.name, have);
        let writer = BodyWriter::start(part);
        let end = loop {
            let mut bytes = match self.client.chunk(&mut response).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break None,
                Err(fault) => break Some(fault.to_string()),
            };
            let room = size.map_or(usize::MAX, |size| usize::try_from(size.saturating_sub(have)).unwrap_or(usize::MAX));
            // What lies behind the stated size is not the file's.
            bytes.truncate(room);
            self.look(&mut head, &bytes, false)?;
            have += bytes.len() as u64;
            if bytes.is_empty() || !writer.write(bytes).await {
                break None;
            }
            self.report(&Event::Received { file: &self.name, bytes: have });
        };
        let (part, written) = writer.end().await?;
        written?;
        Ok(match end {
            Some(reason) => (part, Attempt::Again(reason, None)),
            None if size.is_some_and(|size| part.have() < size) => {
                let reason = format!("{} ends before the file does", host_of(response.url()));
                (part, Attempt::Again(reason, None))
            }
            None => {
                self.look(&mut head, &[], true)?;
                (part, Attempt::Whole)
            }
        })
    }

    /// Refuses what is no model, as soon as its head is there.
    fn look(&self, head: &mut Option<Head>, bytes: &[u8], is_end: bool) -> Result<(), HubError> {
        let Some(known) = head else { return Ok(()) };
        if known.add(bytes) || is_end {
            if let Some(kind) = known.fault() {
                return Err(HubError::NotAModel { file: self.name.clone(), kind });
            }
            *head = None;
        }
        Ok(())
    }

    /// Copies a local file.
    async fn copy(&self, part: Part, path: &Path) -> Result<(Part, Attempt), HubError> {
        let (path, name, observer) = (path.to_path_buf(), self.name.clone(), self.observer.clone());
        let mut head = Head::new(&self.name, 0);
        let part = blocking(move || {
            let mut part = part;
            part.restart()?;
            let mut file = std::fs::File::open(&path).map_err(HubError::disk("open", &path))?;
            let mut piece = vec![0; PIECE];
            loop {
                let count = file.read(&mut piece).map_err(HubError::disk("read", &path))?;
                if let Some(known) = head.as_mut().filter(|_| count > 0) {
                    known.add(&piece[..count]);
                    if let Some(kind) = known.fault() {
                        return Err(HubError::NotAModel { file: name, kind });
                    }
                    head = None;
                }
                if count == 0 {
                    part.note(Some(part.have()), None, None)?;
                    return Ok(part);
                }
                part.append(&piece[..count])?;
                observer(&Event::Received { file: &name, bytes: part.have() });
            }
        });
        Ok((part.await?, Attempt::Whole))
    }
}

/// Why a host does not send a file.
pub(crate) fn refused_file(
    client: &HubClient,
    origin: &Origin,
    refusal: Refusal,
    status: u16,
    name: &str,
    url: &Url,
) -> HubError {
    if let Origin::Hub { repository, commit, .. } = origin {
        let (repository, revision) = (repository.clone(), Some(commit.clone()));
        return refused(
            client,
            &RepositorySource { repository, revision, wanted: Wanted::Best },
            refusal,
            status,
            name,
        );
    }
    let (file, host) = (name.to_owned(), host_of(url));
    match refusal {
        Refusal::FileNotFound => HubError::FileNotFound { file, host },
        _ => HubError::Status { what: file, host, status },
    }
}

/// The headers that ask for the rest.
fn range_headers(part: &Part) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if part.have() > 0 {
        let etag = part.etag().and_then(|etag| HeaderValue::from_str(etag).ok());
        headers.extend(etag.map(|etag| (IF_RANGE, etag)));
        headers.extend(HeaderValue::from_str(&format!("bytes={}-", part.have())).ok().map(|range| (RANGE, range)));
    }
    headers
}

async fn restart(mut part: Part) -> Result<Part, HubError> {
    blocking(move || {
        part.restart()?;
        Ok(part)
    })
    .await
}

/// Compares the digest of a whole file with the one that it must have; what they are where they differ. Damage is cut off.
async fn verify(mut part: Part) -> Result<(Part, Option<(Sum, Sum)>), HubError> {
    blocking(move || {
        let found = part.sum();
        match part.expected().filter(|expected| *expected != found) {
            None => part.finish(found)?,
            Some(expected) => {
                part.drop_damage()?;
                return Ok((part, Some((expected, found))));
            }
        }
        Ok((part, None))
    })
    .await
}

/// A piece of a file, for a look at its header.
pub(crate) async fn piece(client: &HubClient, url: &Url, bytes: u64) -> Result<Bytes, HubError> {
    let mut headers = HeaderMap::new();
    let last = bytes.saturating_sub(1);
    headers.extend(HeaderValue::from_str(&format!("bytes=0-{last}")).ok().map(|range| (RANGE, range)));
    let fault = |reason: String| HubError::Setup(reason);
    let mut answer = client.get(url, &headers).await.map_err(|error| fault(error.to_string()))?;
    if !answer.response.status().is_success() {
        let (host, status) = (host_of(url), answer.response.status().as_u16());
        return Err(HubError::Status { what: "a header".to_owned(), host, status });
    }
    let mut all = Vec::new();
    // A server without ranges sends all of the file.
    while (all.len() as u64) < bytes {
        match client.chunk(&mut answer.response).await.map_err(|error| fault(error.to_string()))? {
            Some(chunk) => all.extend_from_slice(&chunk),
            None => break,
        }
    }
    all.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(all.into())
}
