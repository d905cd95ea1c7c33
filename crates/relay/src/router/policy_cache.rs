//! The router's last policy, stored on disk so that a restart needs one connection and not two.
//!
//! The open-source router gives jobs to a connection as soon as it has said hello, also to a connection that only requests the
//! policy. Such a job comes back after 30 s. A worker that knows the last policy needs no such connection.

use std::path::Path;

use auxot_protocol::Policy;
use auxot_state_file::StateFile;
use sha2::{Digest, Sha256};

/// The most bytes of a stored policy.
const MAX_BYTES: u64 = 1 << 20;

/// The file of one router and key.
#[derive(Debug, Clone)]
pub(crate) struct PolicyCache {
    file: StateFile<Policy>,
    /// The name of the file in earlier releases; it is read until a policy is stored, and not written.
    old: StateFile<Policy>,
}

impl PolicyCache {
    /// The cache for this router and key. The file name holds a hash of both and not the key itself.
    pub(crate) fn new(state_dir: &Path, url: &str, key: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(url.as_bytes());
        hasher.update([0]);
        hasher.update(key.as_bytes());
        let name: String = hasher.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        // Earlier versions stored what the worker itself had announced in `policy-….json`; those files are not read.
        let file = |prefix: &str| StateFile::new(state_dir.join(format!("{prefix}-{name}.json")), MAX_BYTES).synced();
        Self { file: file("router-policy"), old: file("wish") }
    }

    /// The last policy; `None` when none is stored or the file cannot be read.
    pub(crate) fn load(&self) -> Option<Policy> {
        self.file.read().or_else(|| self.old.read())
    }

    /// Stores a policy for the next start.
    pub(crate) fn store(&self, policy: &Policy) -> std::io::Result<()> {
        self.file.write(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_loaded_for_the_same_router_and_key_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = Policy { model_name: "m".into(), max_parallelism: 3, ..Policy::default() };
        let cache = PolicyCache::new(folder.path(), "ws://a/ws", "key");
        assert_eq!(cache.load(), None);
        cache.store(&policy).expect("stored");
        assert_eq!(cache.load(), Some(policy));
        assert_eq!(PolicyCache::new(folder.path(), "ws://a/ws", "other").load(), None);
        assert_eq!(PolicyCache::new(folder.path(), "ws://b/ws", "key").load(), None);
        std::fs::rename(cache.file.path(), cache.old.path()).expect("a file");
        assert_eq!(cache.load().map(|policy| policy.max_parallelism), Some(3), "the file of an earlier release");
        assert!(!cache.file.path().to_string_lossy().contains("key"));
    }
}
