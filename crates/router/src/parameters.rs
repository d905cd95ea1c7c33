//! Which parameters of a request change its answer.

/// Fields without effect on the answer.
pub(crate) const IGNORED: [&str; 8] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "return_progress",
];

/// Whether an answer without this field may be another one.
pub(crate) fn changes_answer(name: &str, value: &str) -> bool {
    !IGNORED.contains(&name) && !is_neutral(name, value)
}

/// Whether a parameter has the value that applies without it, too.
pub(crate) fn is_neutral(name: &str, value: &str) -> bool {
    let number = |expected: f64| value.parse::<f64>().is_ok_and(|number| number == expected);
    match name {
        "top_p" | "repeat_penalty" | "repetition_penalty" => number(1.0),
        "frequency_penalty" | "presence_penalty" | "top_logprobs" => number(0.0),
        "logprobs" => value == "false",
        "parallel_tool_calls" => value == "true",
        "tool_choice" => value == "\"auto\"",
        "modalities" => value == "[\"text\"]",
        "stop" => matches!(value, "[]" | "\"\""),
        "logit_bias" | "chat_template_kwargs" => matches!(value, "{}" | "[]"),
        "response_format" => serde_json::from_str::<Format>(value).is_ok_and(|format| format.kind == "text"),
        _ => false,
    }
}

#[derive(serde::Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
}
