//! The response of `/v1/responses`: its last event has all of it, in a form of its own.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{JoinedAnswer, Taken};

/// The response, once it is complete.
#[derive(Debug, Default)]
pub(super) struct Response(Option<String>);

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Completed<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    created_at: &'a RawValue,
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    output: Vec<&'a RawValue>,
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow)]
    usage: &'a RawValue,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Response {
    pub(super) fn take(&mut self, data: &str) -> Result<Taken, serde_json::Error> {
        let event: Event<'_> = serde_json::from_str(data)?;
        if let Some(error) = event.error {
            return Ok(Taken::Error(error.get().to_owned()));
        }
        let Some(response) = event.response.filter(|_| event.kind == "response.completed") else {
            return Ok(Taken::Part(0));
        };
        let Some(text) = whole(response)? else { return Ok(Taken::Lacking) };
        let held = text.len();
        self.0 = Some(text);
        Ok(Taken::Part(held))
    }

    pub(super) fn finish(self) -> Option<JoinedAnswer> {
        self.0.map(JoinedAnswer::whole)
    }
}

/// The response as it is where it is no stream; `None` where it may have more.
fn whole(response: &RawValue) -> Result<Option<String>, serde_json::Error> {
    let Completed { id, created_at, model, output, status, usage } = serde_json::from_str(response.get())?;
    let mut items = Vec::with_capacity(output.len());
    for item in &output {
        let Some(item) = item_as_whole(item)? else { return Ok(None) };
        items.push(item);
    }
    // Text of which the engine's parser makes nothing is in no event.
    Ok((!items.is_empty()).then(|| {
        let output = items.join(",");
        format!(
            r#"{{"completed_at":{created_at},"created_at":{created_at},"id":{id},"model":{model},"object":"response","output":[{output}],"status":{status},"usage":{usage}}}"#
        )
    }))
}

fn item_as_whole(raw: &RawValue) -> Result<Option<String>, serde_json::Error> {
    let Item { kind, id, content } = serde_json::from_str(raw.get())?;
    Ok(match (&*kind, content) {
        ("reasoning", Some(content)) => Some(format!(
            r#"{{"id":{id},"summary":[],"type":"reasoning","content":{content},"encrypted_content":"","status":"completed"}}"#
        )),
        ("message", Some(content)) => Some(format!(
            r#"{{"content":{content},"id":{id},"role":"assistant","status":"completed","type":"message"}}"#
        )),
        ("function_call", _) => Some(raw.get().to_owned()),
        _ => None,
    })
}
