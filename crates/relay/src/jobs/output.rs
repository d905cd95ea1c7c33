//! What a job sends: the text of a chat, or the bytes of the engine's own answer to a request.
//!
//! Positions count the output from 0; the terminal message is the position after its end.

use auxot_llama::TokenCounts;
use auxot_protocol::AnswerRead;

use crate::config::Config;
use crate::jobs::outcome::Outcome;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::sink::JobMessage;

/// The output of one job.
pub(crate) trait JobOutput: std::fmt::Debug + Send + Sized + 'static {
    /// Whether the terminal message holds the whole answer, so that it can be sent again after the job has ended.
    const IS_WHOLE_AT_END: bool;

    /// The empty output of a job.
    fn blank(parsed: &ParsedJob, config: &Config) -> Self;

    /// The position after all output so far.
    fn end(&self) -> usize;

    /// The position up to which the router takes output now.
    fn sendable(&self) -> usize {
        self.end()
    }

    /// The next message after `from`, with the position of its end; `None` where nothing may be sent.
    fn message(&self, job_id: &str, from: usize) -> Option<(JobMessage, usize)>;

    /// The terminal message of a complete answer.
    fn complete(&mut self, job_id: &str) -> Result<String, Outcome>;

    /// Whether there is output that a second attempt would repeat.
    fn has_begun(&self) -> bool;

    /// Its tokens, where they are counted.
    fn tokens(&self) -> TokenCounts;

    /// The router has taken output.
    fn on_read(&mut self, _read: &AnswerRead) {}

    /// Whether the router needs nothing more of a job whose messages are all written.
    fn is_settled(&self) -> bool {
        true
    }

    /// Where the output continues on another connection; `None` for the first byte that the previous socket did not get.
    fn resume_at(&self) -> Option<usize> {
        None
    }
}
