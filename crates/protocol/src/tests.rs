//! Golden frames: what goes over the wire, letter for letter.

use crate::*;
use std::borrow::Cow;

#[test]
fn hello_is_written_as_the_router_expects_it() {
    let hello = ToRouter::Hello(Box::new(Hello {
        gpu_key: "adm_EXAMPLE".into(),
        worker_type: None,
        capabilities: Capabilities {
            backend: "llama.cpp".into(),
            model: "gemma-3-4b-it".into(),
            ctx_size: 32768,
            vram_gb: Some(79.6),
            parameters: Some("3B".into()),
            total_slots: Some(2),
            ..Capabilities::default()
        },
    }));
    assert_eq!(
        hello.to_frame(),
        r#"{"type":"hello","gpu_key":"adm_EXAMPLE","capabilities":{"backend":"llama.cpp","model":"gemma-3-4b-it","ctx_size":32768,"vram_gb":79.6,"parameters":"3B","total_slots":2}}"#
    );
}

#[test]
fn optional_fields_are_left_out_when_empty() {
    let bare = ToRouter::Hello(Box::new(Hello {
        gpu_key: "k".into(),
        worker_type: None,
        capabilities: Capabilities::default(),
    }));
    assert_eq!(
        bare.to_frame(),
        r#"{"type":"hello","gpu_key":"k","capabilities":{"backend":"","model":"","ctx_size":0}}"#
    );
    assert_eq!(ToRouter::Heartbeat(Box::default()).to_frame(), r#"{"type":"heartbeat"}"#);
    assert_eq!(
        ToRouter::Complete(Box::new(Complete { job_id: "j".into(), ..Complete::default() })).to_frame(),
        r#"{"type":"complete","job_id":"j","full_response":""}"#
    );
    assert_eq!(
        ToRouter::Error(JobError { error: "no".into(), ..JobError::default() }).to_frame(),
        r#"{"type":"error","error":"no"}"#
    );
}

#[test]
fn token_carries_reasoning_only_when_it_is() {
    let token =
        |reasoning| ToRouter::Token(Token { job_id: "j".into(), token: "A \"cat\"".into(), reasoning, logprobs: None });
    assert_eq!(token(false).to_frame(), r#"{"type":"token","job_id":"j","token":"A \"cat\""}"#);
    assert_eq!(token(true).to_frame(), r#"{"type":"token","job_id":"j","token":"A \"cat\"","reasoning":true}"#);
}

#[test]
fn hello_ack_tolerates_null_unknown_and_zero() {
    let frame = r#"{"type":"hello_ack","success":true,"gpu_id":"0f","new_thing":[1],"policy":{"model_name":"m","quantization":"Q4_K_S","context_size":0,"max_parallelism":0,"capabilities":null}}"#;
    let Ok(ToWorker::HelloAck(ack)) = ToWorker::parse(frame) else { panic!("not a hello_ack") };
    let policy = ack.policy.expect("policy");
    assert_eq!((policy.slots(), policy.context_size, policy.capabilities.len()), (1, 0, 0));
    assert_eq!(policy.wanted_model(), "m-Q4_K_S");
    assert!(policy.is_for_gpu());
}

#[test]
fn a_job_keeps_the_callers_bytes() {
    let frame = r#"{"type":"job","job_id":"j1","messages":[{"role":"user","content":null,"z":1,"a":2}],"temperature":0,"tools":null}"#;
    let Ok(ToWorker::Job(job)) = ToWorker::parse(frame) else { panic!("not a job") };
    assert_eq!(job.messages.expect("messages").get(), r#"[{"role":"user","content":null,"z":1,"a":2}]"#);
    assert_eq!(job.temperature, Some(0.0));
    assert_eq!(job.max_tokens, None);
    assert!(job.tools.is_none_or(|tools| tools.get() == "null"));
}

#[test]
fn an_unreadable_job_still_names_itself() {
    let error = ToWorker::parse(r#"{"type":"job","job_id":"j1","temperature":"secret prompt"}"#).unwrap_err();
    assert_eq!(error.job_id.as_deref(), Some("j1"));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn unknown_types_are_named_and_bad_frames_are_errors() {
    assert!(matches!(ToWorker::parse(r#"{"type":"agent_run"}"#), Ok(ToWorker::Unknown(kind)) if kind == "agent_run"));
    for bad in ["", "null", "[]", "{}", "{\"type\":7}", "not json", "{\"type\":\"job\"}"] {
        assert!(ToWorker::parse(bad).is_err(), "{bad}");
        assert!(ToRouter::parse(bad).is_err() || bad.contains("job"), "{bad}");
    }
}

#[test]
fn what_a_worker_writes_a_router_reads() {
    let complete = Complete {
        job_id: "j".into(),
        full_response: "A cat.".into(),
        tool_calls: vec![ToolCall {
            id: "c1".into(),
            kind: "function".into(),
            function: FunctionCall { name: "f".into(), arguments: "{}".into() },
        }],
        finish_reason: Some(Cow::Borrowed("length")),
        ..Complete::default()
    };
    let frame = ToRouter::Complete(Box::new(complete.clone())).to_frame();
    let Ok(ToRouter::Complete(read)) = ToRouter::parse(&frame) else { panic!("not a complete") };
    assert_eq!(*read, complete);
}

proptest::proptest! {
    #[test]
    fn no_frame_panics_the_readers(frame in ".*") {
        let _ = ToWorker::parse(&frame);
        let _ = ToRouter::parse(&frame);
    }

    #[test]
    fn text_of_any_kind_survives_the_wire(text in ".*", reasoning: bool) {
        let frame = ToRouter::Token(Token { job_id: "j".into(), token: Cow::Borrowed(&text), reasoning, logprobs: None }).to_frame();
        let Ok(ToRouter::Token(token)) = ToRouter::parse(&frame) else { panic!("not a token") };
        proptest::prop_assert_eq!((&*token.token, token.reasoning), (&*text, reasoning));
    }
}

#[test]
fn what_the_extensions_add_is_read_and_left_out_where_it_is_not_said() {
    let frame = r#"{"type":"error","job_id":"j","error":"too long","code":"context_length_exceeded","param":"messages","status":400}"#;
    let Ok(ToRouter::Error(error)) = ToRouter::parse(frame) else { panic!("not an error") };
    assert_eq!(
        (error.status, error.code.as_deref(), error.retry_after),
        (Some(400), Some("context_length_exceeded"), None)
    );
    assert_eq!(ToRouter::Error(error).to_frame(), frame);

    let frame = r#"{"type":"job","job_id":"j","request":{"parameters":{"seed": 7,"stop":["x"]}}}"#;
    let Ok(ToWorker::Job(job)) = ToWorker::parse(frame) else { panic!("not a job") };
    let parameters = job.request.and_then(|request| request.parameters).expect("parameters");
    assert_eq!(parameters.get(), r#"{"seed": 7,"stop":["x"]}"#, "as the caller wrote it");

    let frame =
        r#"{"type":"complete","job_id":"j","full_response":"a","logprobs":{"content":[{"token":"a","logprob":-0.1}]}}"#;
    let Ok(ToRouter::Complete(complete)) = ToRouter::parse(frame) else { panic!("not a complete") };
    assert_eq!(ToRouter::Complete(complete).to_frame(), frame);
    let frame = r#"{"type":"token","job_id":"j","token":"a","logprobs":{"content":[{"token":"a","logprob":-0.1}]}}"#;
    let Ok(ToRouter::Token(token)) = ToRouter::parse(frame) else { panic!("not a token") };
    assert_eq!(ToRouter::Token(token).to_frame(), frame);

    let beat = ToRouter::Heartbeat(Box::new(Heartbeat { draining: true, ..Heartbeat::default() }));
    assert_eq!(beat.to_frame(), r#"{"type":"heartbeat","draining":true}"#);
    let frame = r#"{"type":"config","capabilities":{"extensions":["not_started"],"aliases":[{"name":"gpt-4o","model":"m"}],"draining":null}}"#;
    let Ok(ToRouter::Config { capabilities }) = ToRouter::parse(frame) else { panic!("not a config") };
    assert!(extension::has(&capabilities.extensions, extension::NOT_STARTED) && !capabilities.draining);
    assert_eq!(capabilities.aliases[0].name, "gpt-4o");
}
