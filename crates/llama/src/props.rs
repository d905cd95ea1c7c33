//! The answer to `GET /props`.

use serde::Deserialize;

/// The properties of a loaded engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Props {
    /// The number of requests that it decodes at once.
    pub total_slots: u32,
    /// Context of one slot, in tokens. The engine rounds the requested number; this is the real one.
    pub n_ctx: u32,
    /// Whether it takes images (a projector is loaded).
    pub vision: bool,
}

impl Props {
    /// Parses the body of the answer; unknown and missing optional fields are ignored.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let wire: PropsMessage = serde_json::from_slice(body).ok()?;
        Some(Self {
            total_slots: wire.total_slots,
            n_ctx: wire.default_generation_settings.n_ctx,
            vision: wire.modalities.unwrap_or_default().vision.unwrap_or(false),
        })
    }
}

#[derive(Deserialize)]
struct PropsMessage {
    default_generation_settings: Generation,
    total_slots: u32,
    modalities: Option<Modalities>,
}

#[derive(Deserialize)]
struct Generation {
    n_ctx: u32,
}

#[derive(Deserialize, Default)]
struct Modalities {
    vision: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_answer_is_read() {
        // b10434, shortened: the sampling parameters and the template are left out.
        let body = br#"{"default_generation_settings":{"params":{"seed":4294967295},"n_ctx":1024},"total_slots":2,
            "model_alias":"alias2","model_ftype":"F16","modalities":{"vision":true,"video":false,"audio":false},
            "chat_template_caps":{"supports_tools":true},"build_info":"b1-7e4c0a9","is_sleeping":false}"#;
        assert_eq!(Props::parse(body), Some(Props { total_slots: 2, n_ctx: 1024, vision: true }));
    }

    #[test]
    fn nulls_and_gaps_are_bearable_but_the_numbers_are_not_guessed() {
        let body =
            br#"{"default_generation_settings":{"n_ctx":256},"total_slots":1,"model_alias":null,"modalities":null}"#;
        let props = Props::parse(body).unwrap();
        assert!(!props.vision);
        assert_eq!(Props::parse(br#"{"total_slots":1}"#), None);
        assert_eq!(Props::parse(b"<html>"), None);
    }
}
