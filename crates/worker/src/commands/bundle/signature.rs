//! The signature of a bundle's list, made and checked by ssh-keygen.
//!
//! Whom to trust is a file of `ssh-keygen -Y` (one line for each key: `auxot ssh-ed25519 AAAA…`): the one of the command line,
//! else the one that an earlier installation has left.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The identity of release keys in the file of signers.
const IDENTITY: &str = "auxot";
/// What the signature is for: one for another purpose does not count.
const NAMESPACE: &str = "auxot-release";
/// Where an installation leaves the keys that it was checked with.
const INSTALLED: &str = "/etc/auxot/release-signers";

/// Whose signatures count.
#[derive(Debug, Default)]
pub(in super::super) struct Signers(Option<PathBuf>);

/// What is known of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Signature {
    Missing,
    /// There is one, and no key is trusted.
    Unchecked,
    /// That of this key.
    Good(String),
}

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum SignatureError {
    #[error("it has no signature, and must have one of a key in {}", .0.display())]
    Missing(PathBuf),
    #[error("its signature is not one of a key in {}: {reason}", .signers.display())]
    Bad { signers: PathBuf, reason: String },
    #[error("cannot check its signature: {0}; install ssh-keygen (openssh-client)")]
    NoTool(io::Error),
}

impl Signers {
    /// The signers of this file; without one those of the installation, where it has some.
    pub(in super::super) fn new(file: Option<&Path>) -> Self {
        let installed = || Some(PathBuf::from(INSTALLED)).filter(|path| path.is_file());
        Self(file.map(Path::to_path_buf).or_else(installed))
    }

    /// Fails without a signature where one is required.
    pub(super) fn require(&self, signature: &Signature) -> Result<(), SignatureError> {
        match (&self.0, signature) {
            (Some(signers), Signature::Missing) => Err(SignatureError::Missing(signers.clone())),
            _ => Ok(()),
        }
    }

    /// Checks the signature of a list.
    pub(super) fn check(&self, list: &[u8], signature: &[u8]) -> Result<Signature, SignatureError> {
        let Some(signers) = &self.0 else { return Ok(Signature::Unchecked) };
        let output = keygen(signers, list, signature).map_err(SignatureError::NoTool)?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', ", ");
        if output.status.success() {
            let key = said(&output.stdout);
            let key = key.rsplit_once(" with ").map_or(key.as_str(), |(_, key)| key).to_owned();
            return Ok(Signature::Good(key));
        }
        let reason = said(&[output.stderr, output.stdout].concat());
        Err(SignatureError::Bad { signers: signers.clone(), reason })
    }
}

impl Signature {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Missing => "it has no signature".to_owned(),
            Self::Unchecked => "its signature is not checked: name the trusted keys with --signers".to_owned(),
            Self::Good(key) => format!("signed with {key}"),
        }
    }
}

fn keygen(signers: &Path, list: &[u8], signature: &[u8]) -> io::Result<std::process::Output> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(signature)?;
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-I", IDENTITY, "-n", NAMESPACE]).arg("-f").arg(signers).arg("-s").arg(file.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that has refused already reads no further; its exit code says so.
        let _refused = input.write_all(list);
    }
    child.wait_with_output()
}
