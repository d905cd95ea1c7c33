//! Streams as b10434 sends them, and the answers that it gives without one.

use super::*;

fn joined_with(form: JoinedForm, options: &[AnswerOption], events: &[&str]) -> Result<JoinedAnswer, ExchangeError> {
    let mut joiner = Joiner::new(form, options);
    for event in events {
        joiner.take(event.as_bytes())?;
    }
    joiner.finish()
}

fn joined(form: JoinedForm, events: &[&str]) -> Result<JoinedAnswer, ExchangeError> {
    joined_with(form, &[], events)
}

fn text(form: JoinedForm, events: &[&str]) -> String {
    let answer = joined(form, events).unwrap();
    assert_eq!((answer.status, answer.lacks_text), (200, false));
    String::from_utf8(answer.body).unwrap()
}

fn lacks(form: JoinedForm, options: &[AnswerOption], events: &[&str]) -> bool {
    joined_with(form, options, events).unwrap().lacks_text
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
    assert!(lacks(JoinedForm::Chat, &[], &[&odd]), "a call is missing");
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
fn several_choices_come_in_their_order_with_the_usage_of_the_first() {
    let of = |index: u32, rest: &str| chat(&format!(r#"{{"index":{index},{rest}}}"#));
    let usage = |n: u32| {
        format!(
            r#"{{"choices":[],"created":{n},"id":"c","usage":{{"completion_tokens":{n}}},"timings":{{"predicted_n":{n}}}}}"#
        )
    };
    let (stop, length) = (r#""delta":{},"finish_reason":"stop""#, r#""delta":{},"finish_reason":"length""#);
    let events = [
        of(1, r#""delta":{"content":"b"}"#),
        of(0, r#""delta":{"content":"a"}"#),
        of(1, stop),
        usage(5),
        of(0, length),
        usage(3),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let want = r#"{"choices":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":"a"}},{"finish_reason":"stop","index":1,"message":{"role":"assistant","content":"b"}}],"created":3,"model":"m","system_fingerprint":"b1","object":"chat.completion","usage":{"completion_tokens":3},"id":"c","timings":{"predicted_n":3}}"#;
    assert_eq!(text(JoinedForm::Chat, &events), want);
    assert_eq!(joined(JoinedForm::Chat, &events[..4]), Err(ExchangeError::Cut), "the first has not ended");
}

/// An event of a completion: its text, its other fields, and how many tokens there are.
fn piece(text: &str, rest: &str, tokens: u32) -> String {
    format!(r#"{{"choices":[{{"text":"{text}","index":0{rest}}}],"id":"c","timings":{{"predicted_n":{tokens}}}}}"#)
}

#[test]
fn probabilities_of_a_completion_are_those_of_all_its_tokens() {
    let entry = |id: u32| format!(r#","logprobs":{{"content":[{{"id":{id},"logprob":-1.50}}]}},"finish_reason":null"#);
    let last = piece("", r#","logprobs":null,"finish_reason":"length""#, 2);
    let events = [piece("a", &entry(1), 1), piece("", &entry(2), 2), last.clone()];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let want = r#"{"choices":[{"text":"a","index":0,"logprobs":{"content":[{"id":1,"logprob":-1.50},{"id":2,"logprob":-1.50}]},"finish_reason":"length"}],"object":"text_completion","id":"c","timings":{"predicted_n":2}}"#;
    let answer = joined_with(JoinedForm::Text, &[AnswerOption::Probabilities], &events).unwrap();
    assert_eq!(String::from_utf8(answer.body).unwrap(), want);
    let without = piece("a", r#","logprobs":null,"finish_reason":null"#, 1);
    assert!(lacks(JoinedForm::Text, &[AnswerOption::Probabilities], &[&without, &last]));
}

#[test]
fn the_beginning_of_a_cut_character_is_one_sign() {
    let last = piece("", r#","finish_reason":"length""#, 3);
    let body = text(JoinedForm::Text, &[&piece("a", "", 1), &last]);
    assert!(body.contains("\"text\":\"a\u{fffd}\""), "{body}");
    let body = text(JoinedForm::Text, &[&piece("a", "", 3), &last]);
    assert!(body.contains(r#""text":"a""#), "{body}");
}

#[test]
fn text_that_a_stop_sequence_holds_back_is_in_no_event() {
    let stops = &[AnswerOption::Stops];
    let cut = piece("", r#","finish_reason":"length""#, 2);
    let events = [&*piece("a", "", 1), &*piece("", "", 2), &*cut];
    assert!(lacks(JoinedForm::Text, stops, &events) && !lacks(JoinedForm::Text, &[], &events));
    let counted = |event: String, tokens: u32| {
        event.replace(r#","object""#, &format!(r#","timings":{{"predicted_n":{tokens}}},"object""#))
    };
    let events = [counted(delta(r#"{"content":"a"}"#), 1), counted(finish("length"), 2)];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    assert!(lacks(JoinedForm::Chat, stops, &events) && !lacks(JoinedForm::Chat, &[], &events));
}

#[test]
fn a_result_is_its_last_event_with_the_whole_text() {
    let part = |index: u32, text: &str, tokens: u32, rest: &str| {
        format!(
            r#"{{"index":{index},"content":"{text}","tokens":[7],"stop":false,"id_slot":-1,"tokens_predicted":{tokens}{rest}}}"#
        )
    };
    let end = |index: u32, text: &str, stream: bool, tokens: u32| {
        format!(
            r#"{{"index":{index},"content":"{text}","tokens":[],"stop":true,"tokens_predicted":{tokens},"generation_settings":{{"grammar":"\"stream\":true","stream":{stream},"n_probs":0}},"stop_type":"limit","timings":{{"a":1.50}}}}"#
        )
    };
    let one = [&*part(0, "", 0, r#","prompt_progress":{"total":2}"#), &*part(0, "a\\n", 1, ""), &*end(0, "", true, 1)];
    assert_eq!(text(JoinedForm::Native, &one), end(0, "a\\n", false, 1));
    let two = [&*part(1, "b", 1, ""), &*end(1, "", true, 1), &*part(0, "a", 1, ""), &*end(0, "", true, 2)];
    let want = format!("[{},{}]", end(0, "a\u{fffd}", false, 2), end(1, "b", false, 1));
    assert_eq!(text(JoinedForm::Native, &two), want);
    let with = part(0, "a", 1, r#","completion_probabilities":[{"id":1}]"#);
    let answer =
        joined_with(JoinedForm::Native, &[AnswerOption::Probabilities], &[&with, &end(0, "", true, 1)]).unwrap();
    let want = end(0, "a", false, 1);
    let want = format!(r#"{},"completion_probabilities":[{{"id":1}}]}}"#, want.strip_suffix('}').unwrap());
    assert_eq!(String::from_utf8(answer.body).unwrap(), want);
    assert!(lacks(JoinedForm::Native, &[AnswerOption::Probabilities], &one));
    let held_back = [&*part(0, "", 1, ""), &*end(0, "", true, 1)];
    assert!(
        lacks(JoinedForm::Native, &[AnswerOption::Stops], &held_back) && !lacks(JoinedForm::Native, &[], &held_back)
    );
}

const MESSAGE: [&str; 11] = [
    r#"{"type":"message_start","message":{"id":"chatcmpl-1","type":"message","role":"assistant","content":[],"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"cache_read_input_tokens":20,"input_tokens":5,"output_tokens":0}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I \"am\""}}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{ \"a\": 1.0"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"}"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":6}}"#,
    r#"{"type":"message_stop"}"#,
];

#[test]
fn a_message_is_made_of_its_blocks() {
    let want = r#"{"id":"chatcmpl-1","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"I \"am\""},{"type":"tool_use","id":"t","name":"f","input":{"a":1.0}}],"model":"m","stop_reason":"max_tokens","stop_sequence":null,"usage":{"cache_read_input_tokens":20,"input_tokens":5,"output_tokens":6}}"#;
    assert_eq!(text(JoinedForm::Message, &MESSAGE), want);
    assert!(lacks(JoinedForm::Message, &[], &MESSAGE[3..]), "its first event is missing");
    assert!(lacks(JoinedForm::Message, &[], &[MESSAGE[0], MESSAGE[9]]), "nothing of it came");
    assert!(lacks(JoinedForm::Message, &[AnswerOption::Stops], &MESSAGE));
    assert_eq!(joined(JoinedForm::Message, &MESSAGE[..9]), Err(ExchangeError::Cut));
    let answer = joined(JoinedForm::Message, &[MESSAGE[0], r#"{"code":503,"message":"x","type":"y"}"#]).unwrap();
    assert_eq!((answer.status, &*answer.body), (503, r#"{"error":{"code":503,"message":"x","type":"y"}}"#.as_bytes()));
}

#[test]
fn a_response_is_its_last_event_in_another_form() {
    let call =
        r#"{"id":"fc_a","type":"function_call","status":"completed","arguments":"{}","call_id":"call_a","name":"f"}"#;
    let output = format!(
        r#"{{"id":"rs_1","summary":[],"type":"reasoning","content":[{{"text":"hm","type":"reasoning_text"}}],"encrypted_content":""}},{{"type":"message","status":"completed","id":"msg_1","content":[{{"type":"output_text","text":"a"}}],"role":"assistant"}},{call}"#
    );
    let last = |output: &str| {
        format!(
            r#"{{"type":"response.completed","response":{{"id":"resp_1","object":"response","created_at":7,"status":"completed","model":"m","output":[{output}],"usage":{{"input_tokens":1}}}},"timings":{{}}}}"#
        )
    };
    let first = r#"{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress"}}"#;
    let want = format!(
        r#"{{"completed_at":7,"created_at":7,"id":"resp_1","model":"m","object":"response","output":[{{"id":"rs_1","summary":[],"type":"reasoning","content":[{{"text":"hm","type":"reasoning_text"}}],"encrypted_content":"","status":"completed"}},{{"content":[{{"type":"output_text","text":"a"}}],"id":"msg_1","role":"assistant","status":"completed","type":"message"}},{call}],"status":"completed","usage":{{"input_tokens":1}}}}"#
    );
    assert_eq!(text(JoinedForm::Response, &[first, &last(&output)]), want);
    assert!(lacks(JoinedForm::Response, &[], &[first, &last("")]));
    assert_eq!(joined(JoinedForm::Response, &[first]), Err(ExchangeError::Cut));
}

#[test]
fn an_answer_that_a_stream_has_not_is_not_joined() {
    use AnswerOption::{Fields, Probabilities, Several, Stops, Tokens, Verbose};
    for (form, joins, does_not) in [
        (JoinedForm::Chat, &[&[Several, Stops][..]][..], &[&[Probabilities][..], &[Verbose]][..]),
        (JoinedForm::Text, &[&[Several, Stops], &[Probabilities]], &[&[Probabilities, Stops], &[Verbose]]),
        (JoinedForm::Native, &[&[Several, Stops], &[Probabilities]], &[&[Tokens], &[Fields], &[Stops, Probabilities]]),
        (JoinedForm::Message, &[&[Stops]], &[&[Several]]),
        (JoinedForm::Response, &[&[]], &[&[Several], &[Stops]]),
    ] {
        assert!(joins.iter().all(|options| form.joins(options)), "{form:?}");
        assert!(does_not.iter().all(|options| !form.joins(options)), "{form:?}");
    }
}

#[test]
fn an_error_in_the_middle_is_the_answer_and_an_early_end_is_none() {
    let error = r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#;
    for form in [JoinedForm::Chat, JoinedForm::Text, JoinedForm::Native, JoinedForm::Response] {
        let answer = joined(form, &[error]).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (500, error.as_bytes()));
        assert_eq!(joined(form, &[]), Err(ExchangeError::Cut));
        assert!(matches!(joined(form, &["nonsense"]), Err(ExchangeError::Malformed(_))));
    }
    assert_eq!(joined(JoinedForm::Chat, &[&delta(r#"{"content":"a"}"#)]), Err(ExchangeError::Cut));
    assert!(joined(JoinedForm::Chat, &[&finish("length")]).unwrap().lacks_text);
    assert!(!joined(JoinedForm::Chat, &[&delta(r#"{"content":"a"}"#), &finish("stop")]).unwrap().lacks_text);
}
