//! Why a model cannot be downloaded.

use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::digest::Sum;
use crate::repository::Repository;

/// Why a model cannot be downloaded, found or verified.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The address of the hub or of a file.
    #[error("cannot use the address {text}: {reason}")]
    Endpoint {
        /// As it was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network is forbidden.
    #[error("cannot download: HF_HUB_OFFLINE forbids it; unset it")]
    Offline,
    /// No HTTP client.
    #[error("cannot set up HTTP: {0}")]
    Setup(String),
    /// The repository asks for an agreement.
    #[error(
        "cannot download from {repository}: it is gated; accept its terms on {page}{}",
        if *.has_token { " with the account of HF_TOKEN" } else { ", and set HF_TOKEN to a token of that account" }
    )]
    Gated {
        /// The repository.
        repository: String,
        /// Its page.
        page: String,
        /// Whether a token was sent.
        has_token: bool,
    },
    /// No such repository, or one that is hidden.
    #[error(
        "cannot find {repository} on {host}: it does not exist, or it is private and {}",
        if *.has_token { "the account of HF_TOKEN may not read it" } else { "HF_TOKEN is not set" }
    )]
    RepositoryNotFound {
        /// The repository.
        repository: String,
        /// The hub.
        host: String,
        /// Whether a token was sent.
        has_token: bool,
    },
    /// No such branch, tag or commit.
    #[error("cannot find the revision {revision} of {repository}")]
    RevisionNotFound {
        /// The repository.
        repository: String,
        /// The revision.
        revision: String,
    },
    /// No such file.
    #[error("cannot find {file}: {host} does not have it")]
    FileNotFound {
        /// The file.
        file: String,
        /// The host.
        host: String,
    },
    /// The token is not accepted.
    #[error("cannot download from {host}: it refuses {}", if *.has_token { "the token of HF_TOKEN" } else { "access without a token; set HF_TOKEN" })]
    Unauthorized {
        /// The host.
        host: String,
        /// Whether a token was sent.
        has_token: bool,
    },
    /// Another status.
    #[error("cannot download {what}: {host} answers {status}")]
    Status {
        /// What was requested.
        what: String,
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// The listing makes no sense.
    #[error("cannot read the list of files of {repository}: {reason}")]
    Listing {
        /// The repository.
        repository: Repository,
        /// What is wrong.
        reason: String,
    },
    /// The attempts are used up.
    #[error(
        "cannot download {file}: {attempts} attempts in a row brought nothing; the last one: {reason}. {have} are kept, and the same command goes on from there"
    )]
    NoProgress {
        /// The file.
        file: String,
        /// How many attempts.
        attempts: u32,
        /// Why the last one ended.
        reason: String,
        /// Bytes that are kept.
        have: ByteSize,
    },
    /// The content is not what the hub states.
    #[error("cannot accept {file}: its SHA-256 is {found}, and should be {expected}; it was downloaded twice")]
    Mismatch {
        /// The file.
        file: String,
        /// As stated.
        expected: Sum,
        /// As it is.
        found: Sum,
    },
    /// Two places of the hub disagree.
    #[error("cannot accept {file}: the hub states {stated} in its listing and {linked} for the download")]
    Contradiction {
        /// The file.
        file: String,
        /// In the listing.
        stated: String,
        /// With the answer.
        linked: String,
    },
    /// Something else than a model.
    #[error("cannot accept {file}: it is {kind}, not a model")]
    NotAModel {
        /// The file.
        file: String,
        /// What it is.
        kind: &'static str,
    },
    /// Too little disk.
    #[error("cannot download to {}: {need} are needed, {free} are free, and {keep_free} stay free (hub.keep_free)", .folder.display())]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// Bytes that are still to come.
        need: ByteSize,
        /// Free bytes.
        free: ByteSize,
        /// Bytes that stay free.
        keep_free: ByteSize,
    },
    /// Another file has the place.
    #[error("cannot replace {}: it was not downloaded by this program and is another file; move it away", .0.display())]
    Occupied(PathBuf),
    /// Another process downloads another content to the same place.
    #[error(
        "cannot finish {file}: another process downloads another version of it to the same place; run the command again"
    )]
    Taken {
        /// The file.
        file: String,
    },
    /// No record of a file.
    #[error("cannot repair {}: this program has not downloaded it", .0.display())]
    Unrecorded(PathBuf),
    /// Another process repairs the file.
    #[error("cannot repair {}: another process repairs it", .0.display())]
    UnderRepair(PathBuf),
    /// The origin has other bytes than those that were downloaded.
    #[error(
        "cannot repair {file}: where it came from, the block at byte {start} is another one by now; remove the model and pull it again"
    )]
    OtherContent {
        /// The file.
        file: String,
        /// The first byte of the block.
        start: u64,
    },
    /// The file changes while it is repaired, or the disk does not keep what is written.
    #[error("cannot repair {}: it is damaged again after all its blocks were right; check the disk", .0.display())]
    StillDamaged(PathBuf),
    /// A file of this host.
    #[error("cannot {action} {}: {source}", .path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl HubError {
    pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Disk { action, path, source }
    }
}
