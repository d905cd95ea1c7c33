//! The text of one answer so far, in order.
//!
//! All text is one string in the order of arrival; a list of runs separates answer and chain of thought. A token message is
//! a slice of that string. So merging under back-pressure takes a longer slice, and continuing after a lost connection
//! starts at another offset.

use std::ops::Range;

/// Which of the two streams a piece of text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Visible,
    Reasoning,
}

/// The text of one answer.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    runs: Vec<Run>,
    reasoning_pieces: u64,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    channel: Channel,
    end: usize,
}

impl Transcript {
    /// Appends text of the engine.
    pub(crate) fn push(&mut self, channel: Channel, text: &str) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        if channel == Channel::Reasoning {
            self.reasoning_pieces += 1;
        }
        match self.runs.last_mut() {
            Some(run) if run.channel == channel => run.end = self.text.len(),
            _ => self.runs.push(Run { channel, end: self.text.len() }),
        }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// The number of chain-of-thought pieces.
    pub(crate) fn reasoning_pieces(&self) -> u64 {
        self.reasoning_pieces
    }

    /// The next slice after `from`, as long as it stays on one channel.
    pub(crate) fn after(&self, from: usize) -> Option<(Channel, Range<usize>)> {
        // Nearly always the last run: a stream changes its channel once or twice.
        let at = self.runs.iter().rposition(|run| run.end <= from).map_or(0, |before| before + 1);
        let run = self.runs.get(at)?;
        Some((run.channel, from..run.end))
    }

    /// The text of a slice that [`Transcript::after`] gave.
    pub(crate) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    /// All of one channel's text; borrowed when the other one is empty.
    pub(crate) fn all(&self, channel: Channel) -> std::borrow::Cow<'_, str> {
        if self.runs.iter().all(|run| run.channel == channel) {
            return std::borrow::Cow::Borrowed(&self.text);
        }
        let mut start = 0;
        let mut all = String::new();
        for run in &self.runs {
            if run.channel == channel {
                all.push_str(&self.text[start..run.end]);
            }
            start = run.end;
        }
        std::borrow::Cow::Owned(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stay_on_one_channel_and_merge_text() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.after(0), None);
        transcript.push(Channel::Reasoning, "hm ");
        transcript.push(Channel::Reasoning, "so");
        transcript.push(Channel::Visible, "");
        transcript.push(Channel::Visible, "A ");
        transcript.push(Channel::Visible, "cat.");
        assert_eq!(transcript.after(0), Some((Channel::Reasoning, 0..5)));
        assert_eq!(transcript.after(2), Some((Channel::Reasoning, 2..5)));
        assert_eq!(transcript.after(5), Some((Channel::Visible, 5..11)));
        assert_eq!(transcript.after(11), None);
        assert_eq!(transcript.slice(5..11), "A cat.");
        assert_eq!(transcript.all(Channel::Visible), "A cat.");
        assert_eq!(transcript.all(Channel::Reasoning), "hm so");
        assert_eq!((transcript.len(), transcript.reasoning_pieces()), (11, 2));
    }

    proptest::proptest! {
        #[test]
        fn walking_the_slices_gives_every_byte_once(
            pieces in proptest::collection::vec((proptest::bool::ANY, ".{0,8}"), 0..20),
        ) {
            let mut transcript = Transcript::default();
            let (mut visible, mut reasoning) = (String::new(), String::new());
            for (is_visible, text) in &pieces {
                let (channel, all) = if *is_visible { (Channel::Visible, &mut visible) } else { (Channel::Reasoning, &mut reasoning) };
                transcript.push(channel, text);
                all.push_str(text);
            }
            let (mut at, mut got) = (0, (String::new(), String::new()));
            while let Some((channel, range)) = transcript.after(at) {
                proptest::prop_assert!(range.end > at && range.start == at);
                at = range.end;
                let into = if channel == Channel::Visible { &mut got.0 } else { &mut got.1 };
                into.push_str(transcript.slice(range));
            }
            proptest::prop_assert_eq!(at, transcript.len());
            proptest::prop_assert_eq!(&got, &(visible.clone(), reasoning.clone()));
            proptest::prop_assert_eq!(&*transcript.all(Channel::Visible), &*visible);
            proptest::prop_assert_eq!(&*transcript.all(Channel::Reasoning), &*reasoning);
        }
    }
}
