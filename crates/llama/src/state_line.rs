//! The lines by which an engine in child mode reports its state to its supervisor.

use serde::Deserialize;

const COMMAND: &str = "cmd_child_to_router:";
const STATE: &str = "state:";
#[cfg(test)]
const PREFIX: &str = "cmd_child_to_router:state:";

/// One state from the engine's standard output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StateLine {
    /// The model is being loaded.
    Loading {
        /// From 0 to 1 over all stages together; unknown when the engine reports no number.
        progress: Option<f32>,
    },
    /// The engine serves requests.
    Ready,
    /// The model was unloaded after a time without work; the next request loads it again.
    Sleeping,
}

impl StateLine {
    /// Parses one line of output; `None` for every other line and for states of a later engine.
    pub fn parse(line: &str) -> Option<Self> {
        let word = line.trim().strip_prefix(COMMAND)?;
        // Builds of spring 2026 print nothing else.
        if word == "ready" || word.starts_with("ready:") {
            return Some(Self::Ready);
        }
        let json = word.strip_prefix(STATE)?;
        let wire: StateMessage = serde_json::from_str(json).ok()?;
        match wire.state {
            "loading" => Some(Self::Loading { progress: wire.payload.and_then(Payload::progress) }),
            "ready" => Some(Self::Ready),
            "sleeping" => Some(Self::Sleeping),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct StateMessage<'a> {
    state: &'a str,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    stages: Option<Vec<String>>,
    current: Option<String>,
    value: Option<f32>,
}

impl Payload {
    /// The progress over all stages, so that it never decreases.
    fn progress(self) -> Option<f32> {
        let value = self.value.filter(|value| value.is_finite())?.clamp(0.0, 1.0);
        let stages = self.stages.unwrap_or_default();
        let current = self.current.unwrap_or_default();
        let Some(done) = stages.iter().position(|stage| *stage == current) else { return Some(value) };
        Some((done as f32 + value) / stages.len() as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_lines_carry_their_progress() {
        let line = r#"cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":0.43}}"#;
        assert_eq!(StateLine::parse(line), Some(StateLine::Loading { progress: Some(0.43) }));
        let line = r#"cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model","mmproj"],"current":"mmproj","value":0.5}}"#;
        assert_eq!(StateLine::parse(line), Some(StateLine::Loading { progress: Some(0.75) }));
        let line = "cmd_child_to_router:state:{\"state\":\"loading\",\"payload\":null}\r\n";
        assert_eq!(StateLine::parse(line), Some(StateLine::Loading { progress: None }));
    }

    #[test]
    fn ready_has_a_model_or_nothing_as_payload() {
        for payload in ["null", "{}", r#"{"id":"m","aliases":["m"],"meta":{"n_ctx":256}}"#] {
            let line = format!(r#"{PREFIX}{{"state":"ready","payload":{payload}}}"#);
            assert_eq!(StateLine::parse(&line), Some(StateLine::Ready), "{line}");
        }
        let line = format!(r#"{PREFIX}{{"state":"sleeping","payload":null}}"#);
        assert_eq!(StateLine::parse(&line), Some(StateLine::Sleeping));
    }

    #[test]
    fn builds_of_spring_2026_say_that_they_are_ready_and_no_more() {
        for line in ["cmd_child_to_router:ready", "cmd_child_to_router:ready\r\n", "cmd_child_to_router:ready:{}"] {
            assert_eq!(StateLine::parse(line), Some(StateLine::Ready), "{line}");
        }
        assert_eq!(StateLine::parse("cmd_child_to_router:readying"), None);
    }

    #[test]
    fn every_other_line_is_nothing() {
        for line in
            ["", "hello", "cmd_child_to_router:state:", "cmd_child_to_router:state:{", "cmd_child_to_router:info:{}"]
        {
            assert_eq!(StateLine::parse(line), None, "{line}");
        }
        assert_eq!(StateLine::parse(&format!(r#"{PREFIX}{{"state":"dreaming","payload":null}}"#)), None);
    }
}
