//! A provider that is a program: real ones.

use std::path::Path;
use std::time::{Duration, Instant};

use auxot_router::{BackendConfig, CliConfig, CliInput, CloudApi, ProviderConfig};
use serde_json::{Value, json};

use crate::cloud::{ask, with};
use crate::cloud_server::CloudServer;
use crate::support::{Client, within_deadline};

const LONG: Duration = Duration::from_secs(300);

pub(crate) fn program(input: CliInput, command: &[&str]) -> ProviderConfig {
    ProviderConfig {
        name: "tool".to_owned(),
        models: vec![("m".to_owned(), "own $(model)".to_owned())],
        max_parallel: 2,
        first_byte_timeout: LONG,
        total_timeout: LONG,
        backend: BackendConfig::Cli(CliConfig {
            command: command.iter().map(|&part| part.to_owned()).collect(),
            input,
            folder: "/".into(),
            environment: Vec::new(),
            max_output: 1 << 20,
        }),
    }
}

/// A program of the shell, which the test names; the router itself uses none.
pub(crate) fn script(text: &str) -> ProviderConfig {
    program(CliInput::Text, &["/bin/sh", "-c", text, "sh", "{model}"])
}

fn chat(content: &Value, stream: bool) -> Value {
    json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": content }] })
}

#[tokio::test]
async fn it_reads_the_prompt_and_its_output_is_the_answer() {
    let (_router, client) = with(vec![program(CliInput::Text, &["/bin/cat"])]).await;
    let prompt = json!("What is \"two\" and Größe?\n\nLine $HOME `id`\n");
    let response = client.chat(&chat(&prompt, false)).response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-auxot-provider"]), (200, &"tool".parse().unwrap()));
    let answer: Value = within_deadline("a body", response.json()).await.unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], prompt.as_str().unwrap().trim_end());
    assert_eq!((&choice["finish_reason"], &answer["model"]), (&json!("stop"), &json!("m")));
    assert_eq!(answer.get("usage"), None, "its tokens are not counted");

    let mut events = client.chat(&chat(&prompt, true)).events().await;
    let (text, last) = events.rest().await;
    assert_eq!(
        (text.as_str(), &last["choices"][0]["finish_reason"]),
        (prompt.as_str().unwrap().trim_end(), &json!("stop"))
    );

    let (_router, client) = with(vec![program(CliInput::Json, &["/bin/cat"])]).await;
    let (_, answer) = client.chat(&chat(&prompt, false)).json().await;
    let read: Value = serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!((&read["model"], &read["messages"][0]["content"]), (&json!("own $(model)"), &prompt));
}

#[tokio::test]
async fn it_gets_its_name_of_the_model_as_one_argument_and_few_variables() {
    let (_router, client) =
        with(vec![script(r#"printf '%s|' "$1" "$#"; env | cut -d= -f1 | sort | tr '\n' ' '"#)]).await;
    let (_, answer) = ask(&client, false).json().await;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let variables = text.strip_prefix("own $(model)|1|").unwrap();
    for variable in variables.split_whitespace() {
        assert!(
            ["PATH", "HOME", "USER", "LANG", "TMPDIR", "PWD", "_", "OLDPWD", "SHLVL"].contains(&variable),
            "{variable}"
        );
    }
}

#[tokio::test]
async fn its_output_comes_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (_router, client) = with(vec![script(&format!("echo one; cat {}", pipe.display()))]).await;
    let mut events = ask(&client, true).events().await;
    events.until("one").await;
    // Only now it may go on.
    tokio::fs::write(&pipe, "two\n").await.unwrap();
    assert_eq!(events.rest().await.0, "\ntwo");
}

#[tokio::test]
async fn a_program_that_fails_in_the_middle_of_an_answer_ends_it_with_one_error() {
    for (end, says) in [("exit 3", "exit status: 3"), ("kill -9 $$", "signal: 9")] {
        let next = CloudServer::start().await;
        let providers = vec![script(&format!("echo half; {end}")), next.provider("next", CloudApi::OpenAi)];
        let (_router, client) = with(providers).await;
        let response = ask(&client, true).response().await;
        assert_eq!(response.status(), 200);
        let text = within_deadline("the rest", response.text()).await.unwrap();
        assert_eq!(text.matches("\"error\"").count(), 1, "{text}");
        assert!(text.contains(says) && text.contains("half") && !text.contains("finish_reason\":\"stop"), "{text}");
        next.expect_no_request();
    }
}

#[tokio::test]
async fn a_program_that_gives_nothing_is_followed_by_the_next_provider() {
    for command in [
        &["/bin/sh", "-c", "exit 3"][..],
        &["/bin/true"],
        &["/nonexistent/program"],
        &["/bin/sh", "-c", "echo; kill -9 $$"],
    ] {
        let next = CloudServer::start().await;
        let providers = vec![program(CliInput::Text, command), next.provider("next", CloudApi::OpenAi)];
        let (_router, client) = with(providers).await;
        let asked = ask(&client, false);
        next.request().await.json(200, "{}").await;
        assert_eq!(asked.response().await.headers()["x-auxot-provider"], "next", "{command:?}");
    }
}

/// Waits until a process is gone, or only its entry is left.
async fn gone(pid: &str) {
    let began = Instant::now();
    let lives = || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
    };
    while lives() {
        assert!(began.elapsed() < Duration::from_secs(60), "process {pid} lives on");
        tokio::task::yield_now().await;
    }
}

/// A program that starts another one, and says both ids.
const TWO: &str = "sleep 600 & echo $! $$; wait";

async fn ids(client: &Client) -> (crate::support::StreamEvents, Vec<String>) {
    let mut events = ask(client, true).events().await;
    let mut text = String::new();
    while text.split_whitespace().count() < 2 {
        let event = events.next().await.unwrap();
        text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    (events, text.split_whitespace().map(str::to_owned).collect())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_leaves_ends_the_program_and_all_that_it_has_started() {
    let (router, client) = with(vec![script(TWO)]).await;
    let (events, started) = ids(&client).await;
    drop(events);
    for pid in &started {
        gone(pid).await;
    }
    // So does a router that stops at once.
    let (_events, started) = ids(&client).await;
    within_deadline("the end of the router", router.abort()).await;
    for pid in &started {
        gone(pid).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_that_is_not_done_in_time_is_killed_and_its_client_hears_of_it() {
    let total_timeout = Duration::from_millis(300);
    let (_router, client) = with(vec![ProviderConfig { total_timeout, ..script(TWO) }]).await;
    let (mut events, started) = ids(&client).await;
    let last = events.rest().await.1;
    assert!(last["error"]["message"].as_str().unwrap().contains("is not done after"), "{last}");
    for pid in &started {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_program_that_ends_is_the_end_of_the_answer_whatever_it_has_started() {
    let (_router, client) = with(vec![script("sleep 600 & echo done")]).await;
    let (status, answer) = ask(&client, false).json().await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("done")));
}

#[tokio::test]
async fn what_a_program_cannot_get_is_named() {
    let (_router, client) = with(vec![program(CliInput::Text, &["/bin/cat"])]).await;
    let image = json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,aa" } }]);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let mut with_tools = chat(&json!("hi"), false);
    with_tools["tools"] = tools;
    let mut with_stop = chat(&json!("hi"), false);
    with_stop["stop"] = json!(["x"]);
    let mut several = chat(&json!("hi"), false);
    several["n"] = json!(2);
    for (body, names) in [(chat(&image, false), "messages"), (with_tools, "tools"), (with_stop, "stop"), (several, "n")]
    {
        let (status, answer) = client.chat(&body).json().await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(names)), "{answer}");
    }
}

#[tokio::test]
async fn too_much_output_ends_the_program() {
    let mut provider = script("yes");
    if let BackendConfig::Cli(cli) = &mut provider.backend {
        cli.max_output = 100_000;
    }
    let (_router, client) = with(vec![provider]).await;
    let (text, last) = ask(&client, true).events().await.rest().await;
    assert!(text.len() <= 100_000, "{}", text.len());
    assert!(last["error"]["message"].as_str().unwrap().contains("more than 100000 bytes"), "{last}");
}
