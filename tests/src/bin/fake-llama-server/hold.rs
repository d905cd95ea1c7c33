//! A place where the fake waits until a test releases it: an exact moment on a machine of any speed.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::report::Report;

/// The polling interval for the file.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits at `place` until the file `until` exists.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub place: Place,
    until: PathBuf,
}

/// Where a fake can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the socket is bound.
    Start,
    /// In the load: 503, and state lines continue.
    Load,
    /// In the load, with all memory reserved on the cards; silent.
    Taken,
    /// In the processing of a prompt.
    Prompt,
    /// Before this token of an answer.
    Token(u64),
}

impl Place {
    /// The word in `--hold` and in the report `held`.
    pub(crate) fn word(self) -> String {
        match self {
            Place::Start => "start".to_owned(),
            Place::Load => "load".to_owned(),
            Place::Taken => "taken".to_owned(),
            Place::Prompt => "prompt".to_owned(),
            Place::Token(at) => at.to_string(),
        }
    }

    /// The token, if it is one.
    pub(crate) fn token(self) -> Option<u64> {
        match self {
            Place::Token(at) => Some(at),
            Place::Start | Place::Load | Place::Taken | Place::Prompt => None,
        }
    }
}

impl Hold {
    /// Reads `PLACE:PATH`.
    pub(crate) fn read(text: &str) -> Result<Hold, String> {
        let fault =
            || format!("cannot read --hold {text}: start, load, taken, prompt or a number is wanted, then :PATH");
        let (place, until) = text.split_once(':').ok_or_else(fault)?;
        let place = match place {
            "start" => Place::Start,
            "load" => Place::Load,
            "taken" => Place::Taken,
            "prompt" => Place::Prompt,
            number => Place::Token(number.parse().map_err(|_| fault())?),
        };
        Ok(Hold { place, until: PathBuf::from(until) })
    }

    /// Whether it is released.
    pub(crate) fn is_over(&self) -> bool {
        self.until.exists()
    }

    /// Waits without a client.
    pub(crate) async fn wait(&self, report: &Report) {
        report.say("held", json!({"at": self.place.word()}));
        while !self.is_over() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
