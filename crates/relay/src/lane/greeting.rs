//! What the router's first words mean for the link: pure decisions over `hello_ack` and its variants.

use std::time::Duration;

use auxot_protocol::{HelloAck, Policy, ToWorker};

/// What follows from the router's answer to `hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// Serve; the router's id for this connection and its wish.
    Accepted { gpu_id: String, policy: Option<Box<Policy>> },
    /// The key will not do, now or later.
    KeyRefused { reason: String },
    /// Come back after so long.
    Later { reason: String, after: Duration },
    /// Something went wrong that may be right next time.
    Transient { reason: String },
    /// Not an answer to `hello`: keep reading.
    Other,
}

/// Texts by which the open-source router says that a key is wrong (variant A of the protocol document).
const KEY_WORDS: [&str; 5] = ["invalid gpu key", "invalid key", "authentication", "unauthorized", "key revoked"];

/// Reads the router's answer. Variant B without a time to come back is permanent, variant A by its words.
pub(crate) fn read(message: ToWorker) -> Greeting {
    match message {
        ToWorker::HelloAck(ack) if ack.success => {
            Greeting::Accepted { gpu_id: ack.gpu_id.unwrap_or_default(), policy: ack.policy.map(Box::new) }
        }
        ToWorker::HelloAck(HelloAck { error, reconnect_in_seconds, .. }) => {
            let reason = error.unwrap_or_else(|| "the router gave no reason".to_owned());
            match reconnect_in_seconds {
                Some(seconds) if seconds > 0 => Greeting::Later { reason, after: Duration::from_secs(seconds) },
                _ => Greeting::KeyRefused { reason },
            }
        }
        ToWorker::Error(error) => {
            let text = match &error.details {
                Some(details) => format!("{} ({details})", error.error),
                None => error.error.to_string(),
            };
            let lower = text.to_ascii_lowercase();
            if KEY_WORDS.iter().any(|word| lower.contains(word)) {
                Greeting::KeyRefused { reason: text }
            } else {
                Greeting::Transient { reason: text }
            }
        }
        _ => Greeting::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(frame: &str) -> Greeting {
        read(ToWorker::parse(frame).expect("a readable frame"))
    }

    #[test]
    fn the_variants_of_a_refusal() {
        assert!(matches!(
            greeting(
                r#"{"type":"error","error":"invalid GPU key","details":"Authentication failed. Check your admin key."}"#
            ),
            Greeting::KeyRefused { .. }
        ));
        assert!(matches!(
            greeting(r#"{"type":"hello_ack","success":false,"error":"key revoked"}"#),
            Greeting::KeyRefused { reason } if reason == "key revoked"
        ));
        assert!(matches!(
            greeting(r#"{"type":"hello_ack","success":false,"error":"full","reconnectInSeconds":7}"#),
            Greeting::Later { after, .. } if after == Duration::from_secs(7)
        ));
        assert!(matches!(greeting(r#"{"type":"error","error":"redis is down"}"#), Greeting::Transient { .. }));
        assert_eq!(greeting(r#"{"type":"heartbeat_ack"}"#), Greeting::Other);
        assert!(matches!(
            greeting(r#"{"type":"hello_ack","success":true,"gpu_id":"a"}"#),
            Greeting::Accepted { gpu_id, policy: None } if gpu_id == "a"
        ));
    }
}
