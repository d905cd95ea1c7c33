use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> Chunk<'_> {
    Chunk::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_token_is_borrowed_from_the_buffer() {
    let text = r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hello "}}],"created":1795402313,"id":"chatcmpl-EidecjE8KJAhGpaTbxP4DdfkcDtAol7N","model":"alias2","system_fingerprint":"b1-7e4c0a9","object":"chat.completion.chunk"}"#;
    let chunk = parse(text);
    assert!(matches!(chunk.content, Some(Cow::Borrowed("Hello "))));
    assert_eq!(Chunk { content: None, ..chunk }, Chunk::default());
}

#[test]
fn escapes_are_resolved() {
    let chunk = parse(r#"{"choices":[{"delta":{"reasoning_content":"a\n\"b\" \u00e9 \ud83d\ude00"}}]}"#);
    assert_eq!(chunk.reasoning.as_deref(), Some("a\n\"b\" \u{e9} \u{1f600}"));
}

#[test]
fn the_first_delta_and_the_empty_ones_say_nothing() {
    for text in [
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"delta":{"content":"","reasoning_content":"","tool_calls":[]},"finish_reason":""}]}"#,
        r#"{"choices":[{"delta":null}]}"#,
        r#"{"choices":[null]}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":null,"timings":null,"prompt_progress":null,"error":null}"#,
        r#"{"choices":[{"delta":{"tool_calls":null}},{"delta":{"content":"second choice"}}]}"#,
        r#"{"usage":null,"unknown":[{"deep":[1,2]}]}"#,
        " {} ",
    ] {
        assert_eq!(parse(text), Chunk::default(), "{text}");
    }
}

#[test]
fn tool_calls_come_in_fragments() {
    let chunk = parse(
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"SO","type":"function","function":{"name":"get","arguments":"{"}}]}}]}"#,
    );
    let want = ToolCallDelta {
        index: 1,
        id: Some("SO".into()),
        kind: Some("function".into()),
        name: Some("get".into()),
        arguments: Some("{".into()),
    };
    assert_eq!(chunk.tool_calls, [want]);
    let chunk = parse(
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"\"city\":"}},{"id":null,"function":null}]}}]}"#,
    );
    assert_eq!(chunk.tool_calls[0], ToolCallDelta { arguments: Some("\"city\":".into()), ..Default::default() });
    assert_eq!(chunk.tool_calls[1], ToolCallDelta::default());
}

#[test]
fn the_last_chunk_has_the_figures() {
    let chunk = parse(
        r#"{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"timings":{"cache_n":24,"prompt_n":1,"prompt_ms":0.538,"prompt_per_second":1858.7,"predicted_n":12,"predicted_ms":5.616}}"#,
    );
    assert_eq!(chunk.finish_reason.as_deref(), Some("length"));
    let want = Timings { cache_n: Some(24), prompt_n: 1, prompt_ms: 0.538, predicted_n: 12, predicted_ms: 5.616 };
    assert_eq!(chunk.timings, Some(want));
    let chunk = parse(r#"{"timings":{"cache_n":-1,"prompt_n":3.0,"prompt_ms":null,"predicted_n":null}}"#);
    assert_eq!(chunk.timings, Some(Timings { cache_n: Some(0), prompt_n: 3, ..Timings::default() }));
    let chunk = parse(
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}"#,
    );
    assert_eq!(chunk.usage, Some(Usage { prompt: 9, completion: 3, cached: Some(2) }));
}

#[test]
fn progress_and_errors_are_found() {
    let chunk = parse(r#"{"choices":[],"prompt_progress":{"total":25,"cache":24,"processed":25,"time_ms":3}}"#);
    assert_eq!(chunk.prompt_progress, Some(PromptProgress { total: 25, cache: 24, processed: 25 }));
    let chunk = parse(r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#);
    let error = chunk.error.unwrap();
    assert_eq!((error.status, error.message.as_str()), (500, "Context size has been exceeded."));
    assert_eq!(parse(r#"{"error":"plain"}"#).error.unwrap().message, "plain");
}

#[test]
fn faults_are_named_without_the_text() {
    for (data, fault) in [
        (&br#"{"choices":[{"delta":{"content":"my secret"}}"#[..], ChunkFault::Incomplete),
        (br#"{"choices":[{"delta":{"content":["my secret"]}}]}"#, ChunkFault::Type),
        (br#"{"choices":[{"delta":{"tool_calls":"my secret"}}]}"#, ChunkFault::Type),
        (br#"{"choices":"my secret"}"#, ChunkFault::Type),
        (br#"{"choices":[{"delta":{"content":"my secret","content":"b"}}]}"#, ChunkFault::Type),
        (br#"{"choices":[{"delta":{"content":my secret}}]}"#, ChunkFault::Syntax),
        (br#"{} my secret"#, ChunkFault::Syntax),
        (br#"["my secret"]"#, ChunkFault::NotObject),
        (b"my secret", ChunkFault::NotObject),
        (b"", ChunkFault::NotObject),
        (b"{\"choices\":[{\"delta\":{\"content\":\"my secret \xff\"}}]}", ChunkFault::NotText),
    ] {
        let error = Chunk::parse(data).unwrap_err();
        assert_eq!(error.fault, fault);
        assert!(!error.to_string().contains("secret") && error.to_string().starts_with("cannot read"), "{error}");
    }
}

#[test]
fn the_end_of_a_stream_is_known() {
    assert!(is_done(b"[DONE]") && is_done(b" [DONE] "));
    assert!(!is_done(b"") && !is_done(b"{}") && !is_done(b"[DONE"));
}

/// Events of the frequent shape, and near misses of it.
fn events() -> impl Strategy<Value = String> {
    let said = prop_oneof![
        Just(""),
        Just("Hello "),
        Just("caf\u{e9}"),
        Just("\\n"),
        Just("a\"b"),
        Just("\\"),
        Just("\n"),
        Just("}}]")
    ];
    let key = prop_oneof![Just("content"), Just("reasoning_content"), Just("role"), Just("tool_calls")];
    let value = prop_oneof![
        Just("\"b1-7e4c0a9\""),
        Just("\"a\\\"b\""),
        Just("1795402313"),
        Just("0"),
        Just("01"),
        Just("1.5"),
        Just("-1"),
        Just("1e3"),
        Just("1x"),
        Just("null"),
        Just("nul"),
        Just("true"),
        Just("{}"),
        Just("[]"),
        Just("{\"total\":3}"),
        Just(""),
    ];
    let name = prop_oneof![
        Just("created"),
        Just("id"),
        Just("model"),
        Just("timings"),
        Just("prompt_progress"),
        Just("error"),
        Just("choices"),
        Just("err\\u006fr"),
    ];
    let field = (name, value).prop_map(|(name, value)| format!(",\"{name}\":{value}"));
    let end = prop_oneof![Just("}"), Just(""), Just("}}"), Just(" }"), Just("} ")];
    (key, said, proptest::collection::vec(field, 0..4), end).prop_map(|(key, said, fields, end)| {
        let head = r#"{"choices":[{"finish_reason":null,"index":0,"delta":{""#;
        format!("{head}{key}\":\"{said}\"}}}}]{}{end}", fields.concat())
    })
}

#[test]
fn real_tokens_take_the_short_way() {
    let text = r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"The "}}],"created":1795402313,"id":"chatcmpl-EidecjE8KJAhGpaTbxP4DdfkcDtAol7N","model":"alias2","system_fingerprint":"b1-7e4c0a9","object":"chat.completion.chunk"}"#;
    assert_eq!(parse_text(text).unwrap().reasoning.as_deref(), Some("The "));
    let text = text.replace("reasoning_content", "content");
    assert_eq!(parse_text(&text).unwrap().content.as_deref(), Some("The "));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_short_way_never_says_other_than_the_long_one(text in events()) {
        if let Some(chunk) = parse_text(&text) {
            prop_assert_eq!(chunk, wire::parse(&text).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn any_text_comes_out_as_it_went_in(content in ".*", reasoning in ".+", cut in 0_usize..400) {
        let text = json!({"choices": [{"delta": {"content": content, "reasoning_content": reasoning}}]}).to_string();
        let chunk = parse(&text);
        prop_assert_eq!(chunk.content.as_deref().unwrap_or_default(), content);
        prop_assert_eq!(chunk.reasoning.as_deref(), Some(reasoning.as_str()));
        prop_assert!(cut >= text.len() || Chunk::parse(&text.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _any_answer_will_do = Chunk::parse(&junk);
    }
}
