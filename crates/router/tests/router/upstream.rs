//! The table of `docs/upstream.md` that compares both routers: each row is sent to ours.

use serde_json::{Value, json};

use crate::support::{API_KEY, Client, ScriptedWorker, WORKER_KEY, config, one_model, start, within_deadline};

const GUIDE: &str = include_str!("../../../../docs/upstream.md");
const CHAT: &str = r#"{"model":"gemma-3-4b-it","messages":[{"role":"user","content":"hi"}]}"#;

/// What a row of the table says of our router.
struct Row {
    /// The first cell: a method and a path, and in words what is special.
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    status: u16,
    /// Where something is in the body, and what.
    body: &'static [(&'static str, &'static str)],
}

const BEARER: &[(&str, &str)] = &[("authorization", "Bearer rtr_scripted-client")];
const LOWER_CASE: &[(&str, &str)] = &[("authorization", "bearer rtr_scripted-client")];
const X_API_KEY: &[(&str, &str)] = &[("x-api-key", "rtr_scripted-client")];
const OF_WORKER: &[(&str, &str)] = &[("authorization", "Bearer adm_scripted-worker")];

const fn row(
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    status: u16,
    body: &'static [(&'static str, &'static str)],
) -> Row {
    Row { name, fields, status, body }
}

/// Without a worker.
const ALONE: &[Row] = &[
    row("`GET /health`", &[], 200, &[("/status", "ok"), ("/workers", "0"), ("/active_jobs", "0")]),
    row("`GET /api/openai/models` without a key", &[], 401, &[("/error/message", "missing Bearer token")]),
    row("`GET /api/openai/models` with a worker's key", OF_WORKER, 401, &[("/error/message", "invalid API key")]),
    row("`GET /api/openai/models` with no worker", BEARER, 200, &[("/object", "list"), ("/data", "[]")]),
    row("`GET /api/anthropic/models` with no worker", X_API_KEY, 200, &[("/has_more", "false"), ("/data", "[]")]),
    row("`GET /ws/gpu`", &[], 404, &[("/error/code", "unknown_url")]),
    row("`GET /` and other addresses", &[], 404, &[("/error/code", "unknown_url")]),
];

/// With a worker that takes whole requests, and answers with the path that it gets.
const SERVED: &[Row] = &[
    row("`GET /api/openai/models`", BEARER, 200, &[("/data/0/id", "gemma-3-4b-it"), ("/data/0/owned_by", "auxot")]),
    row("`GET /api/openai/models` with `bearer`", LOWER_CASE, 200, &[("/data/0/id", "gemma-3-4b-it")]),
    row("`GET /api/openai/models` with `x-api-key`", X_API_KEY, 200, &[("/data/0/id", "gemma-3-4b-it")]),
    row("`GET /v1/models`", BEARER, 200, &[("/data/0/id", "gemma-3-4b-it")]),
    row("`GET /api/openai/models/gemma-3-4b-it`", BEARER, 200, &[("/id", "gemma-3-4b-it")]),
    row("`GET /api/openai/models/other`", BEARER, 404, &[("/error/type", "not_found_error")]),
    row("`GET /api/anthropic/v1/models`", X_API_KEY, 200, &[("/data/0/type", "model"), ("/has_more", "false")]),
    row("`GET /api/anthropic/v1/models/other`", X_API_KEY, 404, &[("/error/type", "not_found_error")]),
    row("`POST /api/openai/chat/completions`", BEARER, 200, &[("/path", "/v1/chat/completions")]),
    row("`POST /api/openai/v1/chat/completions`", BEARER, 200, &[("/path", "/v1/chat/completions")]),
    row("`POST /api/openai/v1/v1/chat/completions`", BEARER, 200, &[("/path", "/v1/chat/completions")]),
    row("`POST /v1/chat/completions`", BEARER, 200, &[("/path", "/v1/chat/completions")]),
    row(
        "`POST /api/openai/chat/completions` for a model that is not there",
        BEARER,
        404,
        &[("/error/code", "model_not_found")],
    ),
    row(
        "`POST /api/openai/chat/completions` with what is no JSON",
        BEARER,
        400,
        &[("/error/type", "invalid_request_error")],
    ),
    row("`GET /api/openai/chat/completions`", BEARER, 405, &[("/error/code", "method_not_allowed")]),
    row("`DELETE /api/openai/chat/completions`", BEARER, 405, &[("/error/code", "method_not_allowed")]),
    row("`POST /api/openai/completions`", BEARER, 200, &[("/path", "/v1/completions")]),
    row("`POST /api/openai/embeddings`", BEARER, 200, &[("/path", "/v1/embeddings")]),
    row("`POST /api/openai/responses`", BEARER, 200, &[("/path", "/v1/responses")]),
    row("`POST /api/openai/images/generations`", BEARER, 501, &[("/error/type", "not_implemented")]),
    row("`GET /api/openai/files`", BEARER, 501, &[("/error/type", "not_implemented")]),
    row("`POST /api/anthropic/messages`", X_API_KEY, 200, &[("/path", "/v1/messages")]),
    row("`POST /api/anthropic/v1/messages`", X_API_KEY, 200, &[("/path", "/v1/messages")]),
    row("`POST /api/anthropic/v1/v1/messages`", X_API_KEY, 200, &[("/path", "/v1/messages")]),
    row(
        "`POST /api/anthropic/v1/messages` without a key",
        &[],
        401,
        &[("/type", "error"), ("/error/type", "authentication_error")],
    ),
    row("`POST /api/anthropic/v1/messages/count_tokens`", X_API_KEY, 200, &[("/path", "/v1/messages/count_tokens")]),
    row("`POST /api/anthropic/v1/messages/batches`", X_API_KEY, 501, &[("/type", "error")]),
];

impl Row {
    fn method_and_path(&self) -> (&'static str, &'static str) {
        self.name.trim_start_matches('`').split('`').next().and_then(|request| request.split_once(' ')).unwrap()
    }

    fn text(&self) -> &'static str {
        match self.name {
            name if name.ends_with("no JSON") => "{",
            name if name.ends_with("not there") => r#"{"model":"other","messages":[]}"#,
            _ => CHAT,
        }
    }

    /// The cells of the row in the guide.
    fn in_guide(&self) -> Vec<&'static str> {
        let line = GUIDE.lines().find(|line| line.starts_with(&format!("| {} |", self.name)));
        let line = line.unwrap_or_else(|| panic!("no row in docs/upstream.md: {}", self.name));
        line.trim_matches('|').split(" | ").map(str::trim).collect()
    }

    async fn walk(&self, client: &Client) {
        let (method, path) = self.method_and_path();
        let mut request = client.request(method, path);
        for (name, value) in self.fields {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            request = request.header("content-type", "application/json").body(self.text());
        }
        let response = within_deadline(self.name, request.send()).await.unwrap();
        let is_repeated = response.headers().get("x-should-retry").is_none_or(|value| value != "false");
        assert!(self.status != 501 || !is_repeated, "{}: clients repeat a 5xx", self.name);
        let status = response.status().as_u16();
        let text = within_deadline(self.name, response.text()).await.unwrap();
        assert_eq!(status, self.status, "{}: {text}", self.name);
        let body: Value = serde_json::from_str(&text).unwrap();
        for (place, want) in self.body {
            let found = body.pointer(place).unwrap_or_else(|| panic!("{}: nothing at {place} in {text}", self.name));
            assert_eq!(found.as_str().map_or(found.to_string(), str::to_owned), *want, "{}: {text}", self.name);
        }
        let ours = self.in_guide()[2];
        assert!(ours.starts_with(&self.status.to_string()), "docs/upstream.md says of {}: {ours}", self.name);
    }
}

#[tokio::test]
async fn the_router_answers_as_the_table_says() {
    assert_eq!((BEARER[0].1, OF_WORKER[0].1), (&*format!("Bearer {API_KEY}"), &*format!("Bearer {WORKER_KEY}")));
    let router = start(config()).await;
    let client = Client::new(&router);
    for row in ALONE {
        row.walk(&client).await;
    }
    let mut capabilities = one_model(2);
    capabilities["extensions"] = json!(["requests"]);
    let mut worker = ScriptedWorker::join(&router, &capabilities).await;
    let answers = async {
        while let Some((job, _)) = worker.try_payload().await {
            let id = job["job_id"].as_str().unwrap();
            let body = json!({ "path": job["request"]["http"]["path"] }).to_string();
            worker.head(id, "a", 200, "application/json").await;
            worker.data(id, 0, body.as_bytes()).await;
            worker.send(json!({ "type": "complete", "job_id": id, "length": body.len() })).await;
        }
    };
    let walk = async {
        for row in SERVED {
            row.walk(&client).await;
        }
    };
    tokio::select! {
        () = answers => panic!("the worker's connection has ended"),
        () = walk => {}
    }
}

#[test]
fn each_row_of_the_guide_is_walked() {
    let rows = GUIDE.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let requests = rows.filter(|cell| ["GET", "POST", "DELETE"].iter().any(|method| cell.starts_with(method)));
    for cell in requests {
        let is_known = ALONE.iter().chain(SERVED).any(|row| row.name.trim_start_matches('`') == cell);
        assert!(is_known, "no test has the row `{cell}");
    }
}
