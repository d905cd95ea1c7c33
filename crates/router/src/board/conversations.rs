//! Which worker has the state of a conversation: the one that had its last turn.
//!
//! A conversation has no id. Its next request begins with the messages of the one before, so a request is known by hashes of
//! its beginnings, each up to the end of a message. An engine keeps the state of the last prompts: on another worker the whole
//! conversation would be processed again.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use auxot_llama::element_ends;

use super::WorkerId;

/// The most beginnings of one request: an agent may add a dozen messages in one turn.
const MOST_BEGINNINGS: usize = 32;
/// The most conversations that are remembered; the oldest is forgotten. Some 40 bytes each.
const MOST_CONVERSATIONS: usize = 16_384;

/// A request's messages, as far as is needed to know its conversation again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// Hashes of its beginnings, the longest first: all of it, then one message less.
    beginnings: Vec<u64>,
}

impl Conversation {
    /// The conversation of a request: the model that it names, and the JSON list of its messages.
    pub(crate) fn of(model: Option<&str>, messages: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        model.hash(&mut hasher);
        let mut hashed = 0;
        let hashes = element_ends(messages).into_iter().map(|end| {
            hasher.write(&messages[hashed..end]);
            hashed = end;
            hasher.finish()
        });
        let mut beginnings: Vec<u64> = hashes.collect();
        beginnings.reverse();
        beginnings.truncate(MOST_BEGINNINGS);
        Self { beginnings }
    }
}

/// The conversations of the last requests, and the worker of each.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    workers: HashMap<u64, WorkerId>,
    /// The oldest first.
    order: VecDeque<u64>,
}

impl Conversations {
    /// The worker that had the longest known beginning.
    pub(super) fn worker(&self, conversation: &Conversation) -> Option<WorkerId> {
        conversation.beginnings.iter().find_map(|beginning| self.workers.get(beginning).copied())
    }

    /// A worker gets a request of a conversation.
    pub(super) fn record(&mut self, conversation: &Conversation, worker: WorkerId) {
        let Some(&whole) = conversation.beginnings.first() else { return };
        if self.workers.insert(whole, worker).is_some() {
            return;
        }
        self.order.push_back(whole);
        if self.order.len() > MOST_CONVERSATIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.workers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(messages: &str) -> Conversation {
        Conversation::of(Some("m"), messages.as_bytes())
    }

    #[test]
    fn a_request_is_known_by_the_messages_of_the_one_before() {
        let mut known = Conversations::default();
        known.record(&of(r#"[{"role":"system"},{"content":"a"}]"#), 1);
        assert_eq!(
            known.worker(&of(r#"[{"role":"system"},{"content":"a"},{"content":"b"},{"content":"c"}]"#)),
            Some(1)
        );
        assert_eq!(known.worker(&of(r#"[{"role":"system"},{"content":"a"}]"#)), Some(1), "asked once more");
        assert_eq!(known.worker(&of(r#"[{"role":"system"},{"content":"b"}]"#)), None, "another one with the same head");
        let other = Conversation::of(Some("n"), br#"[{"role":"system"},{"content":"a"}]"#);
        assert_eq!(known.worker(&other), None, "another model");
        assert_eq!(known.worker(&of("not a list")), None);
        assert_eq!(known.worker(&Conversation::default()), None);
    }

    #[test]
    fn the_worker_with_the_longest_beginning_is_meant() {
        let mut known = Conversations::default();
        known.record(&of("[1,2]"), 1);
        known.record(&of("[1,2,3,4]"), 2);
        assert_eq!(known.worker(&of("[1,2,3,4,5,6]")), Some(2));
        assert_eq!(known.worker(&of("[1,2,7,8]")), Some(1));
        known.record(&of("[1,2]"), 3);
        assert_eq!(known.worker(&of("[1,2,7,8]")), Some(3), "the last worker counts");
    }

    #[test]
    fn the_oldest_conversation_is_forgotten() {
        let mut known = Conversations::default();
        for number in 0..=MOST_CONVERSATIONS {
            known.record(&of(&format!("[{number}]")), 1);
        }
        assert_eq!((known.worker(&of("[0]")), known.worker(&of("[1]"))), (None, Some(1)));
        assert_eq!((known.order.len(), known.workers.len()), (MOST_CONVERSATIONS, MOST_CONVERSATIONS));
    }
}
