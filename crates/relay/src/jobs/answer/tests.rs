//! Events of an engine, and the answer that they make.

use super::*;

fn after_events(mut answer: Answer, events: &[&str]) -> Result<Answer, Outcome> {
    for event in events {
        answer.push_event(event.as_bytes())?;
    }
    answer.close()?;
    Ok(answer)
}

fn text(content: &str) -> String {
    serde_json::json!({"choices":[{"index":0,"delta":{"content":content}}]}).to_string()
}

fn plain() -> Answer {
    Answer::new(true, false, None)
}

#[test]
fn a_stream_becomes_one_complete_message() {
    let events = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
        &text("A "),
        &text("cat."),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"timings":{"cache_n":3,"prompt_n":7,"prompt_ms":10.9,"predicted_n":4,"predicted_ms":20.9}}"#,
        "[DONE]",
    ];
    let mut answer = after_events(plain(), &events).unwrap();
    let complete = answer.completed("j").unwrap();
    assert_eq!((&*complete.full_response, complete.reasoning_content.as_deref()), ("A cat.", Some("hm")));
    assert_eq!((complete.cache_tokens, complete.input_tokens, complete.output_tokens), (Some(3), Some(7), Some(4)));
    assert_eq!((complete.duration_ms, complete.reasoning_tokens), (Some(31), Some(1)));
    assert_eq!(complete.finish_reason.as_deref(), Some("stop"));
}

#[test]
fn an_engine_without_timings_is_counted_by_its_usage() {
    let last = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"timings":{"prompt_n":7,"prompt_ms":1.0,"predicted_n":4,"predicted_ms":2.0}}"#;
    let usage = |cached: &str| {
        format!(r#"{{"choices":[],"usage":{{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14{cached}}}}}"#)
    };
    let counts = |events: &[&str]| {
        let mut answer = after_events(plain(), events).unwrap();
        let complete = answer.completed("j").unwrap();
        (complete.cache_tokens, complete.input_tokens, complete.output_tokens)
    };
    let reported = usage(r#","prompt_tokens_details":{"cached_tokens":3}"#);
    assert_eq!(counts(&[last, "[DONE]"]), (None, Some(7), Some(4)), "unknown is not none");
    assert_eq!(counts(&[last, &usage(""), "[DONE]"]), (Some(3), Some(7), Some(4)));
    assert_eq!(counts(&[&text("A"), &reported, "[DONE]"]), (Some(3), Some(7), Some(4)), "without timings");
}

#[test]
fn a_tool_call_that_was_cut_at_the_limit_is_a_success_that_reports_it() {
    let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":\"b"}}]}}]}"#;
    let cut = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
    let mut answer = after_events(plain(), &[&text("Let me"), call, cut, "[DONE]"]).unwrap();
    let complete = answer.completed("j").unwrap();
    assert_eq!((&*complete.full_response, complete.finish_reason.as_deref()), ("Let me", Some("length")));
    assert!(complete.tool_calls.is_empty());
}

#[test]
fn an_end_without_a_reason_is_an_error() {
    assert!(matches!(after_events(plain(), &[&text("A")]), Err(Outcome::EngineGone { after_text: true })));
    assert!(matches!(after_events(plain(), &[]), Err(Outcome::EngineGone { after_text: false })));
    assert!(after_events(plain(), &["[DONE]"]).is_ok(), "an empty answer is one");
}

#[test]
fn an_error_in_the_stream_ends_the_job() {
    let error = r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#;
    assert!(
        matches!(after_events(plain(), &[&text("A"), error]), Err(Outcome::EngineFailed(error)) if error.status == 500)
    );
}

#[test]
fn unwanted_reasoning_is_dropped_in_every_place() {
    let quiet = || Answer::new(false, false, None);
    let thought = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"think"}}]}"#;
    let mut answer = after_events(quiet(), &[thought, &text("Hello"), "[DONE]"]).unwrap();
    assert_eq!(answer.completed("j").unwrap().full_response, "Hello");
    let mut answer =
        after_events(quiet(), &[&text("<thi"), &text("nk>hm</th"), &text("ink>Hel"), &text("lo"), "[DONE]"]).unwrap();
    let complete = answer.completed("j").unwrap();
    assert_eq!((&*complete.full_response, complete.reasoning_content), ("Hello", None));
    let mut answer = after_events(quiet(), &[&text("\n"), &text("\n Hel"), &text("\n\nlo"), "[DONE]"]).unwrap();
    assert_eq!(answer.completed("j").unwrap().full_response, "Hel\n\nlo", "no blank lines where it was");
    let mut answer = after_events(quiet(), &[thought, "[DONE]"]).unwrap();
    assert_eq!(answer.completed("j").unwrap().full_response, "think", "there is no other text");
}

#[test]
fn markers_are_parsed_only_when_they_are_switched_on() {
    let text_with_markers = "<think>a</think>b<tool_call><function=f><parameter=x>1</parameter></function></tool_call>";
    for at in 0..=text_with_markers.len() {
        let events = [text(&text_with_markers[..at]), text(&text_with_markers[at..]), "[DONE]".to_owned()];
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let mut answer = after_events(Answer::new(true, true, None), &events).unwrap();
        let complete = answer.completed("j").unwrap();
        assert_eq!((&*complete.full_response, complete.reasoning_content.as_deref()), ("b", Some("a")), "cut at {at}");
        assert_eq!(complete.tool_calls.len(), 1, "cut at {at}");
    }
    let mut answer = after_events(plain(), &[&text(text_with_markers), "[DONE]"]).unwrap();
    assert_eq!(answer.completed("j").unwrap().full_response, text_with_markers, "and not otherwise");
}

#[test]
fn a_call_that_was_cut_at_the_limit_is_not_a_fault() {
    let call = |arguments: &str| {
        serde_json::json!({"choices":[{"index":0,"delta":{"tool_calls":[
            {"index":0,"id":"a","type":"function","function":{"name":"f","arguments":arguments}}]}}]})
        .to_string()
    };
    let cut = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
    let mut answer = after_events(plain(), &[&text("so"), &call("{\"a\": [1,"), cut, "[DONE]"]).unwrap();
    let complete = answer.completed("j").unwrap();
    assert_eq!((complete.tool_calls.len(), complete.finish_reason.as_deref()), (0, Some("length")));
    let mut answer = after_events(plain(), &[&call("{}"), cut, "[DONE]"]).unwrap();
    assert_eq!(answer.completed("j").unwrap().tool_calls.len(), 1, "a whole one stays");
}

#[test]
fn each_piece_of_text_has_its_logprobs_and_the_end_has_all() {
    let event = |token: &str| {
        format!(
            r#"{{"choices":[{{"finish_reason":null,"index":0,"delta":{{"content":"{token}"}},"logprobs":{{"content":[{{"token":"{token}","logprob":-0.5}}]}}}}]}}"#
        )
    };
    let list = |tokens: &[&str]| {
        let entries: Vec<String> =
            tokens.iter().map(|token| format!(r#"{{"token":"{token}","logprob":-0.5}}"#)).collect();
        format!(r#"{{"content":[{}]}}"#, entries.join(","))
    };
    let mut answer =
        after_events(plain(), &[&event("a"), &event(""), &event("b"), &event("c"), &event(""), "[DONE]"]).unwrap();
    let of = |from, upto| answer.logprobs.of(&(from..upto)).map(|logprobs| logprobs.0.get().to_owned());
    assert_eq!((of(0, 1), of(1, 2)), (Some(list(&["a"])), Some(list(&["", "b"]))));
    assert_eq!(of(1, 3), Some(list(&["", "b", "c"])), "pieces that go together");
    assert_eq!((of(0, 0), of(3, 3)), (None, None));
    let logprobs = answer.completed("j").unwrap().logprobs.unwrap();
    assert_eq!(logprobs.0.get(), list(&["a", "", "b", "c", ""]));
    let mut without = after_events(plain(), &[&text("a"), "[DONE]"]).unwrap();
    assert_eq!((without.logprobs.of(&(0..1)), without.completed("j").unwrap().logprobs), (None, None));
}

#[test]
fn a_call_whose_arguments_are_not_an_object_is_never_sent() {
    let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"[1]"}}]}}]}"#;
    let mut answer = after_events(plain(), &[call, "[DONE]"]).unwrap();
    assert!(matches!(answer.completed("j"), Err(Outcome::BadToolCall { tool }) if tool == "f"));
}
