//! Repairs a downloaded file in place: only its damaged blocks are fetched.
//!
//! A block is written once its content has the digest that the record states for it, so that a repair that is killed leaves the
//! file no worse, and a process that reads the file meanwhile sees old or right bytes. At the end the whole file is checked
//! again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RANGE};

use crate::answer::{Verdict, verdict};
use crate::client::{HubClient, host_of};
use crate::config::Config;
use crate::download::Origin;
use crate::error::HubError;
use crate::event::{Event, Observer};
use crate::record::Record;
use crate::space::need_space;
use crate::transfer::{blocking, pause, refused_file};
use crate::verify::{Finding, verify};

/// Fetches of a block whose content is another one.
const MOST_MISMATCHES: u32 = 2;

/// What a repair has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaired {
    /// Blocks that were fetched.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// One file under repair.
struct Repair<'r> {
    client: &'r HubClient,
    config: &'r Config,
    name: String,
    path: &'r Path,
    file: Arc<File>,
    record: Record,
    observer: &'r Observer,
}

/// Why a block has not come.
enum Fault {
    /// Another attempt follows, after the pause that the server asks for.
    Again(String, Option<Duration>),
    Final(HubError),
}

/// Fetches the damaged blocks of a file and checks all of it again.
pub(crate) async fn repair(
    client: &HubClient,
    config: &Config,
    path: &Path,
    observer: &Observer,
) -> Result<Repaired, HubError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (file, record, damaged) = {
        let (path, keep_free) = (path.to_path_buf(), config.keep_free);
        blocking(move || open(&path, keep_free)).await?
    };
    let repair = Repair { client, config, name, path, file: Arc::new(file), record, observer };
    let bytes = damaged.iter().map(|start| repair.length(*start)).sum();
    (repair.observer)(&Event::Started { file: &repair.name, size: Some(bytes), have: 0 });
    let mut received = 0;
    for start in &damaged {
        repair.block(*start).await?;
        received += repair.length(*start);
        (repair.observer)(&Event::Received { file: &repair.name, bytes: received });
    }
    repair.check().await?;
    Ok(Repaired { blocks: damaged.len(), bytes })
}

/// Opens and locks the file, gives it its size, and finds its damaged blocks. Blocks.
fn open(path: &Path, keep_free: bytesize::ByteSize) -> Result<(File, Record, Vec<u64>), HubError> {
    let record = Record::of(path).ok_or_else(|| HubError::Unrecorded(path.to_path_buf()))?;
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(HubError::disk("write", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(HubError::UnderRepair(path.to_path_buf())),
        Err(TryLockError::Error(error)) => return Err(HubError::disk("lock", path)(error)),
    }
    let length = file.metadata().map_err(HubError::disk("read", path))?.len();
    if length != record.size {
        let missing = record.size.saturating_sub(length);
        need_space(path.parent().unwrap_or(Path::new("/")), missing, keep_free)?;
        file.set_len(record.size).map_err(HubError::disk("resize", path))?;
    }
    let damaged = match verify(path, &|_| ())? {
        Finding::Damaged(blocks) => blocks,
        Finding::Sound | Finding::Unrecorded | Finding::Size { .. } => Vec::new(),
    };
    Ok((file, record, damaged))
}

impl Repair<'_> {
    /// The bytes of the block that begins there; the last one may be short.
    fn length(&self, start: u64) -> u64 {
        self.record.borders.block.min(self.record.size.saturating_sub(start))
    }

    /// Fetches a block until it has its digest, and writes it.
    async fn block(&self, start: u64) -> Result<(), HubError> {
        let (mut failures, mut mismatches) = (0, 0);
        loop {
            let (reason, requested) = match self.fetch(start).await {
                Ok(bytes) if self.is_right(start, &bytes) => return self.write(start, bytes).await,
                Ok(_) => {
                    mismatches += 1;
                    if mismatches == MOST_MISMATCHES {
                        return Err(HubError::OtherContent { file: self.name.clone(), start });
                    }
                    (format!("the block at byte {start} is not the one that was downloaded"), None)
                }
                Err(Fault::Again(reason, requested)) => (reason, requested),
                Err(Fault::Final(error)) => return Err(error),
            };
            failures += 1;
            if failures >= self.config.attempts {
                let (file, have) = (self.name.clone(), Default::default());
                return Err(HubError::NoProgress { file, attempts: failures, reason, have });
            }
            let pause = pause(self.config, failures, requested);
            (self.observer)(&Event::Retrying { file: &self.name, reason: &reason, pause });
            tokio::time::sleep(pause).await;
        }
    }

    fn is_right(&self, start: u64, bytes: &[u8]) -> bool {
        use sha2::Digest as _;
        let block = start / self.record.borders.block;
        self.record.borders.before(block).is_some_and(|mut digest| {
            digest.update(bytes);
            self.record.borders.is_same(block, digest, Some(self.record.sha256))
        })
    }

    async fn write(&self, start: u64, bytes: Vec<u8>) -> Result<(), HubError> {
        let (file, path) = (Arc::clone(&self.file), self.path.to_path_buf());
        blocking(move || {
            let written = file.write_all_at(&bytes, start).and_then(|()| file.sync_data());
            written.map_err(HubError::disk("write", &path))
        })
        .await
    }

    /// The bytes of a block, from where the file came from.
    async fn fetch(&self, start: u64) -> Result<Vec<u8>, Fault> {
        let length = self.length(start);
        let url = match &self.record.origin {
            Origin::File(origin) => return self.read(origin, start, length).await,
            Origin::Url(url) => url.clone(),
            Origin::Hub { repository, commit, path } => {
                self.client.endpoint.file(repository, commit, path).map_err(Fault::Final)?
            }
        };
        let mut headers = HeaderMap::new();
        let range = HeaderValue::from_str(&format!("bytes={start}-{}", start + length - 1));
        headers.extend(range.ok().map(|range| (RANGE, range)));
        let again = |reason: String| Fault::Again(reason, None);
        let mut answer = self.client.get(&url, &headers).await.map_err(|fault| again(fault.to_string()))?;
        let (status, host) = (answer.response.status(), host_of(answer.response.url()));
        let mut skip = match verdict(status, answer.response.headers(), answer.from_hub, true) {
            Verdict::Rest { start: found, .. } if found == start => 0,
            // A server without ranges sends the file from its start.
            Verdict::Whole { .. } => start,
            Verdict::Rest { start: found, .. } => {
                return Err(again(format!("{host} sends byte {found} instead of {start}")));
            }
            Verdict::NoSuchRange(_) => return Err(again(format!("{host} does not have byte {start}"))),
            Verdict::Later(requested) => return Err(Fault::Again(format!("{host} answers {status}"), requested)),
            Verdict::Expired => return Err(again(format!("the address at {host} has expired ({status})"))),
            Verdict::Refused(refusal) => {
                let refused =
                    refused_file(self.client, &self.record.origin, refusal, status.as_u16(), &self.name, &url);
                return Err(Fault::Final(refused));
            }
        };
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let chunk = self.client.chunk(&mut answer.response).await.map_err(|fault| again(fault.to_string()))?;
            let chunk = chunk.ok_or_else(|| again(format!("{host} ends before the block does")))?;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= skipped as u64;
            bytes.extend_from_slice(&chunk[skipped..]);
        }
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// The bytes of a block from the local file that was copied.
    async fn read(&self, origin: &Path, start: u64, length: u64) -> Result<Vec<u8>, Fault> {
        let origin = origin.to_path_buf();
        let read = move || -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            File::open(&origin)?.read_exact_at(&mut bytes, start)?;
            Ok(bytes)
        };
        let path = match &self.record.origin {
            Origin::File(path) => path.clone(),
            Origin::Url(_) | Origin::Hub { .. } => self.path.to_path_buf(),
        };
        blocking(move || read().map_err(HubError::disk("read", &path))).await.map_err(Fault::Final)
    }

    /// Checks the whole file once more.
    async fn check(&self) -> Result<(), HubError> {
        let path = self.path.to_path_buf();
        let finding = blocking(move || verify(&path, &|_| ())).await?;
        if finding == Finding::Sound { Ok(()) } else { Err(HubError::StillDamaged(self.path.to_path_buf())) }
    }
}
