//! The error of an engine that refuses a request or stops an answer.

use serde_json::Value;

/// The most characters of a message that are stored; the engine sometimes quotes whole schemas.
const MESSAGE_LIMIT: usize = 4096;

/// An error of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot serve the request: the engine answered {status} {kind}: {message}")]
pub struct EngineError {
    /// The HTTP status, or the code of an error in the middle of a stream.
    pub status: u16,
    /// The engine's `type`, for example `exceed_context_size_error`; empty when it gave none.
    pub kind: String,
    /// The error text.
    pub message: String,
}

impl EngineError {
    /// Reads the body of an answer whose status is not 2xx. Every body gives an error.
    pub fn from_body(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::Object(mut object)) => match object.remove("error") {
                Some(error) => Self::from_value(Some(status), error),
                None => Self::from_value(Some(status), Value::Object(object)),
            },
            _ => Self::plain(status, &String::from_utf8_lossy(body)),
        }
    }

    /// Reads the value of an `error` field. Without an HTTP status its own code is used.
    pub(crate) fn from_value(status: Option<u16>, error: Value) -> Self {
        let code = || error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let status = status.or_else(code).filter(|status| (400..600).contains(status)).unwrap_or(500);
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let message = error.as_str().or_else(|| text("message")).or_else(|| text("detail")).unwrap_or_default();
        Self { kind: text("type").unwrap_or_default().to_owned(), ..Self::plain(status, message) }
    }

    fn plain(status: u16, message: &str) -> Self {
        let message = match message.trim() {
            "" if status == 413 => "the request is too large for the engine".to_owned(),
            "" => format!("the engine answered {status} without a reason"),
            text => text.chars().take(MESSAGE_LIMIT).collect(),
        };
        Self { status, kind: String::new(), message }
    }

    /// Whether the prompt does not fit the context of a slot.
    pub fn is_context_exceeded(&self) -> bool {
        self.kind == "exceed_context_size_error"
    }

    /// Whether the engine still loads its model or has no slot, so that the same request may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.status == 503
    }

    /// Whether the chat template or the grammar of the tools failed, so that simpler tools may succeed.
    pub fn is_template_fault(&self) -> bool {
        const SIGNS: [&str; 6] =
            ["template", "jinja", "grammar", "json schema", "unrecognized schema", "parser generation"];
        let message = self.message.to_ascii_lowercase();
        !self.is_context_exceeded() && !self.is_unavailable() && SIGNS.iter().any(|sign| message.contains(sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_recognised() {
        let body = br#"{"error":{"code":400,"message":"request (9020 tokens) exceeds the available context size (1024 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9020,"n_ctx":1024}}"#;
        let error = EngineError::from_body(400, body);
        assert!(error.is_context_exceeded() && !error.is_template_fault());
        assert_eq!(error.status, 400);
    }

    #[test]
    fn template_and_grammar_faults_are_recognised() {
        for (message, want) in [
            ("Failed to initialize samplers: failed to parse grammar", true),
            (
                "Unable to generate parser for this template. Automatic parser generation failed: JSON schema conversion failed:\nUnrecognized schema: {\"type\":\"foo\"}",
                true,
            ),
            ("Loading model", false),
            ("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", false),
            ("Context size has been exceeded.", false),
        ] {
            let body = serde_json::json!({"error": {"code": 400, "message": message, "type": "invalid_request_error"}});
            let error = EngineError::from_body(400, body.to_string().as_bytes());
            assert_eq!(error.is_template_fault(), want, "{message}");
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn odd_bodies_still_make_an_error() {
        let said = |status, body: &[u8]| EngineError::from_body(status, body).message;
        assert_eq!(
            said(415, b"Error: gzip is not supported by this browser\n"),
            "Error: gzip is not supported by this browser"
        );
        assert_eq!(said(413, b""), "the request is too large for the engine");
        assert_eq!(said(500, b"{\"error\":{\"message\":null}}"), "the engine answered 500 without a reason");
        assert_eq!(said(500, b"{\"error\":\"no\"}"), "no");
        assert_eq!(said(500, b"{\"message\":\"bare\"}"), "bare");
        assert_eq!(said(502, b"[1]"), "[1]");
        assert_eq!(said(500, &[b'x'; 10_000]).len(), MESSAGE_LIMIT);
        assert!(said(500, b"\xff\xfe").contains('\u{fffd}'));
        let error = EngineError::from_body(
            503,
            br#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#,
        );
        assert!(error.is_unavailable());
        assert!(error.to_string().starts_with("cannot serve the request: the engine answered 503 unavailable_error"));
    }

    #[test]
    fn without_a_status_the_code_counts_when_it_is_one() {
        let status = |code: Value| EngineError::from_value(None, serde_json::json!({ "code": code })).status;
        assert_eq!(
            (status(400.into()), status(7.into()), status(Value::Null), status("x".into())),
            (400, 500, 500, 500)
        );
    }
}
