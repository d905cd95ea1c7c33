//! Parses a message of the router.

use auxot_protocol::{JobError, ParseError, ToWorker};
use bytes::Bytes;

use crate::connection::dial::frame_filter::cut_message;
use crate::jobs::parsed_job::ParsedJob;

/// A parsed message.
pub(crate) enum Incoming {
    Job(ParsedJob),
    Other(Box<ToWorker>),
}

/// A message that cannot be parsed.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) fault: ParseError,
    /// The error text for the caller of the job.
    error: &'static str,
}

impl Incoming {
    /// Parses a message, and a job completely. Text and binary frames are the same, as in the measured router.
    pub(crate) fn read(message: &Bytes) -> Result<Self, Unreadable> {
        if let Some((head, size)) = cut_message(message) {
            let fault =
                ParseError::of_bytes(head, format!("it has {size} bytes or more, which is over router.max_message"));
            return Err(Unreadable { fault, error: "cannot read this job: it is larger than this worker accepts" });
        }
        match ToWorker::parse_bytes(message) {
            Ok(ToWorker::Job(job)) => Ok(Self::Job(ParsedJob::new(*job))),
            Ok(other) => Ok(Self::Other(Box::new(other))),
            Err(fault) if std::str::from_utf8(message).is_err() => {
                Err(Unreadable { fault, error: "cannot read this job: it is not UTF-8" })
            }
            Err(fault) => Err(Unreadable { fault, error: "cannot read this job" }),
        }
    }
}

impl Unreadable {
    /// The error message for the job of this message. A job without an answer keeps a slot at the router until the
    /// connection ends.
    pub(crate) fn answer(self) -> Option<JobError<'static>> {
        let job_id = self.fault.job_id.filter(|_| self.fault.kind.as_deref() == Some("job"))?;
        Some(JobError {
            job_id: Some(job_id.into()),
            error: self.error.into(),
            details: Some(self.fault.reason.into()),
            status: Some(400),
            ..JobError::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(message: &[u8]) -> (Option<String>, String) {
        let Err(fault) = Incoming::read(&Bytes::copy_from_slice(message)) else { panic!("it was read") };
        let answer = fault.answer().unwrap_or_default();
        (answer.job_id.map(std::borrow::Cow::into_owned), answer.error.into_owned())
    }

    #[test]
    fn a_job_that_cannot_be_read_is_ended_wherever_its_id_can_be_found() {
        let id = Some("j".to_owned());
        let (found, error) = ended(b"{\"type\":\"job\",\"job_id\":\"j\",\"messages\":[\"\xff\"]}");
        assert_eq!((found, error.contains("UTF-8")), (id.clone(), true));
        let cut = [&b"{\"type\":\"job\",\"job_id\":\"j\",\"mess\xff\x4c"[..], &70_000_u64.to_be_bytes()].concat();
        let (found, error) = ended(&cut);
        assert_eq!((found, error.contains("larger")), (id.clone(), true));
        assert_eq!(ended(br#"{"type":"job","job_id":"j","messages":["#).0, id);
        assert_eq!(ended(br#"{"type":"policy_update","job_id":"j","policy":7}"#).0, None, "it is no job");
        assert_eq!(ended(b"\xff").0, None);
    }
}
