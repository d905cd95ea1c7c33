use super::*;
use crate::Chunk;

fn delta(index: u32, id: &'static str, name: &'static str, arguments: &'static str) -> ToolCallDelta<'static> {
    let some = |text: &'static str| (!text.is_empty()).then_some(text.into());
    ToolCallDelta { index, id: some(id), kind: None, name: some(name), arguments: some(arguments) }
}

fn assemble(deltas: &[ToolCallDelta<'_>]) -> Result<Vec<ToolCall>, BadCall> {
    let mut assembler = Assembler::new();
    for delta in deltas {
        assembler.push(delta);
    }
    assembler.finish()
}

#[test]
fn the_fragments_of_a_real_stream_make_one_call() {
    // b10434, as captured.
    let events = [
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"id":"SOZF","type":"function","function":{"name":"get_weather","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"city\":"}}]}}]}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" \"Paris\"}"}}]}}]}"#,
    ];
    let mut assembler = Assembler::new();
    for event in events {
        for delta in Chunk::parse(event.as_bytes()).unwrap().tool_calls {
            assembler.push(&delta);
        }
    }
    let want = ToolCall {
        id: "SOZF".into(),
        kind: "function".into(),
        name: "get_weather".into(),
        arguments: r#"{"city": "Paris"}"#.into(),
    };
    assert_eq!(assembler.finish(), Ok(vec![want]));
}

#[test]
fn calls_may_come_interleaved_and_out_of_order() {
    let calls = assemble(&[
        delta(1, "b", "second", "{"),
        delta(0, "a", "first", "{\"x\":"),
        delta(1, "", "", "}"),
        delta(0, "", "", "1}"),
    ]);
    let calls = calls.unwrap();
    assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("first", "{\"x\":1}"));
    assert_eq!((calls[1].name.as_str(), calls[1].arguments.as_str()), ("second", "{}"));
}

#[test]
fn what_is_missing_is_filled_in() {
    let calls = assemble(&[
        delta(0, "", "f", ""),
        delta(1, "", "g", "null"),
        delta(2, "x", "h", "{}"),
        delta(3, "x", "i", "{}"),
    ]);
    let calls = calls.unwrap();
    assert!(calls.iter().all(|call| !call.id.is_empty() && call.kind == "function" && call.arguments == "{}"));
    let mut ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids[2], "x");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn calls_with_index_zero_each_are_distinguished_by_their_ids() {
    let calls = assemble(&[delta(0, "a", "f", "{}"), delta(0, "b", "g", "{}"), delta(0, "b", "", " ")]).unwrap();
    assert_eq!(calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), ["f", "g"]);
}

#[test]
fn an_unreadable_call_names_its_tool() {
    for arguments in ["{\"path\":\"/home", "[1]", "Paris"] {
        let bad = assemble(&[delta(0, "a", "delete", arguments)]).unwrap_err();
        assert_eq!(bad.name, "delete");
        assert!(!bad.to_string().contains("home"));
    }
    assert_eq!(assemble(&[delta(0, "a", "", "{\"x\":1}")]), Err(BadCall { name: String::new() }));
    assert_eq!(assemble(&[ToolCallDelta::default()]), Ok(vec![]), "a fragment without anything is no call");
}

#[test]
fn of_an_answer_that_was_cut_the_call_being_written_is_left_out() {
    let call = |index, arguments: &'static str| ToolCallDelta {
        index,
        name: Some("f".into()),
        arguments: Some(arguments.into()),
        ..ToolCallDelta::default()
    };
    let finish = |calls: &[ToolCallDelta<'_>]| {
        let mut assembler = Assembler::new();
        calls.iter().for_each(|call| assembler.push(call));
        assembler.finish_cut().into_iter().map(|call| call.arguments).collect::<Vec<_>>()
    };
    for cut in ["", "{", r#"{"a":"b""#, r#"{"a":"b"#] {
        assert_eq!(finish(&[call(0, r#"{"a":1}"#), call(1, cut)]), [r#"{"a":1}"#], "{cut}");
    }
    assert_eq!(finish(&[call(0, r#"{"a":1}"#)]).len(), 1, "whole although it is the last");
    assert!(finish(&[call(0, "[1]"), call(1, "{")]).is_empty());
}
