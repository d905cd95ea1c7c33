//! The `logprobs` of one answer, each with the text that it belongs to.

use std::ops::Range;

use auxot_protocol::Json;
use serde_json::value::RawValue;

use crate::jobs::outcome::Outcome;

/// The most bytes of all entries, as with the text.
const MOST: usize = 64 << 20;
/// The most bytes of entries in one message, unless one piece of text has more. A merged piece of text is bounded by its own
/// bytes, and each of its tokens may have twenty alternatives.
const MESSAGE: usize = 256 << 10;

/// The entries that the engine has sent so far; empty when the request did not ask for them.
#[derive(Debug, Default)]
pub(crate) struct Logprobs {
    /// The entries as the engine wrote them, separated by commas.
    entries: String,
    /// Pairs of a position in the text and the position in `entries` up to which its entries go; in order.
    boundaries: Vec<Boundary>,
}

#[derive(Debug, Clone, Copy)]
struct Boundary {
    text: usize,
    entries: usize,
}

impl Logprobs {
    /// Adds the `logprobs` of one event.
    pub(crate) fn take(&mut self, logprobs: &str) -> Result<(), Outcome> {
        #[derive(serde::Deserialize)]
        struct Content<'a> {
            #[serde(borrow, default)]
            content: Option<&'a RawValue>,
        }
        let unreadable = || Outcome::Unreadable("its logprobs have an unknown form".to_owned());
        let content: Content<'_> = serde_json::from_str(logprobs).map_err(|_| unreadable())?;
        let Some(entries) = content.content.map(RawValue::get).filter(|entries| *entries != "null") else {
            return Ok(());
        };
        let entries = entries.strip_prefix('[').and_then(|entries| entries.strip_suffix(']')).ok_or_else(unreadable)?;
        if self.entries.len() + entries.len() > MOST {
            return Err(Outcome::Unreadable(format!("its logprobs are longer than {MOST} bytes")));
        }
        if !entries.trim().is_empty() {
            let comma = if self.entries.is_empty() { "" } else { "," };
            self.entries.extend([comma, entries]);
        }
        Ok(())
    }

    /// Assigns all entries so far to the text up to `end`. Entries without text are assigned to the text that comes next.
    pub(crate) fn assign_to_text(&mut self, end: usize) {
        if self.entries.is_empty() {
            return;
        }
        let last = self.boundaries.last().copied().unwrap_or(Boundary { text: 0, entries: 0 });
        if end > last.text && self.entries.len() > last.entries {
            self.boundaries.push(Boundary { text: end, entries: self.entries.len() });
        }
    }

    /// The part of a slice of the text whose entries fit into one message; it ends where a piece of the text ends.
    pub(crate) fn fit(&self, slice: Range<usize>) -> Range<usize> {
        let begin = self.upto(slice.start);
        let inside = |boundary: &&Boundary| boundary.text > slice.start && boundary.text < slice.end;
        let fits = |boundary: &&Boundary| boundary.entries - begin <= MESSAGE;
        if self.upto(slice.end) - begin <= MESSAGE {
            return slice;
        }
        let boundaries = self.boundaries.get(self.passed(slice.start)..).unwrap_or_default();
        let last = boundaries.iter().take_while(inside).take_while(fits).last().or(boundaries.first().filter(inside));
        slice.start..last.map_or(slice.end, |boundary| boundary.text)
    }

    /// The entries of a slice that ends where a piece of the text ends.
    pub(crate) fn of(&self, slice: &Range<usize>) -> Option<Json> {
        let entries = self.entries.get(self.upto(slice.start)..self.upto(slice.end))?;
        object(entries.strip_prefix(',').unwrap_or(entries))
    }

    /// The number of boundaries up to a position of the text.
    fn passed(&self, text: usize) -> usize {
        self.boundaries.partition_point(|boundary| boundary.text <= text)
    }

    /// The position in `entries` up to a position of the text.
    fn upto(&self, text: usize) -> usize {
        self.passed(text)
            .checked_sub(1)
            .and_then(|last| self.boundaries.get(last))
            .map_or(0, |boundary| boundary.entries)
    }

    /// All entries.
    pub(crate) fn all(&self) -> Option<Json> {
        object(&self.entries)
    }
}

fn object(entries: &str) -> Option<Json> {
    let all = (!entries.is_empty()).then(|| format!("{{\"content\":[{entries}]}}"))?;
    RawValue::from_string(all).ok().map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_holds_a_bounded_part_and_all_together_hold_all() {
        let entry = |bytes: usize| format!("{{\"token\":\"{}\"}}", "x".repeat(bytes));
        let sizes = [1000, MESSAGE / 2, MESSAGE / 2, MESSAGE * 2, 10, 10, MESSAGE - 20];
        let mut logprobs = Logprobs::default();
        for (at, bytes) in sizes.iter().enumerate() {
            logprobs.take(&format!("{{\"content\":[{}]}}", entry(*bytes))).unwrap();
            logprobs.assign_to_text((at + 1) * 3);
        }
        let (mut at, mut ends, mut carried) = (0, Vec::new(), Vec::new());
        while at < 24 {
            let slice = logprobs.fit(at..24);
            assert!(slice.start == at && slice.end > at);
            if let Some(part) = logprobs.of(&slice) {
                let part: serde_json::Value = serde_json::from_str(part.0.get()).unwrap();
                carried.extend(part["content"].as_array().unwrap().iter().map(ToString::to_string));
            }
            at = slice.end;
            ends.push(at);
        }
        // The third does not fit after the second, the fourth fits into no message, the last three are one byte too long
        // together.
        assert_eq!(ends, [6, 9, 12, 18, 24]);
        assert_eq!(carried, sizes.map(entry));
        assert_eq!(Logprobs::default().fit(3..9), 3..9, "text without them is not cut");
    }
}
