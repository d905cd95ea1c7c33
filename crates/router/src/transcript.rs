//! The text that a client has received of one answer, so that a second run neither repeats nor contradicts it.
//!
//! A job whose worker was lost runs again. The protocol does not say whether the new text starts from the beginning (a
//! new run) or continues where the old one stopped (a worker that kept its work and adopts the job). Until that is
//! known nothing is delivered: the new text is compared with the delivered text character by character. Equal
//! characters are skipped, and the text after them is delivered. At the first difference the text is held back, and
//! `complete.full_response` decides: an answer that begins with the delivered text continues from there, any other ends
//! the job with an error.

/// The text of one channel (answer or chain of thought) of one job.
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
    /// New text repeats the delivered text, so far up to this byte.
    Replaying { at: usize },
    /// New text differs from the delivered text; only the whole answer can explain it.
    Held,
}

/// The second answer does not begin with the first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AnswerDiffers;

impl Transcript {
    /// The job runs again.
    pub(crate) fn begin_again(&mut self) {
        self.again = !self.delivered.is_empty();
        self.mode = if self.again { Mode::Replaying { at: 0 } } else { Mode::Live };
    }

    /// Takes new text and returns the part to deliver now.
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
        // `text` consists of whole characters, so that `at` stays on a character boundary.
        self.mode = if expected.starts_with(text) { Mode::Replaying { at: at + text.len() } } else { Mode::Held };
        ""
    }

    /// Takes the whole answer and returns the part that is not delivered yet.
    ///
    /// # Errors
    /// Text of another answer was delivered.
    pub(crate) fn complete<'a>(&mut self, whole: &'a str) -> Result<&'a str, AnswerDiffers> {
        let rest = match whole.strip_prefix(self.delivered.as_str()) {
            Some(rest) => rest,
            None if self.again => return Err(AnswerDiffers),
            // On a first run the pieces count: a worker may trim the whole answer afterwards.
            None => "",
        };
        self.delivered.push_str(rest);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of a first run, then the pieces of a second, then its whole answer: what the client gets after the cut.
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
    fn a_run_that_continues_where_it_stopped_is_completed_by_the_whole_answer() {
        assert_eq!(second_run("AB", &["CD"], "ABCD"), Ok((String::new(), "CD".into())));
        // Text that was lost in the broken socket is in the whole answer, too.
        assert_eq!(second_run("AB", &["E"], "ABCDE"), Ok((String::new(), "CDE".into())));
    }

    #[test]
    fn another_answer_is_an_error() {
        assert_eq!(second_run("AB", &["A", "X"], "AX"), Err(AnswerDiffers));
        assert_eq!(second_run("AB", &["A"], "A"), Err(AnswerDiffers), "shorter than the delivered text");
        assert_eq!(second_run("A", &["AB"], "AAB"), Err(AnswerDiffers), "it looked like a repeat and was not");
    }

    #[test]
    fn a_second_run_before_any_text_is_a_first_run() {
        let mut transcript = Transcript::default();
        transcript.begin_again();
        assert_eq!(transcript.feed("Z"), "Z");
        assert_eq!(transcript.complete("another spelling"), Ok(""));
    }

    #[test]
    fn a_worker_that_does_not_stream_is_supported() {
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
