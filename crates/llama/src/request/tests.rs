use serde_json::Value;

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// The messages as they leave, given how they came.
fn sent(messages: &str) -> String {
    let messages = raw(messages);
    let body = ChatRequest { messages: Some(&messages), ..ChatRequest::default() }.to_body().unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(serde_json::from_str::<&RawValue>(&body).is_ok(), "{body}");
    body.strip_prefix(r#"{"model":"","messages":"#)
        .unwrap()
        .strip_suffix(r#","stream":true,"stream_options":{"include_usage":true}}"#)
        .unwrap()
        .to_owned()
}

#[test]
fn a_full_request_has_these_fields_and_no_others() {
    let (messages, tools) = (raw(r#"[{"role":"user","content":"hi"}]"#), raw(r#"[ {"type":"function"} ]"#));
    let request = ChatRequest {
        model: "llama-\"3\"",
        messages: Some(&messages),
        tools: Some(&tools),
        temperature: Some(0.0),
        max_tokens: Some(64),
        reasoning_effort: Some("high"),
        progress: true,
        parameters: None,
    };
    assert_eq!(
        String::from_utf8(request.to_body().unwrap()).unwrap(),
        r#"{"model":"llama-\"3\"","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true},"return_progress":true,"tools":[ {"type":"function"} ],"temperature":0,"max_tokens":64,"reasoning_effort":"high"}"#
    );
}

#[test]
fn what_is_absent_is_not_sent() {
    let none = raw("null");
    let empty = raw("[]");
    for (messages, tools) in [(None, None), (Some(&*none), Some(&*none)), (Some(&*empty), Some(&*empty))] {
        let request =
            ChatRequest { model: "m", messages, tools, temperature: Some(f64::NAN), ..ChatRequest::default() };
        assert_eq!(
            request.to_body().unwrap(),
            br#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#
        );
    }
}

#[test]
fn temperature_keeps_its_value() {
    for (number, text) in [(0.7, "0.7"), (1e-7, "0.0000001"), (2.0, "2")] {
        let body = ChatRequest { temperature: Some(number), ..ChatRequest::default() }.to_body().unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["temperature"].as_f64(), Some(number));
        assert!(String::from_utf8(body).unwrap().contains(&format!(":{text}}}")), "{text}");
    }
}

#[test]
fn effort_none_also_tells_the_template() {
    for effort in ["none", "None", "NONE"] {
        let body = ChatRequest { reasoning_effort: Some(effort), ..ChatRequest::default() }.to_body().unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["reasoning_effort"], effort);
        assert_eq!(value["chat_template_kwargs"], serde_json::json!({"enable_thinking": false, "thinking": false}));
    }
    let body = ChatRequest { reasoning_effort: Some(""), ..ChatRequest::default() }.to_body().unwrap();
    assert_eq!(body, br#"{"model":"","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#);
}

#[test]
fn absent_content_becomes_empty_and_null_stays() {
    assert_eq!(sent(r#"[{"role":"assistant"}]"#), r#"[{"role":"assistant","content":""}]"#);
    assert_eq!(sent(r#"[{"role":"assistant","content":null}]"#), r#"[{"role":"assistant","content":null}]"#);
    assert_eq!(sent("[{}]"), r#"[{"content":""}]"#);
}

#[test]
fn arguments_of_earlier_calls_can_be_read_by_a_template() {
    for (came, leaves) in [
        (r#""""#, r#""{}""#),
        ("null", r#""{}""#),
        (r#""  ""#, r#""{}""#),
        (r#""{\"a\": 1}""#, r#""{\"a\": 1}""#),
        (r#""{\"a\":\"b""#, r#""{\"a\":\"b\"}""#),
        (r#""city=Paris""#, r#""{}""#),
        (r#""[1,2]""#, r#""[1,2]""#),
        (r#"{"a" :1.50}"#, r#""{\"a\" :1.50}""#),
        (r#""\ud800""#, r#""\ud800""#),
    ] {
        let call = |arguments: &str| {
            format!(
                r#"[{{"role":"assistant","content":null,"tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":{arguments}}}}}]}}]"#
            )
        };
        assert_eq!(sent(&call(came)), call(leaves));
    }
    assert_eq!(
        sent(r#"[{"content":"","tool_calls":[{"id":"c","function":{"name":"f"}},7]}]"#),
        r#"[{"content":"","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"},"type":"function"},7]}]"#
    );
}

#[test]
fn a_flat_image_gets_its_object_and_every_other_part_stays() {
    assert_eq!(
        sent(
            r#"[{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,AA\/A"},{"type":"text","text":"\u0041"}]}]"#
        ),
        r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA\/A"}},{"type":"text","text":"\u0041"}]}]"#
    );
    for same in [
        r#"[{"content":[{"type":"image_url","image_url":{"url":"x","detail":"low"}}]}]"#,
        r#"[{"content":[{"type":"image_url","image_url":""}]}]"#,
        r#"[{"content":[{"type":"image_url","image_url":null}]}]"#,
        r#"[{"content":["text",null,{"type":"video","x":1.0e5}]}]"#,
        r#"[{"content":{"odd":true},"tool_calls":null}]"#,
        r#"["text",null,3]"#,
        r#""no list""#,
        "12345678901234567890.5",
    ] {
        assert_eq!(sent(same), same);
    }
}

#[test]
fn unknown_fields_numbers_and_order_are_left_alone() {
    let same = r#"[{"z":1,"role":"tool","a":{"deep":[1e400,-0]},"content":"x\ud83d","tool_call_id":"c"}]"#;
    assert_eq!(sent(same), same);
}

#[test]
fn a_request_no_engine_takes_is_refused_with_its_length() {
    let request = ChatRequest { model: "m", ..ChatRequest::default() };
    let bytes = request.to_body().unwrap().len();
    assert!(request.body_within(bytes).is_ok());
    assert_eq!(request.body_within(bytes - 1), Err(RequestError::TooLarge { bytes, limit: bytes - 1 }));
}

#[test]
fn images_are_noticed_and_words_about_them_are_not() {
    assert!(has_images(&raw(
        r#"[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"y"}}]}]"#
    )));
    assert!(has_images(&raw(r#"[{"content":"x"},{"content":[{"type":"image_url","image_url":"y"}]}]"#)));
    for text in [
        r#"[{"content":"what is image_url?"}]"#,
        r#"[{"content":[{"type":"text","text":"image_url"}]}]"#,
        "null",
        "\"image_url\"",
        "[]",
    ] {
        assert!(!has_images(&raw(text)), "{text}");
    }
}

#[test]
fn tools_are_reduced_to_the_common_schema() {
    let tools = raw(
        r#"[{"type":"function","function":{"name":"f","description":"d","parameters":{"$schema":"x","type":"object","additionalProperties":false,
        "properties":{"a":{"type":"array","items":{"type":"string"},"description":"list"},"b":{"anyOf":[{"type":"string"}],"enum":["x"]},
        "c":{"type":["string","null"],"minLength":2},"d":true},"required":["a"]}}},
        {"type":"function","function":{"name":"g"}},{"type":"function","function":{"name":"h","parameters":null}}]"#,
    );
    let want = r#"[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"array","description":"list"},"b":{"enum":["x"],"type":"string"},"c":{"type":["string","null"]}},"required":["a"]}}},{"type":"function","function":{"name":"g"}},{"type":"function","function":{"name":"h","parameters":null}}]"#;
    assert_eq!(reduce_tools(&tools).unwrap().get(), want);
    assert_eq!(reduce_tools(&raw("[]")).unwrap().get(), "[]");
    assert_eq!(reduce_tools(&raw("{}")).unwrap_err(), RequestError::Tools);
    assert_eq!(reduce_tools(&raw(r#"[{"function":{"parameters":"x"}}]"#)).unwrap_err(), RequestError::Tools);
}

/// A request's fields behind those of the stream, with these parameters.
fn with(effort: Option<&str>, parameters: &str) -> Result<String, RequestError> {
    let parameters = raw(parameters);
    let request = ChatRequest { reasoning_effort: effort, parameters: Some(&parameters), ..ChatRequest::default() };
    let body = String::from_utf8(request.to_body()?).unwrap();
    assert!(serde_json::from_str::<&RawValue>(&body).is_ok(), "{body}");
    Ok(body
        .strip_prefix(r#"{"model":"","messages":[],"stream":true,"stream_options":{"include_usage":true}"#)
        .unwrap()
        .to_owned())
}

#[test]
fn parameters_stand_beside_what_we_write_and_do_not_change_how_we_talk() {
    assert_eq!(with(None, r#"{"seed": 7,"stop":["\n"]}"#).unwrap(), r#","seed":7,"stop":["\n"]}"#);
    let ours = r#"{"stream":false,"n":4,"messages":[],"model":"x","id_slot":3,"return_progress":false,"top_k":1}"#;
    assert_eq!(with(None, ours).unwrap(), r#","top_k":1}"#);
    assert_eq!(with(None, "null").unwrap(), "}");
    assert_eq!(with(None, "[1]"), Err(RequestError::Parameters));
}

#[test]
fn what_the_caller_says_to_the_template_counts_more_than_the_effort() {
    let none = r#""enable_thinking":false,"thinking":false"#;
    assert!(with(Some("none"), "{}").unwrap().ends_with(&format!(r#","chat_template_kwargs":{{{none}}}}}"#)));
    let given = r#"{"chat_template_kwargs":{ "enable_thinking":true }}"#;
    assert_eq!(with(None, given).unwrap(), r#","chat_template_kwargs":{ "enable_thinking":true }}"#);
    let both = with(Some("none"), given).unwrap();
    assert!(both.ends_with(&format!(r#"{{{none},"enable_thinking":true}}}}"#)), "{both}");
}
