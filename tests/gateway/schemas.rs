//! Tool schemas of which an engine can make no grammar: it is asked once more, with reduced ones.

use tokio::net::UnixStream;

use super::bytes::{constant, direct, real};
use super::client::{Client, request};

const MODEL: &str = "tiny-tool-f16";
const KIND: &str = "Content-Type: application/json\r\n";
/// A pattern without anchors is usual in schemas, and none that the engine takes.
const FULL: &str = r#"{"type":"object","properties":{"city":{"type":"string","pattern":"abc"}}}"#;
const REDUCED: &str = r#"{"properties":{"city":{"type":"string"}},"type":"object"}"#;
/// Its type stays when it is reduced.
const UNREADABLE: &str = r#"{"type":"object","properties":{"city":{"type":"made-up","default":1}}}"#;

/// A request of each API, with a place for a schema.
const REQUESTS: [(&str, &str); 4] = [
    (
        "/v1/chat/completions",
        r#"{"tools":[{"type":"function","function":{"name":"get_weather","parameters":SCHEMA}}],"messages":[{"role":"user","content":"hello"}],"temperature":0}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":"hello"}],"temperature":0,"stream":true,"tools":[{"type":"function","function":{"name":"get_weather","parameters":SCHEMA}}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"max_tokens":300,"messages":[{"role":"user","content":"hello"}],"temperature":0,"tools":[{"name":"get_weather","input_schema":SCHEMA}]}"#,
    ),
    (
        "/v1/responses",
        r#"{"input":"hello","temperature":0,"tools":[{"type":"function","name":"get_weather","parameters":SCHEMA}]}"#,
    ),
];

#[tokio::test]
async fn schemas_that_the_engine_refuses_are_reduced_and_other_refusals_are_its_own() {
    let (scratch, worker, address) = real(&[MODEL], &[]).await;
    let (_engine, socket) = direct(&scratch, &worker).await;
    let of_engine = async |path: &str, body: &str| {
        let stream = UnixStream::connect(&socket).await.unwrap();
        Client::on(Box::new(stream), request("POST", path, KIND, body).as_bytes()).await.whole().await
    };
    for (path, body) in REQUESTS {
        let with = |schema: &str| body.replace("SCHEMA", schema);
        let refused = of_engine(path, &with(FULL)).await;
        assert_eq!(refused.status, 400, "the engine takes it: {}", refused.text());
        let answer = Client::post(&address, path, &with(FULL)).await.whole().await;
        assert!(answer.status == 200 && answer.text().contains("get_weather"), "{path}: {}", answer.text());
        assert_eq!(constant(&answer), constant(&of_engine(path, &with(REDUCED)).await), "{path}");
        let answer = Client::post(&address, path, &with(UNREADABLE)).await.whole().await;
        assert_eq!(constant(&answer), constant(&of_engine(path, &with(UNREADABLE)).await), "{path}");
        assert!(answer.status == 400 && answer.text().contains("default"), "{}", answer.text());
    }
}
