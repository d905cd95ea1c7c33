//! The faults of the hub, from a file with one switch in each line: a name and its values.
//!
//! | switch | effect |
//! | --- | --- |
//! | `gated` | the repository asks for an agreement, with any token |
//! | `private TOKEN` | the repository is hidden without this token |
//! | `busy N SECONDS` | the hub's first N answers are 429 with `RateLimit` |
//! | `page N` | so many entries of the listing in one answer |
//! | `direct` | the hub sends the content itself, without a redirect |
//! | `linked` | the hub states another digest with the redirect than in its listing |
//! | `cut N BYTES` | the first N bodies end after so many bytes |
//! | `stall N BYTES` | the first N bodies send nothing after so many bytes |
//! | `damage N` | the first N bodies have one other byte |
//! | `no-range` | the content is always sent from its start |
//! | `shifted N` | the first N ranges begin one byte late |
//! | `expired N` | the first N signed addresses have expired |
//! | `etag N` | the first N bodies have an ETag of their own, and `If-Range` does not count |
//! | `refuse-range N` | the first N ranges are 416 |
//! | `pointer` | the content is a pointer of git-lfs |
//! | `html` | the content is a web page |
//! | `rate BYTES` | each body has so many bytes in a second at most |

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// The file of switches, and how often each has worked.
pub(crate) struct Switches {
    path: PathBuf,
    used: Mutex<HashMap<String, u64>>,
}

impl Switches {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, used: Mutex::new(HashMap::new()) }
    }

    /// The values of a switch; `None` where it is off.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let line = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|line| line.first() == Some(&name));
        line.map(|words| words[1..].iter().map(|word| (*word).to_owned()).collect())
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The second value of a switch that works N times, N being its first; 0 where it has no second one.
    pub(crate) fn take(&self, name: &str) -> Option<u64> {
        let values = self.get(name)?;
        let number = |at: usize| values.get(at).and_then(|value| value.parse::<u64>().ok());
        let mut used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let used = used.entry(name.to_owned()).or_default();
        if *used >= number(0)? {
            return None;
        }
        *used += 1;
        Some(number(1).unwrap_or(0))
    }

    /// The only value of a switch.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.first()?.parse().ok()
    }
}
