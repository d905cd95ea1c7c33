//! Decides who is to blame for the exit of an engine: the engine, or a request during which two engines have ended.

use crate::exit_reason::Blame;
use crate::state_machine::RunId;

/// What is known of earlier runs.
#[derive(Debug, Default)]
pub(super) struct BlameTracker {
    /// The run that was lost while a suspect request used it.
    suspected: Option<RunId>,
    /// The number of complete answers when the last run ended.
    answers: u64,
    /// Whether that run had given any: an engine that crashes on every request is itself to blame.
    had_answered: bool,
}

impl BlameTracker {
    /// A run is about to be lost, and a suspect request uses it.
    pub(super) fn suspect_uses(&mut self, run: RunId) {
        self.suspected = Some(run);
    }

    /// The blame for a run that has ended; `answers` counts the complete answers of all runs.
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
    fn the_first_exit_by_a_request_is_credited_once_and_only_to_an_engine_that_answers() {
        let mut blame = BlameTracker::default();
        let mut ends = |run, suspect, answers| {
            if suspect {
                blame.suspect_uses(RunId(run));
            }
            blame.blame_for(RunId(run), answers)
        };
        assert_eq!(ends(1, false, 3), Blame::Engine);
        assert_eq!(ends(2, true, 3), Blame::RequestTwice);
        assert_eq!(ends(3, true, 3), Blame::Request, "another suspect request of the first exit");
        assert_eq!(ends(4, false, 3), Blame::Engine, "no answer was completed meanwhile");
        assert_eq!(ends(5, true, 3), Blame::Request);
        assert_eq!(ends(6, false, 4), Blame::Engine);
        assert_eq!(ends(7, true, 5), Blame::RequestTwice);
        assert_eq!(ends(8, false, 5), Blame::Engine, "the suspect request used another run");
    }
}
