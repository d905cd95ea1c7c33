//! The router's last policy, remembered on disk so that a restart needs one connection, not two.
//!
//! The open-source router dispatches jobs to a connection as soon as it has said hello, also to one
//! that only came to ask for its policy; such a job then takes 30 s to come back. A worker that
//! remembers what it was told last time never needs that connection.

use std::path::Path;

use auxot_protocol::Policy;
use auxot_state_file::StateFile;
use sha2::{Digest, Sha256};

/// No policy that was kept is longer, in bytes.
const MOST: u64 = 1 << 20;

/// The file of one (router, key) pair.
#[derive(Debug, Clone)]
pub(crate) struct Memo {
    file: StateFile<Policy>,
}

impl Memo {
    /// The memo for this router and key; the key itself is not in the name, only a hash of both.
    pub(crate) fn new(state_dir: &Path, url: &str, key: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(url.as_bytes());
        hasher.update([0]);
        hasher.update(key.as_bytes());
        let name: String = hasher.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        // Earlier workers remembered their own announcements too, in `policy-….json`: those are not read.
        Self { file: StateFile::new(state_dir.join(format!("wish-{name}.json")), MOST).synced() }
    }

    /// The last policy, or `None` when there is none that can be read.
    pub(crate) fn recall(&self) -> Option<Policy> {
        self.file.read()
    }

    /// Keeps a policy for the next start. What a router wishes for is nobody else's business.
    pub(crate) fn keep(&self, policy: &Policy) -> std::io::Result<()> {
        self.file.write(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_recalled_for_the_same_router_and_key_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = Policy { model_name: "m".into(), max_parallelism: 3, ..Policy::default() };
        let memo = Memo::new(folder.path(), "ws://a/ws", "key");
        assert_eq!(memo.recall(), None);
        memo.keep(&policy).expect("kept");
        assert_eq!(memo.recall(), Some(policy));
        assert_eq!(Memo::new(folder.path(), "ws://a/ws", "other").recall(), None);
        assert_eq!(Memo::new(folder.path(), "ws://b/ws", "key").recall(), None);
        assert!(!memo.file.path().to_string_lossy().contains("key"));
    }
}
