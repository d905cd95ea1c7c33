//! Streams as b10434 sends them, and the answers that it gives without one.

use super::*;

fn joined(form: JoinedForm, events: &[&str]) -> Result<JoinedAnswer, ExchangeError> {
    let mut joiner = Joiner::new(form);
    for event in events {
        joiner.take(event.as_bytes())?;
    }
    joiner.finish()
}

fn text(form: JoinedForm, events: &[&str]) -> String {
    let answer = joined(form, events).unwrap();
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

/// An event of a chat with this choice.
fn chat(choice: &str) -> String {
    format!(
        r#"{{"choices":[{choice}],"created":7,"id":"chatcmpl-a","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk"}}"#
    )
}

const LAST: &str = r#"{"choices":[],"created":9,"id":"chatcmpl-a","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk","usage":{"completion_tokens":2,"prompt_tokens":1e1},"timings":{"predicted_ms":1.50}}"#;
const TAIL: &str = r#""created":9,"model":"m","system_fingerprint":"b1","object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":1e1},"id":"chatcmpl-a","timings":{"predicted_ms":1.50}}"#;

fn delta(delta: &str) -> String {
    chat(&format!(r#"{{"finish_reason":null,"index":0,"delta":{delta}}}"#))
}

fn finish(reason: &str) -> String {
    chat(&format!(r#"{{"finish_reason":"{reason}","index":0,"delta":{{}}}}"#))
}

#[test]
fn a_chat_is_the_message_that_its_deltas_say() {
    let events = [
        delta(r#"{"role":"assistant","content":null}"#),
        delta(r#"{"reasoning_content":"think\n"}"#),
        delta(r#"{"content":"a \"b"}"#),
        delta(r#"{"content":"\u0001é"}"#),
        finish("stop"),
        LAST.to_owned(),
        "[DONE]".to_owned(),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let want = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"a \"b\u0001é","reasoning_content":"think\n"}}],"#;
    assert_eq!(text(JoinedForm::Chat, &events), format!("{want}{TAIL}"));
}

#[test]
fn tool_calls_are_joined_by_their_index() {
    let events = [
        delta(r#"{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":"{"}}]}"#),
        delta(r#"{"tool_calls":[{"index":0,"function":{"arguments":"\"a\":1}"}}]}"#),
        delta(r#"{"tool_calls":[{"index":1,"function":{"name":"g"}}]}"#),
        finish("tool_calls"),
        LAST.to_owned(),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let want = r#"{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"id":"x"},{"type":"function","function":{"name":"g","arguments":""}}]}}],"#;
    assert_eq!(text(JoinedForm::Chat, &events), format!("{want}{TAIL}"));
    let odd = delta(r#"{"tool_calls":[{"index":3,"function":{"name":"g"}}]}"#);
    assert!(matches!(joined(JoinedForm::Chat, &[&odd]), Err(ExchangeError::Malformed(_))));
}

#[test]
fn a_completion_is_its_last_event_with_the_whole_text() {
    let events = [
        r#"{"choices":[{"text":"one","index":0,"logprobs":null,"finish_reason":null}],"created":7,"model":"m","system_fingerprint":"b1","object":"text_completion","id":"c"}"#,
        r#"{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"created":8,"model":"m","system_fingerprint":"b1","object":"text_completion","usage":{"total_tokens":3},"id":"c","timings":{}}"#,
        "[DONE]",
    ];
    let want = r#"{"choices":[{"text":"one","index":0,"logprobs":null,"finish_reason":"length"}],"created":8,"model":"m","system_fingerprint":"b1","object":"text_completion","usage":{"total_tokens":3},"id":"c","timings":{}}"#;
    assert_eq!(text(JoinedForm::Text, &events), want);
}

#[test]
fn an_error_in_the_middle_is_the_answer_and_an_early_end_is_none() {
    let error = r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#;
    for form in [JoinedForm::Chat, JoinedForm::Text] {
        let answer = joined(form, &[error]).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (500, error.as_bytes()));
        assert_eq!(joined(form, &[]), Err(ExchangeError::Cut));
        assert!(matches!(joined(form, &["nonsense"]), Err(ExchangeError::Malformed(_))));
    }
    assert_eq!(joined(JoinedForm::Chat, &[&delta(r#"{"content":"a"}"#)]), Err(ExchangeError::Cut));
    assert!(joined(JoinedForm::Chat, &[&finish("length")]).unwrap().lacks_text);
    assert!(!joined(JoinedForm::Chat, &[&delta(r#"{"content":"a"}"#), &finish("stop")]).unwrap().lacks_text);
}
