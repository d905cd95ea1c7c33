//! The outcomes of a job, and the error message of each.

use std::borrow::Cow;
use std::time::Duration;

use auxot_fleet::Refusal;
use auxot_llama::EngineError;
use auxot_protocol::{JobError, NOT_STARTED};

use crate::jobs::tool_loop::LOOP_ROUNDS;

/// The one outcome of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer is complete.
    Completed,
    /// The fleet refused a slot.
    Refused(Refusal),
    /// The job is not valid.
    BadJob(String),
    /// Its text is longer than the context of a slot can hold.
    TooLong { bytes: usize, ctx: u32 },
    /// The engine refused the request.
    EngineRefused(EngineError),
    /// The engine failed during its answer.
    EngineFailed(EngineError),
    /// The engine was lost, before or during its answer.
    EngineGone { after_text: bool },
    /// The model was unloaded during the answer, to free memory for another or to be loaded again.
    MadeRoom,
    /// As many engines crashed during the request as may.
    CrashesEngines,
    /// The engine's process runs but its port does not listen.
    EngineUnreachable,
    /// The engine's answer cannot be parsed.
    Unreadable(String),
    /// The model called a tool with arguments that are not a JSON object.
    BadToolCall { tool: String },
    /// A time limit is over.
    TimedOut(Limit),
    /// The router has cancelled the job.
    Cancelled,
    /// The router has begun a new round under the same id.
    Superseded,
    /// The connection was lost and the router did not send the job again within the adopt window.
    ConnectionLost,
    /// The worker drains and no engine has the job: the router gives it to another worker.
    GivenBack,
    /// The worker shuts down before the job has ended.
    ShuttingDown,
    /// A fault of the worker: the job's task panicked.
    Broken,
}

/// A time limit with its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Headers(Duration),
    Idle(Duration),
    Total(Duration),
}

impl Limit {
    /// The length.
    pub(crate) fn length(self) -> Duration {
        match self {
            Self::Headers(length) | Self::Idle(length) | Self::Total(length) => length,
        }
    }
}

impl Outcome {
    /// The conversation ends with the same tool round several times.
    pub(crate) fn tool_loop() -> Self {
        Self::BadJob(format!("the last {LOOP_ROUNDS} tool rounds are identical, so the next one would be too"))
    }

    /// The metric's label value.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused(_) => "refused",
            Self::BadJob(_) | Self::TooLong { .. } => "bad_job",
            Self::EngineRefused(_) => "engine_refused",
            Self::EngineFailed(_) => "engine_failed",
            Self::EngineGone { .. } => "engine_gone",
            Self::MadeRoom => "made_room",
            Self::CrashesEngines => "crashes_engines",
            Self::EngineUnreachable => "engine_unreachable",
            Self::Unreadable(_) => "unreadable",
            Self::BadToolCall { .. } => "bad_tool_call",
            Self::TimedOut(Limit::Headers(_)) => "timeout_headers",
            Self::TimedOut(Limit::Idle(_)) => "timeout_idle",
            Self::TimedOut(Limit::Total(_)) => "timeout_total",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::ConnectionLost => "link_lost",
            Self::GivenBack => "given_back",
            Self::ShuttingDown => "shutting_down",
            Self::Broken => "broken",
        }
    }

    /// The reason for the log, without any text of the caller.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Completed | Self::Cancelled | Self::Superseded => None,
            Self::Refused(refusal) => Some(refusal.to_string()),
            Self::EngineRefused(error) | Self::EngineFailed(error) => Some(format!("{} {}", error.status, error.kind)),
            Self::Unreadable(what) => Some(what.clone()),
            other => Some(other.label().to_owned()),
        }
    }

    /// Whether the router has ended the job: it wants no more text.
    pub(crate) fn is_cancelled_by_router(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Superseded)
    }

    /// The model of a job that got no slot, when it is a model of this worker.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.model(),
            _ => None,
        }
    }

    /// The text for the caller, and the details for the router's log; `None` when no message is sent.
    ///
    /// The text is short and stable and holds no address, path or process id of this host.
    fn text(&self, confirm_cancel: bool) -> Option<(String, Option<String>)> {
        let plain = |text: String| Some((text, None));
        match self {
            Self::Completed | Self::ConnectionLost | Self::Superseded => None,
            Self::Cancelled => {
                if confirm_cancel {
                    plain("cancelled".to_owned())
                } else {
                    None
                }
            }
            Self::Refused(refusal) => plain(refusal.to_string()),
            Self::TooLong { bytes, ctx } => {
                plain(format!("cannot run this job: its {bytes} bytes of text do not fit the context of {ctx} tokens"))
            }
            Self::BadJob(reason) => plain(format!("cannot run this job: {reason}")),
            Self::EngineRefused(error) => plain(format!("inference error: {}", error.message)),
            Self::EngineFailed(error) => plain(format!("inference error: {} (the answer is cut short)", error.message)),
            Self::EngineGone { after_text: false } => plain("inference error: model server restarted".to_owned()),
            Self::MadeRoom => {
                plain("the model was unloaded in the middle of the answer: send the request again".to_owned())
            }
            Self::CrashesEngines => {
                plain("cannot run this job: the model server has crashed twice during this request".to_owned())
            }
            Self::EngineUnreachable => plain("inference error: model server cannot be reached".to_owned()),
            Self::EngineGone { after_text: true } => {
                plain("inference error: model server stopped in the middle of the answer".to_owned())
            }
            Self::Unreadable(what) => {
                Some(("inference error: the model server's answer cannot be read".to_owned(), Some(what.clone())))
            }
            Self::BadToolCall { tool } => {
                plain(format!("inference error: the model called `{tool}` with arguments that are not a JSON object"))
            }
            Self::TimedOut(Limit::Headers(after)) => {
                plain(format!("inference error: the model server did not begin an answer within {after:?}"))
            }
            Self::TimedOut(Limit::Idle(after)) => {
                plain(format!("inference error: the model server was silent for {after:?}"))
            }
            Self::TimedOut(Limit::Total(after)) => plain(format!("job timed out after {} s", after.as_secs())),
            Self::GivenBack => plain("the worker ends and gives this job back".to_owned()),
            Self::ShuttingDown => plain("the worker is shutting down".to_owned()),
            Self::Broken => plain("internal error of the worker".to_owned()),
        }
    }

    /// The error message of this outcome, if it has one.
    pub(crate) fn message<'a>(&self, job_id: &'a str, confirm_cancel: bool) -> Option<JobError<'a>> {
        let (error, details) = self.text(confirm_cancel)?;
        let ErrorClass { status, code, param, retry_after } = self.error_class();
        Some(JobError {
            job_id: Some(Cow::Borrowed(job_id)),
            error: Cow::Owned(error),
            details: details.map(Cow::Owned),
            status,
            code: code.map(Cow::Borrowed),
            param: param.map(Cow::Borrowed),
            retry_after,
        })
    }

    /// Status, code and retry time of this outcome; empty when they are not known.
    fn error_class(&self) -> ErrorClass {
        let caller = |code, param| ErrorClass { status: Some(400), code, param, retry_after: None };
        let server = |status, code, retry_after| ErrorClass { status: Some(status), code, param: None, retry_after };
        match self {
            Self::EngineRefused(error) | Self::EngineFailed(error) if error.is_context_exceeded() => {
                caller(Some("context_length_exceeded"), Some("messages"))
            }
            Self::EngineRefused(error) if (400..500).contains(&error.status) => {
                ErrorClass { status: Some(error.status), ..ErrorClass::default() }
            }
            Self::EngineRefused(error) if error.is_unavailable() => server(503, None, Some(RETRY_AFTER)),
            Self::TooLong { .. } => caller(Some("context_length_exceeded"), Some("messages")),
            Self::BadJob(_) => caller(Some("invalid_value"), Some("messages")),
            Self::Refused(refusal) => match refusal {
                Refusal::UnknownModel { .. } | Refusal::AmbiguousModel { .. } => {
                    ErrorClass { status: Some(404), ..caller(Some("model_not_found"), Some("model")) }
                }
                Refusal::WrongTask { .. } | Refusal::NoModelForTask { .. } => {
                    caller(Some("model_not_supported"), Some("model"))
                }
                Refusal::NoModel { .. } | Refusal::Stopped { .. } => server(503, Some("no_model"), Some(RETRY_AFTER)),
                Refusal::QueueFull { .. } | Refusal::WaitTimeout { .. } => {
                    server(503, Some("overloaded"), Some(RETRY_AFTER))
                }
                Refusal::Failed { .. } => server(503, Some("model_failed"), None),
                Refusal::DoesNotFit { .. } => server(503, Some("model_too_large"), None),
                Refusal::Draining => server(503, Some("stopping"), Some(RETRY_AFTER)),
            },
            Self::EngineGone { after_text: false } | Self::EngineUnreachable => server(503, None, Some(RETRY_AFTER)),
            // The generated text is lost, and a repetition costs as much again. The caller decides that, so clients must not
            // repeat it.
            Self::EngineGone { after_text: true } => server(502, Some("model_server_lost"), None),
            Self::EngineFailed(_) | Self::Unreadable(_) | Self::BadToolCall { .. } => server(502, None, None),
            Self::MadeRoom => server(503, Some("overloaded"), Some(RETRY_AFTER)),
            // Not a 5xx: clients repeat those.
            Self::CrashesEngines => caller(Some("request_crashes_model"), None),
            Self::GivenBack => ErrorClass { code: Some(NOT_STARTED), ..ErrorClass::default() },
            Self::TimedOut(_) => server(504, Some("timeout"), None),
            Self::ShuttingDown => server(503, Some("stopping"), Some(RETRY_AFTER)),
            _ => ErrorClass::default(),
        }
    }
}

/// Seconds after which another attempt may succeed.
const RETRY_AFTER: u32 = 5;

/// The fields of an error message beside its text; see `docs/protocol.md`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ErrorClass {
    status: Option<u16>,
    code: Option<&'static str>,
    param: Option<&'static str>,
    retry_after: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_with_a_message_name_no_address_and_the_others_have_none() {
        assert!(Outcome::Completed.message("j", false).is_none());
        assert!(Outcome::ConnectionLost.message("j", true).is_none());
        assert!(Outcome::Superseded.message("j", true).is_none(), "it would end the new round");
        assert!(Outcome::Cancelled.message("j", false).is_none());
        assert_eq!(Outcome::Cancelled.message("j", true).expect("a message").error, "cancelled");
        let late = Outcome::TimedOut(Limit::Total(Duration::from_secs(1800))).message("j", false).expect("a message");
        assert_eq!((late.job_id.as_deref(), &*late.error), (Some("j"), "job timed out after 1800 s"));
        assert!(crate::report::metrics::OUTCOMES.contains(&Outcome::Broken.label()));
    }

    #[test]
    fn the_callers_faults_differ_from_temporary_ones() {
        let error_of = |outcome: Outcome| {
            let message = outcome.message("j", false).expect("a message");
            (message.status, message.code.map(Cow::into_owned), message.retry_after)
        };
        let long = EngineError::from_body(
            400,
            br#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}"#,
        );
        let code = |text: &str| Some(text.to_owned());
        assert_eq!(error_of(Outcome::EngineRefused(long)), (Some(400), code("context_length_exceeded"), None));
        let odd = EngineError::from_body(400, br#"{"error":{"code":400,"message":"bad top_k"}}"#);
        assert_eq!(error_of(Outcome::EngineRefused(odd)), (Some(400), None, None));
        let loading = EngineError::from_body(503, b"{}");
        assert_eq!(error_of(Outcome::EngineRefused(loading)), (Some(503), None, Some(RETRY_AFTER)));
        let fault = EngineError::from_body(500, b"{}");
        assert_eq!(error_of(Outcome::EngineRefused(fault)), (None, None, None), "its cause is not known");
        assert_eq!(error_of(Outcome::BadJob("x".into())).0, Some(400));
        assert_eq!(error_of(Outcome::TooLong { bytes: 9, ctx: 1 }), (Some(400), code("context_length_exceeded"), None));
        let full = Refusal::QueueFull { model: "m".into(), waiting: 3 };
        assert_eq!(error_of(Outcome::Refused(full)), (Some(503), code("overloaded"), Some(RETRY_AFTER)));
        let lost = |after_text| error_of(Outcome::EngineGone { after_text });
        assert_eq!(lost(false), (Some(503), None, Some(RETRY_AFTER)), "nothing was generated");
        assert_eq!(
            lost(true),
            (Some(502), code("model_server_lost"), None),
            "without a retry time: not to be repeated"
        );
        let generated = EngineError::from_body(500, br#"{"error":{"code":500,"message":"decode failed"}}"#);
        for outcome in [
            Outcome::EngineFailed(generated),
            Outcome::Unreadable("x".into()),
            Outcome::BadToolCall { tool: "f".into() },
        ] {
            assert_eq!(error_of(outcome), (Some(502), None, None));
        }
        assert_eq!(error_of(Outcome::CrashesEngines), (Some(400), code("request_crashes_model"), None));
        let late = Limit::Total(Duration::from_secs(1));
        assert_eq!(error_of(Outcome::TimedOut(late)), (Some(504), code("timeout"), None));
    }
}
