//! The `logprobs` of one answer, each with the text that it belongs to.

use std::ops::Range;

use auxot_protocol::Json;
use serde_json::value::RawValue;

use crate::exchange::ending::Ending;

/// More than this is a runaway, as with the text.
const MOST: usize = 64 << 20;

/// What the engine has written of them so far; empty where nobody asked.
#[derive(Debug, Default)]
pub(crate) struct Logprobs {
    /// The entries as the engine wrote them, with commas between.
    entries: String,
    /// Up to where in the entries the text has them, up to where; in order.
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    text: usize,
    entries: usize,
}

impl Logprobs {
    /// Takes in the `logprobs` of one event.
    pub(crate) fn take(&mut self, logprobs: &str) -> Result<(), Ending> {
        #[derive(serde::Deserialize)]
        struct Content<'a> {
            #[serde(borrow, default)]
            content: Option<&'a RawValue>,
        }
        let unreadable = || Ending::Unreadable("its logprobs are not what we know".to_owned());
        let content: Content<'_> = serde_json::from_str(logprobs).map_err(|_| unreadable())?;
        let Some(entries) = content.content.map(RawValue::get).filter(|entries| *entries != "null") else {
            return Ok(());
        };
        let entries = entries.strip_prefix('[').and_then(|entries| entries.strip_suffix(']')).ok_or_else(unreadable)?;
        if self.entries.len() + entries.len() > MOST {
            return Err(Ending::Unreadable(format!("its logprobs are longer than {MOST} bytes")));
        }
        if !entries.trim().is_empty() {
            let comma = if self.entries.is_empty() { "" } else { "," };
            self.entries.extend([comma, entries]);
        }
        Ok(())
    }

    /// All that is here belongs to the text up to `end`; what came without text goes with the text that comes next.
    pub(crate) fn belong_to(&mut self, end: usize) {
        if self.entries.is_empty() {
            return;
        }
        let last = self.marks.last().copied().unwrap_or(Mark { text: 0, entries: 0 });
        if end > last.text && self.entries.len() > last.entries {
            self.marks.push(Mark { text: end, entries: self.entries.len() });
        }
    }

    /// Those of a slice of the text that ends where a piece of it ended.
    pub(crate) fn of(&self, slice: &Range<usize>) -> Option<Json> {
        let upto = |text: usize| {
            let marks = self.marks.partition_point(|mark| mark.text <= text);
            marks.checked_sub(1).and_then(|last| self.marks.get(last)).map_or(0, |mark| mark.entries)
        };
        let entries = self.entries.get(upto(slice.start)..upto(slice.end))?;
        object(entries.strip_prefix(',').unwrap_or(entries))
    }

    /// All of them.
    pub(crate) fn all(&self) -> Option<Json> {
        object(&self.entries)
    }
}

fn object(entries: &str) -> Option<Json> {
    let all = (!entries.is_empty()).then(|| format!("{{\"content\":[{entries}]}}"))?;
    RawValue::from_string(all).ok().map(Json)
}
