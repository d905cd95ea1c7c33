//! Bodies of every API that are looked into, and bodies that are none.

use super::super::limits::{MOST_LEVELS, MOST_TOOLS};
use super::*;

fn peek(body: &str) -> Peek {
    Peek::into(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn refused(body: &str) -> PeekError {
    Peek::into(body.as_bytes()).expect_err(body)
}

#[test]
fn the_model_and_the_stream_are_found_wherever_they_are() {
    for body in [
        r#"{"model":"a/b:c","stream":true}"#,
        r#" { "messages" : [{"role":"user","content":"{\"model\":\"x\"} \\"}] , "stream" : true,
            "model" : "a/b:c" } "#,
        r#"{"stream":true,"x":[1,-2.5e3,null,{"model":"inner","stream":false}],"mod\u0065l":"a\/b:c"}"#,
        r#"{"model":"first","model":"a/b:c","stream":false,"stream":true}"#,
    ] {
        let found = peek(body);
        let model = found.model.unwrap();
        assert_eq!((model.name.as_str(), found.stream), ("a/b:c", true), "{body}");
        let text: String = serde_json::from_str(&body[model.place]).unwrap();
        assert_eq!(text, "a/b:c");
    }
    assert_eq!(peek("{}"), Peek::default());
    for body in [r#"{"model":null,"stream":"true"}"#, r#"{"model":{"model":"x"},"stream":[true]}"#] {
        assert_eq!((peek(body).model, peek(body).stream), (None, false), "{body}");
    }
}

#[test]
fn a_further_model_is_found_however_it_is_written() {
    for body in [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":null,"mod\u0065l":"b"}"#,
        r#"{"Model":"a"}"#,
        r#"{"model":"a","n":1,"MODEL":{}}"#,
    ] {
        assert!(peek(body).has_other_models, "{body}");
    }
    for body in [r#"{"model":"a"}"#, r#"{"models":"a","x":{"model":"a","model":"b"}}"#, r#"{"model":"model"}"#] {
        assert!(!peek(body).has_other_models, "{body}");
    }
}

#[test]
fn what_is_not_json_is_refused_and_no_text_reads_past_its_end() {
    let whole = r#"{"model":"m","messages":[{"content":"a\"b"}],"n":1}"#;
    for end in 0..whole.len() {
        assert!(matches!(refused(&whole[..end]), PeekError::NotJson { .. }), "{}", &whole[..end]);
    }
    for body in ["[]", "\"x\"", "7", r#"[{"model":"m","stream":true}]"#] {
        assert_eq!(peek(body), Peek::default(), "{body}");
    }
    for body in ["", "[", "{} {}", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1,}"#, r#"{a:1}"#, "{\"a\":\"\\"] {
        assert!(matches!(refused(body), PeekError::NotJson { .. }), "{body}");
    }
}

#[test]
fn depth_and_number_are_bounded_as_for_jobs_of_the_router() {
    let nested = |levels: usize| format!(r#"{{"messages":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert_eq!(peek(&nested(MOST_LEVELS)).model, None);
    for levels in [MOST_LEVELS + 1, 1_000_000] {
        assert!(matches!(refused(&nested(levels)), PeekError::Limit(RequestError::TooDeep { .. })));
    }
    let tools = |count: usize| format!(r#"{{"tools":[{}]}}"#, vec!["{}"; count].join(","));
    assert_eq!(peek(&tools(MOST_TOOLS)).model, None);
    let refusal = refused(&tools(MOST_TOOLS + 1));
    assert!(matches!(refusal, PeekError::Limit(RequestError::TooManyTools { .. })));
}

#[test]
fn every_url_that_an_engine_would_fetch_is_refused_in_each_api() {
    let chat = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    for part in [
        r#"{"type":"image_url","image_url":{"url":"http://h/x"}}"#,
        r#"{"type":"image_url","image_url":"http://h/x"}"#,
        r#"{"type":"image_url","image\u005furl":{"u\u0072l":"http:\/\/h/x"}}"#,
        r#"{"image_url":{"url":"data:,"},"image_url":{"url":"http://h/x"}}"#,
        r#"{"type":"video_url","video_url":{"url":"http://h/x"}}"#,
        r#"{"type":"image","source":{"type":"url","url":"http://h/x"}}"#,
        r#"{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"http://h/x"}}]}"#,
    ] {
        assert_eq!(refused(&chat(part)), PeekError::ForeignUrl { url: "http://h/x".into() }, "{part}");
    }
    assert_eq!(
        refused(r#"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"file:///etc/x"}]}]}"#),
        PeekError::ForeignUrl { url: "file:///etc/x".into() }
    );
    for part in [
        r#"{"type":"image_url","image_url":{"url":"DATA:image/png;base64,AA"}}"#,
        r#"{"type":"text","text":"see http://h/x and \"image_url\":\"http://h\""}"#,
        r#"{"type":"image","source":{"type":"base64","data":"AA"}}"#,
        r#"{"type":"tool_use","input":{"url":"http://h/x","image_url":"http://h/x","source":{"url":"http://h"}}}"#,
    ] {
        peek(&chat(part));
    }
    peek(r#"{"tools":[{"parameters":{"image_url":"http://h"}}],"metadata":{"image_url":"http://h"}}"#);
}

#[test]
fn a_url_may_be_fetched_where_the_caller_of_the_scan_allows_it() {
    let body = |url: &str| format!(r#"{{"messages":[{{"content":[{{"image_url":{{"url":"{url}"}}}}]}}]}}"#);
    let fetching = |url: &str| Peek::fetching(body(url).as_bytes(), &|url| url == "http://h/a b");
    assert!(fetching(r"http:\/\/h/a\u0020b").is_ok());
    assert_eq!(fetching("http://other/"), Err(PeekError::ForeignUrl { url: "http://other/".into() }));
}

#[test]
fn the_list_of_tools_is_found() {
    let tools = |body: &'static str| peek(body).tools.map(|place| &body[place]);
    assert_eq!(tools(r#"{"tools": [{"a":"]"}] ,"n":1}"#), Some(r#"[{"a":"]"}]"#));
    assert_eq!(tools(r#"{"tools":[],"tools":null}"#), None);
    assert_eq!(tools(r#"{"tools": [ ]}"#), None);
    assert_eq!(tools(r#"{"x":{"tools":[1]}}"#), None);
}

#[test]
fn what_an_answer_that_is_no_stream_has() {
    use AnswerOption::{Fields, Probabilities, Several, Stops, Tokens, Verbose};
    let whole = |behind, options: &[AnswerOption]| Some(WholeAnswer { behind, options: options.to_vec() });
    for (body, want) in [
        (r#"{"messages":[]}"#, whole(1, &[])),
        (r#"{"prompt":"x","n":1,"logprobs":null,"stop":[],"stream":false} "#, whole(2, &[])),
        (r#"{"messages":[],"logprobs":false,"n":null,"stop":null}"#, whole(1, &[])),
        (r#"{"messages":[],"stream":true}"#, None),
        (r#"{"prompt":["x","y"],"n":2}"#, whole(1, &[Several])),
        (r#"{"n_cmpl":2,"logprobs":true,"top_logprobs":3}"#, whole(1, &[Several, Probabilities, Probabilities])),
        (r#"{"n_probs":1,"stop":"x"}"#, whole(1, &[Probabilities, Stops])),
        (r#"{"stop_sequences":["x"],"return_tokens":true}"#, whole(1, &[Stops, Tokens])),
        (r#"{"response_fields":["content"],"verbose":true}"#, whole(1, &[Fields, Verbose])),
        (r#"{"return_tokens":false,"verbose":false,"nested":{"n":2}}"#, whole(1, &[])),
        ("{ }", None),
        ("[]", None),
    ] {
        assert_eq!(peek(body).whole, want, "{body}");
    }
}

#[test]
fn the_messages_of_a_conversation_and_where_each_ends() {
    let messages = |body: &'static str| peek(body).conversation.map(|place| &body[place]);
    let list = r#"[{"a":"]"} , [1,2], "x"]"#;
    assert_eq!(messages(r#"{"model":"m","messages": [{"a":"]"} , [1,2], "x"] ,"n":1}"#), Some(list));
    assert_eq!(messages(r#"{"input":[]}"#), Some("[]"));
    assert_eq!(messages(r#"{"input":"text","system":["x"]}"#), None);
    assert_eq!(messages("[]"), None);
    let parts: Vec<&str> = element_ends(list.as_bytes()).into_iter().map(|end| &list[..end]).collect();
    assert_eq!(parts, [r#"[{"a":"]"}"#, r#"[{"a":"]"} , [1,2]"#, r#"[{"a":"]"} , [1,2], "x""#]);
    assert_eq!(element_ends(b"[1,2,"), [2, 4], "none behind a fault");
    assert_eq!(element_ends(b"{}"), [] as [usize; 0]);
}
