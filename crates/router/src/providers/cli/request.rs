//! Requests of other APIs than the one for chats, as the text that a program reads.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::form::AnswerApi;
use super::prompt;
use crate::failure::{BadRequest, Failure};
use crate::parameters::changes_answer;

/// Fields that every API has, and those that a program does not see, as it does not see them of a chat.
const KNOWN: [&str; 4] = ["model", "stream", "stream_options", "temperature"];

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The one text of a completion.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneText<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    List(#[serde(borrow)] [Cow<'a, str>; 1]),
}

/// Whether a body has tools.
pub(super) fn has_tools(body: &[u8]) -> bool {
    read(body).is_ok_and(|fields| fields.get("tools").is_some_and(|tools| tools.get() != "[]"))
}

/// The prompt of a body, or why a program cannot get it.
pub(super) fn prompt(api: AnswerApi, body: &[u8]) -> Result<String, Failure> {
    let fields = read(body)?;
    let (own, name): (&[&str], _) = match api {
        AnswerApi::Completions => (&["prompt", "max_tokens"], "prompt"),
        AnswerApi::Messages => (&["messages", "system", "max_tokens"], "messages"),
        AnswerApi::Responses => (&["input", "instructions", "max_output_tokens", "reasoning"], "input"),
    };
    let changing = fields.iter().find(|(name, value)| {
        let is_known = KNOWN.contains(&&***name) || own.contains(&&***name);
        !is_known && !is_usual(name, value.get()) && changes_answer(name, value.get())
    });
    if let Some((name, _)) = changing {
        return Err(Failure::Unsupported(name.chars().take(64).collect()));
    }
    let value = |name: &str| fields.get(name).copied();
    let text = match api {
        AnswerApi::Completions => value(name).and_then(|value| match serde_json::from_str(value.get()).ok()? {
            OneText::Text(text) | OneText::List([text]) => Some(text.into_owned()),
        }),
        AnswerApi::Messages => value(name).and_then(|list| prompt::conversation(value("system"), list)),
        AnswerApi::Responses => value(name).and_then(|list| prompt::conversation(value("instructions"), list)),
    };
    let fault = || BadRequest::new(format!("cannot pass on `{name}`: it must be there, and be text")).of(name);
    text.ok_or_else(|| fault().code("invalid_value").into())
}

/// The fields that have a value.
fn read(body: &[u8]) -> Result<Fields<'_>, Failure> {
    let fault = |_| BadRequest::new("cannot read the request: it is no JSON object");
    let mut fields: Fields<'_> = serde_json::from_slice(body).map_err(fault)?;
    fields.retain(|_, value| value.get() != "null");
    Ok(fields)
}

/// Whether a parameter of these APIs has the value that applies without it, too.
fn is_usual(name: &str, value: &str) -> bool {
    match name {
        "n" | "best_of" => value == "1",
        "echo" | "background" => value == "false",
        "suffix" => value == "\"\"",
        "tools" | "include" | "stop_sequences" => value == "[]",
        "truncation" => matches!(value, "\"disabled\"" | "\"auto\""),
        "thinking" => serde_json::from_str::<Kind>(value).is_ok_and(|thinking| thinking.kind == "disabled"),
        "text" => serde_json::from_str::<TextFormat>(value).is_ok_and(|text| text.format.kind == "text"),
        _ => false,
    }
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextFormat {
    format: Kind,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api: AnswerApi, body: &str) -> Result<String, String> {
        prompt(api, body.as_bytes()).map_err(|failure| {
            let shown = serde_json::to_value(failure.body()).unwrap();
            shown["error"]["param"].as_str().unwrap_or_default().to_owned()
        })
    }

    #[test]
    fn each_api_has_its_prompt() {
        let text = |text: &str| Ok(text.to_owned());
        for body in [r#"{"prompt":"a\"b","max_tokens":9,"n":1,"echo":false}"#, r#"{"prompt":["a\"b"],"top_p":1}"#] {
            assert_eq!(of(AnswerApi::Completions, body), text("a\"b"));
        }
        let messages =
            r#"{"max_tokens":9,"metadata":{},"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#;
        assert_eq!(of(AnswerApi::Messages, &format!("{messages}}}")), text("hi"));
        let system =
            format!(r#"{messages},"system":[{{"type":"text","text":"brief"}}],"thinking":{{"type":"disabled"}}}}"#);
        assert_eq!(of(AnswerApi::Messages, &system), text("System:\nbrief\n\nUser:\nhi\n\nAssistant:\n"));
        assert_eq!(of(AnswerApi::Responses, r#"{"input":"hi","store":false,"tools":[]}"#), text("hi"));
        let items = r#"{"instructions":"brief","text":{"format":{"type":"text"}},"input":[{"role":"user","content":"hi"},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"yes"}]}]}"#;
        let want = "System:\nbrief\n\nUser:\nhi\n\nAssistant:\nyes\n\nAssistant:\n";
        assert_eq!(of(AnswerApi::Responses, items), text(want));
    }

    #[test]
    fn what_a_program_cannot_get_is_named() {
        for (api, body, named) in [
            (AnswerApi::Completions, r#"{"prompt":["a","b"]}"#, "prompt"),
            (AnswerApi::Completions, r#"{"prompt":[1,2]}"#, "prompt"),
            (AnswerApi::Completions, r#"{"prompt":"a","n":2}"#, "n"),
            (AnswerApi::Completions, r#"{"prompt":"a","stop":["x"]}"#, "stop"),
            (AnswerApi::Messages, r#"{"messages":[{"role":"user","content":[{"type":"image"}]}]}"#, "messages"),
            (AnswerApi::Messages, r#"{"messages":[{"role":"user","content":"a"}],"tools":[{}]}"#, "tools"),
            (AnswerApi::Responses, "{}", "input"),
            (AnswerApi::Responses, r#"{"input":"a","previous_response_id":"x"}"#, "previous_response_id"),
            (AnswerApi::Responses, r#"{"input":[{"type":"function_call_output","output":"x"}]}"#, "input"),
            (AnswerApi::Responses, r#"{"input":"a","text":{"format":{"type":"json_schema"}}}"#, "text"),
        ] {
            assert_eq!(of(api, body), Err(named.to_owned()), "{body}");
        }
    }
}
