//! Compares the capabilities that the policy names with those of the model; pure.
//!
//! The measured router derives capabilities from a model's name, so they may be wrong. Those that the engine reports
//! (vision, embedding, rerank) are compared. Those that cannot be checked (code, reasoning) are repeated for a chat model,
//! as in the upstream worker. All others are reported as gaps.

use auxot_protocol::Capabilities;

/// Capabilities that cannot be checked.
const UNVERIFIABLE: [&str; 2] = ["code", "reasoning"];

/// The capability that nearly every policy names.
const CHAT: &str = "chat";
/// The tasks of models that do not chat.
const OTHER_TASKS: [&str; 2] = ["embedding", "rerank"];

/// The most capabilities of a policy that are compared; routers have about ten.
const MAX_NAMES: usize = 64;
/// The most bytes of a capability's name.
const MAX_NAME_BYTES: usize = 64;

/// Adds the capabilities that may be repeated, and a sentence for each gap.
pub(crate) fn add_matched(capabilities: &mut Capabilities, wanted: &[String]) {
    let able = &capabilities.model_capabilities;
    if capabilities.model.is_empty() {
        return;
    }
    let gaps = gaps(&capabilities.model, able, wanted);
    let echoed: Vec<String> = distinct(wanted).filter(|word| !has(able, word) && is_echoed(able, word)).collect();
    capabilities.unmet.extend(gaps);
    capabilities.model_capabilities.extend(echoed);
}

/// The gaps, one sentence each.
pub(crate) fn gaps(model: &str, able: &[String], wanted: &[String]) -> Vec<String> {
    distinct(wanted)
        .filter(|word| !has(able, word) && !is_echoed(able, word))
        .map(|word| gap(model, able, &word))
        .collect()
}

fn gap(model: &str, able: &[String], word: &str) -> String {
    let task = able.iter().find(|able| OTHER_TASKS.contains(&able.as_str()));
    match task {
        Some(task) if word == CHAT => format!(
            "the policy names `chat`, but {model} is a model for {task} and cannot chat: name a chat model in the router's \
             policy or in AUXOT_GPU_AUTOLOAD_MODELS"
        ),
        _ => format!("the policy names `{word}`, which {model} cannot do on this worker"),
    }
}

fn is_echoed(able: &[String], word: &str) -> bool {
    has(able, CHAT) && UNVERIFIABLE.contains(&word)
}

fn has(able: &[String], word: &str) -> bool {
    able.iter().any(|known| known == word)
}

/// The names in the form that is compared, without duplicates, bounded in number and length.
fn distinct(wanted: &[String]) -> impl Iterator<Item = String> {
    let mut seen: Vec<String> = Vec::new();
    for word in wanted.iter().take(MAX_NAMES) {
        let word = word.trim().to_ascii_lowercase();
        if !word.is_empty() && word.len() <= MAX_NAME_BYTES && !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn matched(able: &[&str], wanted: &[&str]) -> (Vec<String>, usize) {
        let mut capabilities =
            Capabilities { model: "m".into(), model_capabilities: words(able), ..Capabilities::default() };
        add_matched(&mut capabilities, &words(wanted));
        (capabilities.model_capabilities, capabilities.unmet.len())
    }

    #[test]
    fn checkable_capabilities_are_compared_and_the_others_repeated() {
        assert_eq!(matched(&["chat"], &["chat"]), (words(&["chat"]), 0));
        assert_eq!(matched(&["chat"], &["Code", "code", "reasoning"]), (words(&["chat", "code", "reasoning"]), 0));
        assert_eq!(matched(&["chat"], &["chat", "vision"]), (words(&["chat"]), 1));
        assert_eq!(matched(&["chat", "vision"], &["vision"]), (words(&["chat", "vision"]), 0));
        assert_eq!(matched(&["embedding"], &["chat", "reasoning"]), (words(&["embedding"]), 2));
    }

    #[test]
    fn a_gap_names_what_the_model_is_for_and_what_to_do() {
        let gaps = gaps("bge", &words(&["embedding"]), &words(&["chat", "vision"]));
        assert!(gaps[0].contains("bge is a model for embedding") && gaps[0].contains("AUXOT_GPU_AUTOLOAD"), "{gaps:?}");
        assert!(gaps[1].ends_with("cannot do on this worker"), "{gaps:?}");
    }

    #[test]
    fn a_long_list_is_compared_in_part() {
        let many: Vec<String> = (0..20_000).map(|number| format!("word{number}")).collect();
        let mut capabilities =
            Capabilities { model: "m".into(), model_capabilities: words(&["chat"]), ..Capabilities::default() };
        add_matched(&mut capabilities, &many);
        assert_eq!(capabilities.unmet.len(), MAX_NAMES);
        assert!(gaps("m", &[], &["x".repeat(1 << 20)]).is_empty());
    }

    #[test]
    fn an_unknown_model_has_no_gaps() {
        let mut capabilities = Capabilities::default();
        add_matched(&mut capabilities, &words(&["vision"]));
        assert_eq!(capabilities, Capabilities::default());
    }
}
