//! Jobs with a known answer.

use std::path::Path;

use auxot_tests::http;
use auxot_tests::scripted_router::job;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Words of an answer, and the word before which it is held.
const WORDS: usize = 60;
const MIDDLE: usize = 30;
/// Words of a long answer, and the length of each: together more than all buffers between an engine and a router that
/// reads slowly.
const LONG_WORDS: usize = 5000;
const LONG_WORD: usize = 1000;

/// Tokens of an answer of the real engine; a tiny model generates them in seconds.
const REAL_TOKENS: u32 = 1000;

/// The real engine's answer to any prompt, in this many tokens.
static REAL_TEXT: OnceCell<String> = OnceCell::const_new();

/// Where an answer waits for the stage's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Nowhere,
    /// Before its first word.
    Prompt,
    /// After half of its words; in a long answer after the same number.
    Middle,
}

/// A job and its expected answer.
#[derive(Debug)]
pub(crate) struct KnownJob {
    pub id: String,
    pub frame: Value,
    pub text: String,
}

impl KnownJob {
    /// A job whose words each contain the job's id and a number, so that no word occurs twice.
    pub(crate) fn new(id: &str, long: bool, hold: Hold, gate: &Path) -> KnownJob {
        let (words, word, pace) = match long {
            true => (LONG_WORDS, format!("{id}-{}-", "x".repeat(LONG_WORD)), "--batch 16"),
            false => (WORDS, format!("{id}-"), "--token-us 3000"),
        };
        let hold = match hold {
            Hold::Nowhere => String::new(),
            Hold::Prompt => format!("--hold prompt:{}", gate.display()),
            Hold::Middle => format!("--hold {MIDDLE}:{}", gate.display()),
        };
        let frame = job(id, &format!("fake: --count {word} --tokens {words} {pace} {hold}"));
        let text = (0..words).map(|number| format!("{word}{number} ")).collect();
        KnownJob { id: id.to_owned(), frame, text }
    }

    /// A job for the real engine, whose model gives the same answer to every prompt.
    pub(crate) fn real(id: &str) -> KnownJob {
        let mut frame = job(id, id);
        frame["max_tokens"] = json!(REAL_TOKENS);
        KnownJob { id: id.to_owned(), frame, text: REAL_TEXT.get().cloned().unwrap_or_default() }
    }
}

/// Reads the real engine's text once, without a worker in between; `socket` is the engine's.
pub(crate) async fn hear_real_text(socket: &Path) {
    let hear = || async {
        let body = json!({"messages": [{"role": "user", "content": "go on"}], "max_tokens": REAL_TOKENS});
        let answer = http::post_unix(socket, "/v1/chat/completions", &body.to_string()).await.unwrap();
        let whole: Value = serde_json::from_str(&answer.body).unwrap();
        let text = whole["choices"][0]["message"]["content"].as_str();
        text.unwrap_or_else(|| panic!("the real engine said {}", answer.body)).to_owned()
    };
    REAL_TEXT.get_or_init(hear).await;
}
