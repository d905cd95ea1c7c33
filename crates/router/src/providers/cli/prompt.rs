//! The messages of a chat as the text that a program reads.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Messages<'a> {
    One(Cow<'a, str>),
    List(#[serde(borrow)] Vec<Message<'a>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// The messages as text: the only one as it is, several under the names of their roles. `None` where one is not text.
pub(super) fn text(messages: &RawValue) -> Option<String> {
    conversation(None, messages)
}

/// The same of messages that may be one text, and with what other APIs have for the system beside them.
pub(super) fn conversation(system: Option<&RawValue>, messages: &RawValue) -> Option<String> {
    let message = |role: &'static str, content| Message { role: role.into(), content };
    let mut all = Vec::new();
    if let Some(system) = system {
        all.push(message("system", serde_json::from_str(system.get()).ok()?));
    }
    match serde_json::from_str(messages.get()).ok()? {
        Messages::One(text) => all.push(message("user", Content::Text(text))),
        Messages::List(list) => all.extend(list),
    }
    let messages = all;
    if let [only] = messages.as_slice()
        && only.role == "user"
    {
        return only.content.text();
    }
    let mut prompt = String::new();
    for message in &messages {
        let role = match &*message.role {
            "system" | "developer" => "System",
            "user" => "User",
            "assistant" => "Assistant",
            _ => return None,
        };
        prompt.push_str(role);
        prompt.push_str(":\n");
        prompt.push_str(&message.content.text()?);
        prompt.push_str("\n\n");
    }
    prompt.push_str("Assistant:\n");
    Some(prompt)
}

impl Content<'_> {
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone().into_owned()),
            Self::Parts(parts) => {
                let is_text = |kind: &str| matches!(kind, "text" | "input_text" | "output_text");
                let text = |part: &Part<'_>| part.text.as_deref().filter(|_| is_text(&part.kind)).map(str::to_owned);
                parts.iter().map(text).collect::<Option<String>>()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(messages: &serde_json::Value) -> Option<String> {
        text(&serde_json::value::to_raw_value(messages).unwrap())
    }

    #[test]
    fn one_message_is_passed_on_as_it_is_and_several_under_their_roles() {
        let user = |content: serde_json::Value| serde_json::json!({ "role": "user", "content": content });
        assert_eq!(of(&serde_json::json!([user("a \"b\"\n".into())])).unwrap(), "a \"b\"\n");
        let parts = serde_json::json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        assert_eq!(of(&serde_json::json!([user(parts)])).unwrap(), "ab");
        let system = serde_json::json!({ "role": "system", "content": "be brief" });
        let said = serde_json::json!({ "role": "assistant", "content": "hello" });
        assert_eq!(
            of(&serde_json::json!([system, user("hi".into()), said, user("bye".into())])).unwrap(),
            "System:\nbe brief\n\nUser:\nhi\n\nAssistant:\nhello\n\nUser:\nbye\n\nAssistant:\n"
        );
    }

    #[test]
    fn what_is_not_text_is_not_passed_on() {
        for messages in [
            serde_json::json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }]),
            serde_json::json!([{ "role": "tool", "content": "4" }, { "role": "user", "content": "hi" }]),
            serde_json::json!([{ "role": "assistant", "content": null }]),
            serde_json::json!(["hi"]),
        ] {
            assert_eq!(of(&messages), None, "{messages}");
        }
    }
}
