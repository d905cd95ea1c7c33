//! Valid inputs of every parser, from which the mutations start.

use auxot_tests::gguf::ModelFile;

/// Frames of the router.
pub(crate) fn router_frames() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"type":"hello_ack","success":true,"gpu_id":"0f1e","policy":{"model_name":"m","quantization":"Q4_K_S","context_size":4096,"max_parallelism":2,"capabilities":null}}"#,
        r#"{"type":"hello_ack","success":false,"error":"key revoked","reconnectInSeconds":60}"#,
        r#"{"type":"job","job_id":"chatcmpl-00aa","messages":[{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":"data:image/png;base64,AAAA"}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"temperature":0.2,"max_tokens":256,"data":{"context_size":1e3}}"#,
        r#"{"type":"cancel","job_id":"chatcmpl-00aa"}"#,
        r#"{"type":"policy_update","policy":null}"#,
        r#"{"type":"error","error":"invalid GPU key","details":"x"}"#,
    ])
}

/// Frames of a worker.
pub(crate) fn worker_frames() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"type":"hello","gpu_key":"adm_x","capabilities":{"backend":"llama.cpp","model":"m","ctx_size":32768,"vram_gb":79.6,"parameters":"3B","total_slots":2,"models":[{"name":"m","state":"ready","slots":2}],"devices":[{"id":"host","name":"h","total_bytes":1}]}}"#,
        r#"{"type":"token","job_id":"j","token":"A \"cat\" \u00e9","reasoning":true}"#,
        r#"{"type":"complete","job_id":"j","full_response":"A","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
        r#"{"type":"heartbeat","jobs":3}"#,
        r#"{"type":"prompt_progress","job_id":"j","total":4096,"cached":1024,"processed":2048}"#,
    ])
}

/// Events of a chat stream, without their framing.
pub(crate) fn chunks() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" token"}}],"created":1,"id":"chatcmpl-x","model":"m","object":"chat.completion.chunk"}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"hm \n\u00e9"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":1"}}]}}]}"#,
        r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"timings":{"cache_n":0,"prompt_n":7,"prompt_ms":1.5,"predicted_n":4,"predicted_ms":2.5}}"#,
        r#"{"choices":[],"prompt_progress":{"total":10,"cache":1,"processed":5,"time_ms":3}}"#,
        r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}}"#,
        "[DONE]",
    ])
}

/// Whole event streams.
pub(crate) fn streams() -> Vec<Vec<u8>> {
    let framed = chunks().into_iter().flat_map(|chunk| [b"data: ".as_slice(), &chunk, b"\n\n"].concat()).collect();
    vec![framed, b":\n\ndata: a\r\ndata: b\r\n\r\nevent: x\ndata: c\n\n".to_vec()]
}

/// Conversations as callers write them.
pub(crate) fn conversations() -> Vec<Vec<u8>> {
    texts(&[
        r#"[{"role":"system","content":"Be brief."},{"role":"user","content":null},{"role":"user"}]"#,
        r#"[{"role":"user","content":[{"type":"image_url","image_url":"data:,x"},{"type":"image_url","image_url":{"url":"y"}},{"type":"odd"}]}]"#,
        r#"[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":""}},{"function":{"arguments":"{\"a\":"}}]},{"role":"tool","content":"r"}]"#,
        "null",
    ])
}

/// Bodies that name a model.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"model":"a/b:c","messages":[{"role":"user","content":"hi \" \\"}],"stream":true,"n":1}"#,
        r#"{"mod\u0065l":"a\/b","model":null,"Model":{"model":"x"},"input":[1,-2.5e3,true],"tools":[{}]}"#,
    ])
}

/// Forms with a recording and a model.
pub(crate) fn forms() -> Vec<Vec<u8>> {
    let file = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n";
    let model = "--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n";
    [format!("{file}{model}--xyz--\r\n"), format!("{model}{file}--xyz--"), format!("{model}{model}--xyz--")]
        .map(String::into_bytes)
        .into()
}

/// Texts with markers in them.
pub(crate) fn marked_texts() -> Vec<Vec<u8>> {
    texts(&[
        "a <think>b</think> c <tool_call><function=f><parameter=x>1</parameter></function></tool_call> d",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, 2]}}\n</tool_call>",
    ])
}

/// Lines and texts that an engine prints.
pub(crate) fn engine_texts() -> Vec<Vec<u8>> {
    texts(&[
        r#"cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":0.43}}"#,
        r#"cmd_child_to_router:state:{"state":"ready","payload":{"id":"m"}}"#,
        "version: 0.1.0-dev (build 1, commit 7e4c0a9)\nbuilt with GNU 11.4.0 for Linux x86_64\n",
        "version: 6123 (abc1234)",
        "----- common params -----\n\n-h,    --help, --usage            print usage and exit\n--no-kv-unified, -no-kvu            x\n",
    ])
}

/// Model files.
pub(crate) fn model_files() -> Vec<Vec<u8>> {
    let split = ModelFile { split: Some((0, 2)), ..ModelFile::named("tiny-00001-of-00002") };
    vec![ModelFile::named("tiny").bytes(), split.bytes(), b"GGUF\x03\0\0\0".to_vec()]
}

/// Configuration files.
pub(crate) fn configurations() -> Vec<Vec<u8>> {
    texts(&[
        "[router]\nurl = \"ws://x\"\nheartbeat_interval = \"30s\"\n[engine]\nslots = 2\ngpu_layers = \"all\"\n",
        "[fleet]\nautoload = [\"a\", \"b\"]\n[metrics]\nport = 9090\n[router]\nconnections = 3\nmax_message = \"1MiB\"\n",
    ])
}

/// Addresses of routers.
pub(crate) fn addresses() -> Vec<Vec<u8>> {
    texts(&["https://user:pw@ai.example.com:8080/x?y#z", "[::1]:8080", "ws://localhost", "h/path"])
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
