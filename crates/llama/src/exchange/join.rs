//! An answer that is no stream, joined from one.
//!
//! llama-server looks whether the client of an answer that is no stream has left only after a second in which no request of
//! any client got a token; while another stream runs, that is never. A stream is cancelled with its next token, or with the
//! next batch of its prompt. So an answer is asked for as a stream and joined here, in the form that the engine would have
//! given it.
//!
//! | module | endpoint |
//! | --- | --- |
//! | `choices` | `/v1/chat/completions`, `/v1/completions` |
//! | `results` | `/completion`, `/infill` |
//! | `message` | `/v1/messages` |
//! | `response` | `/v1/responses` |
//!
//! `json` writes JSON as the engine's library does.

mod choices;
mod json;
mod message;
mod response;
mod results;

use std::future::poll_fn;

use http::StatusCode;

use self::choices::Choices;
use self::message::Message;
use self::response::Response;
use self::results::Results;
use super::{AnswerHead, EVENT_LIMIT, ExchangeError, Forward};
use crate::request::{AnswerOption, WholeAnswer};
use crate::sse::Splitter;

/// The most bytes of a joined answer.
const LIMIT: usize = 16 << 20;

/// The endpoints whose answers can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinedForm {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
    /// `/completion` and `/infill`.
    Native,
    /// `/v1/messages`.
    Message,
    /// `/v1/responses`.
    Response,
}

impl JoinedForm {
    /// The form of the answers of an engine's path.
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" | "/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Text,
            "/completion" | "/completions" | "/infill" => Self::Native,
            "/v1/messages" => Self::Message,
            "/v1/responses" => Self::Response,
            _ => return None,
        })
    }

    /// Whether a stream has all that an answer with these options has.
    fn joins(self, options: &[AnswerOption]) -> bool {
        use AnswerOption::{Fields, Probabilities, Several, Stops, Tokens, Verbose};
        let has = |option| options.contains(&option);
        // The tokens of a stop sequence are left out of the probabilities, and a stream does not say how many they are.
        let stops_within_probabilities = has(Probabilities) && has(Stops);
        match self {
            // A token without text of its own, as the one that ends an answer, is in no event of a chat.
            Self::Chat => !has(Probabilities) && !has(Verbose),
            Self::Text => !has(Verbose) && !stops_within_probabilities,
            // The tokens of a character that has several are in no event.
            Self::Native => !has(Tokens) && !has(Fields) && !stops_within_probabilities,
            // Its events do not say to which of several answers they belong.
            Self::Message => !has(Several),
            Self::Response => !has(Several) && !has(Stops),
        }
    }

    /// The fields that a body needs before its closing brace so that its answer comes as a stream that can be joined; the
    /// last of two fields with one name counts.
    fn fields(self) -> &'static str {
        match self {
            Self::Chat | Self::Text => {
                r#","stream":true,"stream_options":{"include_usage":true},"timings_per_token":true,"return_progress":true"#
            }
            Self::Native | Self::Message | Self::Response => r#","stream":true,"return_progress":true"#,
        }
    }
}

/// How the answer to one request is joined.
#[derive(Debug)]
pub struct Joining {
    form: JoinedForm,
    answer: WholeAnswer,
}

impl Joining {
    /// For a request for an engine's path; `None` where the caller wants a stream, or an answer that a stream does not have.
    #[must_use]
    pub fn of(path: &str, wanted: Option<WholeAnswer>) -> Option<Self> {
        let (form, answer) = JoinedForm::of(path).zip(wanted)?;
        form.joins(&answer.options).then_some(Self { form, answer })
    }

    /// Adds the fields to the caller's body that ask for a stream.
    pub fn add_fields(&self, body: &mut Vec<u8>) {
        let at = body.len() - self.answer.behind;
        body.splice(at..at, self.form.fields().bytes());
    }

    /// The caller's body with the fields that ask for a stream.
    #[must_use]
    pub fn with_fields(&self, body: &[u8]) -> Vec<u8> {
        let (before, behind) = body.split_at(body.len() - self.answer.behind);
        [before, self.form.fields().as_bytes(), behind].concat()
    }

    /// Makes the body as the caller wrote it.
    pub fn remove_fields(&self, body: &mut Vec<u8>) {
        let end = body.len() - self.answer.behind;
        body.drain(end - self.form.fields().len()..end);
    }
}

/// An answer that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedAnswer {
    /// The status: an error in the middle of a stream is one.
    pub status: u16,
    /// The JSON body.
    pub body: Vec<u8>,
    /// Whether the engine's answer may have something that the stream has not: text of which its parser makes nothing, for
    /// example, is in no event, and as it is in an answer that is none.
    pub lacks_text: bool,
}

impl JoinedAnswer {
    fn whole(body: String) -> Self {
        Self { status: 200, body: body.into_bytes(), lacks_text: false }
    }

    fn lacking() -> Self {
        Self { status: 200, body: Vec::new(), lacks_text: true }
    }

    fn of_error(error: &str) -> Self {
        let code = serde_json::from_str::<serde_json::Value>(error).ok();
        let code = code.and_then(|error| u16::try_from(error["code"].as_u64()?).ok());
        let status = code.filter(|code| (400..600).contains(code)).unwrap_or(500);
        Self { status, body: format!(r#"{{"error":{error}}}"#).into_bytes(), lacks_text: false }
    }
}

impl AnswerHead {
    /// The head of an answer that was joined from a stream with this head.
    #[must_use]
    pub fn of_joined(&self, answer: &JoinedAnswer) -> Self {
        let of_stream = |line: &&[u8]| {
            let is =
                |name: &str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
            !is("content-type:") && !is("x-accel-buffering:")
        };
        let reason = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
        let mut lines = format!("{} {}\r\n", answer.status, reason.unwrap_or_default()).into_bytes();
        self.lines
            .split_inclusive(|byte| *byte == b'\n')
            .skip(1)
            .filter(of_stream)
            .for_each(|line| lines.extend_from_slice(line));
        lines.extend_from_slice(b"Content-Type: application/json; charset=utf-8\r\n");
        Self { status: answer.status, lines, length: Some(answer.body.len() as u64), is_events: false }
    }
}

impl Forward {
    /// Reads a stream to its end and joins it. Calls `progressed` for every read. Not cancel safe.
    ///
    /// # Errors
    /// When the stream ends too early, or is not one of llama-server.
    pub async fn join(
        &mut self,
        joining: &Joining,
        mut progressed: impl FnMut(),
    ) -> Result<JoinedAnswer, ExchangeError> {
        let (mut held, mut splitter) = (Vec::new(), Splitter::new(EVENT_LIMIT));
        let mut joiner = Joiner::new(joining.form, &joining.answer.options);
        loop {
            if poll_fn(|context| self.poll_append(context, &mut held)).await? == 0 {
                return joiner.finish();
            }
            progressed();
            let mut used = 0;
            while let Some(block) =
                splitter.next(&mut held[used..]).map_err(|fault| ExchangeError::TooLarge { limit: fault.limit })?
            {
                if let Some(data) = block.data {
                    joiner.take(&held[used + data.start..used + data.end])?;
                }
                used += block.used;
            }
            if joiner.state == State::Lacking {
                // What is left of the stream is of no use.
                return Ok(JoinedAnswer::lacking());
            }
            held.drain(..used);
        }
    }
}

/// A stream as far as it has come.
#[derive(Debug)]
struct Joiner {
    parts: Parts,
    /// Bytes that are held.
    held: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Coming,
    /// The engine has ended it with this error.
    Failed(String),
    /// It has not all of the answer.
    Lacking,
}

#[derive(Debug)]
enum Parts {
    Choices(Choices),
    Results(Results),
    Message(Message),
    Response(Response),
}

/// What an event has brought.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// So many bytes more are held.
    Part(usize),
    Error(String),
    /// The stream does not have what comes before it.
    Lacking,
}

impl Joiner {
    fn new(form: JoinedForm, options: &[AnswerOption]) -> Self {
        let stops = options.contains(&AnswerOption::Stops);
        let probabilities = options.contains(&AnswerOption::Probabilities);
        let parts = match form {
            JoinedForm::Chat | JoinedForm::Text => Parts::Choices(Choices::new(form, stops, probabilities)),
            JoinedForm::Native => Parts::Results(Results::new(stops, probabilities)),
            JoinedForm::Message => Parts::Message(Message::new(stops)),
            JoinedForm::Response => Parts::Response(Response::default()),
        };
        Self { parts, held: 0, state: State::Coming }
    }

    /// Takes the data of one event.
    fn take(&mut self, data: &[u8]) -> Result<(), ExchangeError> {
        if crate::is_done(data) || self.state != State::Coming {
            return Ok(());
        }
        let foreign = || ExchangeError::Malformed("an event that is none of this API");
        // Checked once, and not in each string.
        let data = std::str::from_utf8(data).map_err(|_| foreign())?;
        let taken = match &mut self.parts {
            Parts::Choices(choices) => choices.take(data),
            Parts::Results(results) => results.take(data),
            Parts::Message(message) => message.take(data),
            Parts::Response(response) => response.take(data),
        };
        match taken.map_err(|_| foreign())? {
            Taken::Part(held) => self.held += held,
            Taken::Error(error) => self.state = State::Failed(error),
            Taken::Lacking => self.state = State::Lacking,
        }
        if self.held > LIMIT { Err(ExchangeError::TooLarge { limit: LIMIT }) } else { Ok(()) }
    }

    fn finish(self) -> Result<JoinedAnswer, ExchangeError> {
        match self.state {
            State::Failed(error) => return Ok(JoinedAnswer::of_error(&error)),
            State::Lacking => return Ok(JoinedAnswer::lacking()),
            State::Coming => {}
        }
        let answer = match self.parts {
            Parts::Choices(choices) => choices.finish(),
            Parts::Results(results) => results.finish(),
            Parts::Message(message) => message.finish(),
            Parts::Response(response) => response.finish(),
        };
        answer.ok_or(ExchangeError::Cut)
    }
}

#[cfg(test)]
mod tests;
