//! The results of `/completion` and `/infill`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::json::quoted;
use super::{JoinedAnswer, Taken};

/// The results that have come.
#[derive(Debug)]
pub(super) struct Results {
    /// Whether text may be held back that is the beginning of a stop sequence.
    stops: bool,
    probabilities: bool,
    results: BTreeMap<u64, Found>,
}

#[derive(Debug, Default)]
struct Found {
    text: String,
    /// One for each token, in JSON.
    probabilities: Vec<String>,
    /// The tokens up to the last event with text.
    counted: Option<u64>,
    is_last_empty: bool,
    /// The last event, with the text in it.
    whole: Option<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    content: Cow<'a, str>,
    #[serde(default)]
    stop: bool,
    #[serde(borrow, default)]
    stop_type: Cow<'a, str>,
    tokens_predicted: Option<u64>,
    #[serde(borrow, default)]
    completion_probabilities: Vec<&'a RawValue>,
    prompt_progress: Option<IgnoredAny>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What differs in the last event from an answer that is no stream.
#[derive(Deserialize)]
struct Last<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow)]
    generation_settings: Option<&'a RawValue>,
}

impl Results {
    pub(super) fn new(stops: bool, probabilities: bool) -> Self {
        Self { stops, probabilities, results: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, data: &str) -> Result<Taken, serde_json::Error> {
        let event: Event<'_> = serde_json::from_str(data)?;
        if let Some(error) = event.error {
            return Ok(Taken::Error(error.get().to_owned()));
        }
        if event.prompt_progress.is_some() {
            return Ok(Taken::Part(0));
        }
        let found = self.results.entry(event.index).or_default();
        found.text.push_str(&event.content);
        let mut held = event.content.len();
        for entry in &event.completion_probabilities {
            held += entry.get().len();
            found.probabilities.push(entry.get().to_owned());
        }
        if !event.stop {
            found.counted = event.tokens_predicted;
            found.is_last_empty = event.content.is_empty();
            let lacks = self.probabilities && event.completion_probabilities.is_empty();
            return Ok(if lacks { Taken::Lacking } else { Taken::Part(held) });
        }
        if self.stops && event.stop_type == "limit" && found.is_last_empty {
            return Ok(Taken::Lacking);
        }
        if found.counted.is_some() && found.counted < event.tokens_predicted {
            // The first bytes of a character that was cut are in no event, and one sign in an answer.
            found.text.push('\u{fffd}');
        }
        let whole = found.whole(data)?;
        found.whole = Some(whole);
        Ok(Taken::Part(held + data.len()))
    }

    pub(super) fn finish(self) -> Option<JoinedAnswer> {
        let results: Option<Vec<String>> = self.results.into_values().map(|found| found.whole).collect();
        match results?.as_slice() {
            [] => None,
            [one] => Some(JoinedAnswer::whole(one.clone())),
            several => Some(JoinedAnswer::whole(format!("[{}]", several.join(",")))),
        }
    }
}

impl Found {
    /// The last event with what the events before it had.
    fn whole(&self, data: &str) -> Result<String, serde_json::Error> {
        let last: Last<'_> = serde_json::from_str(data)?;
        let place = |value: &RawValue| {
            let from = value.get().as_ptr().addr() - data.as_ptr().addr();
            from..from + value.get().len()
        };
        let mut changes = vec![(place(last.content), quoted(&self.text))];
        if let Some(settings) = last.generation_settings {
            changes.push((place(settings), settings.get().replacen(r#""stream":true"#, r#""stream":false"#, 1)));
        }
        changes.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        let mut whole = data.to_owned();
        for (place, text) in changes {
            whole.replace_range(place, &text);
        }
        if !self.probabilities.is_empty()
            && let Some(end) = whole.rfind('}')
        {
            whole.insert_str(end, &format!(r#","completion_probabilities":[{}]"#, self.probabilities.join(",")));
        }
        Ok(whole)
    }
}
