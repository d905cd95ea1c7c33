//! Whose failure the end of an engine is: its own, or that of a request that has ended two.

use crate::exit_reason::Blame;
use crate::state_machine::RunId;

/// What is remembered of the lives before.
#[derive(Debug, Default)]
pub(super) struct BlameTracker {
    /// The life that was lost while a suspect used it.
    suspected: Option<RunId>,
    /// The answers that there had been when the last life ended.
    answers: u64,
    /// Whether that life had given any: an engine that crashes at everything is to blame itself.
    had_answered: bool,
}

impl BlameTracker {
    /// A life is being lost, and a suspect uses it.
    pub(super) fn suspect_uses(&mut self, run: RunId) {
        self.suspected = Some(run);
    }

    /// A life has ended, with so many answers of all lives together.
    pub(super) fn blame_for(&mut self, run: RunId, answers: u64) -> Blame {
        let had_answered = std::mem::replace(&mut self.had_answered, answers != self.answers);
        self.answers = answers;
        match self.suspected == Some(run) {
            true if had_answered => Blame::RequestTwice,
            true => Blame::Request,
            false => Blame::Engine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_of_a_request_is_given_back_once_and_only_to_an_engine_that_answers() {
        let mut blame = BlameTracker::default();
        let mut ends = |run, suspect, answers| {
            if suspect {
                blame.suspect_uses(RunId(run));
            }
            blame.blame_for(RunId(run), answers)
        };
        assert_eq!(ends(1, false, 3), Blame::Engine);
        assert_eq!(ends(2, true, 3), Blame::RequestTwice);
        assert_eq!(ends(3, true, 3), Blame::Request, "another suspect of the first end");
        assert_eq!(ends(4, false, 3), Blame::Engine, "nothing was answered meanwhile");
        assert_eq!(ends(5, true, 3), Blame::Request);
        assert_eq!(ends(6, false, 4), Blame::Engine);
        assert_eq!(ends(7, true, 5), Blame::RequestTwice);
        assert_eq!(ends(8, false, 5), Blame::Engine, "the suspect was with another life");
    }
}
