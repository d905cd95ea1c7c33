//! What the router's answer to `hello` means: pure decisions over `hello_ack` and its variants.

use std::time::Duration;

use auxot_protocol::{HelloAck, Policy, ToWorker};

use crate::report::log_text::shown;

/// The router's answer to `hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HelloReply {
    /// The connection is accepted; with the router's id for it and the policy.
    Accepted { gpu_id: String, policy: Option<Box<Policy>>, extensions: Vec<String> },
    /// The router refuses the key.
    KeyRefused { reason: String },
    /// The router asks for another attempt after this time.
    Later { reason: String, after: Duration },
    /// A fault that may be temporary.
    Transient { reason: String },
    /// Not an answer to `hello`.
    Other,
}

/// The error text of the open-source router for a wrong key (variant A of the protocol document). An error that only
/// mentions authentication can be any fault of the router.
const INVALID_KEY: &str = "invalid GPU key";
/// The longest pause that the router may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Reads the router's answer. The key is refused by variant A, recognised by its text, and by variant B without a pause.
pub(crate) fn read(message: ToWorker) -> HelloReply {
    match message {
        ToWorker::HelloAck(ack) if ack.success => HelloReply::Accepted {
            gpu_id: ack.gpu_id.unwrap_or_default(),
            policy: ack.policy,
            extensions: ack.extensions,
        },
        ToWorker::HelloAck(HelloAck { error, reconnect_in_seconds, dropped, .. }) => {
            let reason = error.map_or_else(|| "the router gave no reason".to_owned(), |error| shown(&error));
            match reconnect_in_seconds {
                Some(seconds) if seconds > 0 => {
                    HelloReply::Later { reason, after: Duration::from_secs(seconds).min(LONGEST_PAUSE) }
                }
                // A field that is not a valid time was meant as one.
                None if !dropped.is_empty() => HelloReply::Transient { reason },
                _ => HelloReply::KeyRefused { reason },
            }
        }
        ToWorker::Error(error) => {
            let reason = match &error.details {
                Some(details) => format!("{} ({})", shown(&error.error), shown(details)),
                None => shown(&error.error),
            };
            if error.error.trim().eq_ignore_ascii_case(INVALID_KEY) {
                HelloReply::KeyRefused { reason }
            } else {
                HelloReply::Transient { reason }
            }
        }
        _ => HelloReply::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(frame: &str) -> HelloReply {
        read(ToWorker::parse(frame).expect("a readable frame"))
    }

    #[test]
    fn a_pause_is_read_in_any_form_of_a_number_and_has_a_cap() {
        let later =
            |seconds: &str| reply(&format!(r#"{{"type":"hello_ack","success":false,"reconnectInSeconds":{seconds}}}"#));
        assert!(matches!(later("5.0"), HelloReply::Later { after, .. } if after == Duration::from_secs(5)));
        assert!(matches!(later("9e15"), HelloReply::Later { after, .. } if after == LONGEST_PAUSE));
        for odd in ["-5", "5.5", "\"soon\"", "1e300"] {
            assert!(matches!(later(odd), HelloReply::Transient { .. }), "{odd} is meant as a time");
        }
        assert!(matches!(later("null"), HelloReply::KeyRefused { .. }));
    }

    #[test]
    fn odd_fields_of_a_policy_do_not_keep_from_serving() {
        let frame = r#"{"type":"hello_ack","success":true,"gpu_id":7,"policy":{"model_name":"m","context_size":-1,"max_parallelism":2.0,"capabilities":"chat"}}"#;
        let HelloReply::Accepted { policy: Some(policy), .. } = reply(frame) else { panic!("not accepted") };
        assert_eq!((&*policy.model_name, policy.context_size, policy.max_parallelism), ("m", 0, 2));
        assert_eq!(policy.dropped, ["`context_size` cannot be -1", "`capabilities` cannot be \"chat\""]);
    }

    #[test]
    fn the_variants_of_a_refusal() {
        assert!(matches!(
            reply(
                r#"{"type":"error","error":"invalid GPU key","details":"Authentication failed. Check your admin key."}"#
            ),
            HelloReply::KeyRefused { .. }
        ));
        assert!(matches!(
            reply(r#"{"type":"hello_ack","success":false,"error":"key revoked"}"#),
            HelloReply::KeyRefused { reason } if reason == "key revoked"
        ));
        assert!(matches!(
            reply(r#"{"type":"hello_ack","success":false,"error":"full","reconnectInSeconds":7}"#),
            HelloReply::Later { after, .. } if after == Duration::from_secs(7)
        ));
        for passing in ["redis is down", "authentication service is not there", "unauthorized: invalid key cache"] {
            let frame = format!(r#"{{"type":"error","error":"{passing}","details":"Authentication failed."}}"#);
            assert!(matches!(reply(&frame), HelloReply::Transient { .. }), "{passing}");
        }
        assert_eq!(reply(r#"{"type":"heartbeat_ack"}"#), HelloReply::Other);
        assert!(matches!(
            reply(r#"{"type":"hello_ack","success":true,"gpu_id":"a"}"#),
            HelloReply::Accepted { gpu_id, policy: None, .. } if gpu_id == "a"
        ));
    }
}
