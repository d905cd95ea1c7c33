//! What a client has read of one answer, so that a second run neither repeats nor contradicts it.
//!
//! A job whose worker was lost runs again. Nobody says on the wire whether the new text starts from
//! scratch (a fresh run) or goes on where the old one stopped (a worker that kept its work and adopts the
//! job again). Until that is known nothing may be shown: the new text is compared with what was
//! delivered, letter by letter. The same letters are skipped, and what comes after them is live again. At
//! the first difference the text is held back, and `complete.full_response` decides: an answer that
//! begins with what was delivered is continued from there, any other ends the job with an error.

/// The text of one channel (answer, or chain of thought) of one job.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    delivered: String,
    again: bool,
    mode: Mode,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// New text goes to the client.
    #[default]
    Live,
    /// New text repeats what was delivered, so far up to this byte.
    Replaying { at: usize },
    /// New text differs from what was delivered; only the whole answer can tell why.
    Held,
}

/// The second answer does not begin with the first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AnswerDiffers;

impl Transcript {
    /// The job is given out anew.
    pub(crate) fn begin_again(&mut self) {
        self.again = !self.delivered.is_empty();
        self.mode = if self.again { Mode::Replaying { at: 0 } } else { Mode::Live };
    }

    /// Takes new text and returns the part of it to deliver now.
    pub(crate) fn feed<'a>(&mut self, text: &'a str) -> &'a str {
        let fresh = match self.mode {
            Mode::Live => text,
            Mode::Held => "",
            Mode::Replaying { at } => self.replay(at, text),
        };
        self.delivered.push_str(fresh);
        fresh
    }

    fn replay<'a>(&mut self, at: usize, text: &'a str) -> &'a str {
        let expected = &self.delivered[at..];
        if let Some(fresh) = text.strip_prefix(expected) {
            self.mode = Mode::Live;
            return fresh;
        }
        // `text` is whole letters, so `at` stays on a letter's edge.
        self.mode = if expected.starts_with(text) { Mode::Replaying { at: at + text.len() } } else { Mode::Held };
        ""
    }

    /// Takes the whole answer and returns what of it was not delivered yet.
    ///
    /// # Errors
    /// When text of another answer was delivered.
    pub(crate) fn complete<'a>(&mut self, whole: &'a str) -> Result<&'a str, AnswerDiffers> {
        let rest = match whole.strip_prefix(self.delivered.as_str()) {
            Some(rest) => rest,
            None if self.again => return Err(AnswerDiffers),
            // On a first run the pieces are what counts: a worker may trim the whole afterwards.
            None => "",
        };
        self.delivered.push_str(rest);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivered text of a first run, then the pieces of a second, then its whole: what the client gets after the cut.
    fn second_run(first: &str, pieces: &[&str], whole: &str) -> Result<(String, String), AnswerDiffers> {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.feed(first), first);
        transcript.begin_again();
        let live: String = pieces.iter().map(|piece| transcript.feed(piece)).collect();
        let tail = transcript.complete(whole)?.to_owned();
        Ok((live, tail))
    }

    #[test]
    fn the_same_text_is_skipped_and_the_rest_is_live() {
        assert_eq!(second_run("AB", &["A", "BC", "D"], "ABCD"), Ok(("CD".into(), String::new())));
        assert_eq!(second_run("é…", &["é", "…", "!"], "é…!"), Ok(("!".into(), String::new())));
    }

    #[test]
    fn a_worker_that_goes_on_where_it_stopped_is_healed_by_the_whole() {
        assert_eq!(second_run("AB", &["CD"], "ABCD"), Ok((String::new(), "CD".into())));
        // Text written to the dead socket and lost there is in the whole too.
        assert_eq!(second_run("AB", &["E"], "ABCDE"), Ok((String::new(), "CDE".into())));
    }

    #[test]
    fn another_answer_is_an_error() {
        assert_eq!(second_run("AB", &["A", "X"], "AX"), Err(AnswerDiffers));
        assert_eq!(second_run("AB", &["A"], "A"), Err(AnswerDiffers), "shorter than what was read");
        assert_eq!(second_run("A", &["AB"], "AAB"), Err(AnswerDiffers), "taken for a repeat, and was not");
    }

    #[test]
    fn a_second_run_before_any_text_is_a_first_run() {
        let mut transcript = Transcript::default();
        transcript.begin_again();
        assert_eq!(transcript.feed("Z"), "Z");
        assert_eq!(transcript.complete("another spelling"), Ok(""));
    }

    #[test]
    fn a_worker_that_does_not_stream_is_heard() {
        assert_eq!(Transcript::default().complete("all at once"), Ok("all at once"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_lost_or_doubled(answer in "\\PC{0,40}", cut in 0usize..40, steps in proptest::collection::vec(1usize..6, 0..20)) {
            let letters: Vec<char> = answer.chars().collect();
            let cut = cut.min(letters.len());
            let mut transcript = Transcript::default();
            let mut client = transcript.feed(&letters[..cut].iter().collect::<String>()).to_owned();
            transcript.begin_again();
            let mut rest = letters.as_slice();
            for step in steps {
                let (piece, left) = rest.split_at(step.min(rest.len()));
                client.push_str(transcript.feed(&piece.iter().collect::<String>()));
                rest = left;
            }
            client.push_str(transcript.complete(&answer).unwrap());
            proptest::prop_assert_eq!(client, answer);
        }
    }
}
