//! What the router wishes a model could do, against what it can: pure comparison.
//!
//! The measured router guesses from a model's name, so a wish is no knowledge. What the engine tells us (vision,
//! embedding, rerank) is compared; what nobody can check (code, reasoning) is echoed for a model that chats, as the
//! upstream worker does; everything else is a gap that is said.

use auxot_protocol::Capabilities;

/// Words that are a matter of opinion.
const UNVERIFIABLE: [&str; 2] = ["code", "reasoning"];

/// What nearly every policy wishes for.
const CHAT: &str = "chat";
/// What models are for that do not chat.
const OTHER_TASKS: [&str; 2] = ["embedding", "rerank"];

/// So many wished words are looked at; routers have about ten.
const MOST_WORDS: usize = 64;
/// No capability has a longer name, in bytes.
const LONGEST_WORD: usize = 64;

/// Adds to a worker's capabilities the wished words that may be echoed, and a sentence for each that may not.
pub(crate) fn add_matched(capabilities: &mut Capabilities, wished: &[String]) {
    let able = &capabilities.model_capabilities;
    if capabilities.model.is_empty() {
        return;
    }
    let gaps = gaps(&capabilities.model, able, wished);
    let echoed: Vec<String> = distinct(wished).filter(|word| !has(able, word) && is_echoed(able, word)).collect();
    capabilities.unmet.extend(gaps);
    capabilities.model_capabilities.extend(echoed);
}

/// What is wished for and cannot be done, one sentence each.
pub(crate) fn gaps(model: &str, able: &[String], wished: &[String]) -> Vec<String> {
    distinct(wished)
        .filter(|word| !has(able, word) && !is_echoed(able, word))
        .map(|word| gap(model, able, &word))
        .collect()
}

fn gap(model: &str, able: &[String], word: &str) -> String {
    let task = able.iter().find(|able| OTHER_TASKS.contains(&able.as_str()));
    match task {
        Some(task) if word == CHAT => format!(
            "the policy policies for `chat`, and {model} is a model for {task}, which cannot chat: name one that chats in the \
             router's policy or in AUXOT_GPU_AUTOLOAD_MODELS"
        ),
        _ => format!("the policy wishes for `{word}`, which {model} cannot do on this worker"),
    }
}

fn is_echoed(able: &[String], word: &str) -> bool {
    has(able, CHAT) && UNVERIFIABLE.contains(&word)
}

fn has(able: &[String], word: &str) -> bool {
    able.iter().any(|known| known == word)
}

/// The words as they are compared, each once and no more than there can be sense in.
fn distinct(wished: &[String]) -> impl Iterator<Item = String> {
    let mut seen: Vec<String> = Vec::new();
    for word in wished.iter().take(MOST_WORDS) {
        let word = word.trim().to_ascii_lowercase();
        if !word.is_empty() && word.len() <= LONGEST_WORD && !seen.contains(&word) {
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

    fn matched(able: &[&str], wished: &[&str]) -> (Vec<String>, usize) {
        let mut capabilities =
            Capabilities { model: "m".into(), model_capabilities: words(able), ..Capabilities::default() };
        add_matched(&mut capabilities, &words(wished));
        (capabilities.model_capabilities, capabilities.unmet.len())
    }

    #[test]
    fn what_can_be_checked_is_and_what_cannot_is_echoed() {
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
    fn a_list_without_end_is_looked_at_in_part() {
        let many: Vec<String> = (0..20_000).map(|number| format!("word{number}")).collect();
        let mut capabilities =
            Capabilities { model: "m".into(), model_capabilities: words(&["chat"]), ..Capabilities::default() };
        add_matched(&mut capabilities, &many);
        assert_eq!(capabilities.unmet.len(), MOST_WORDS);
        assert!(gaps("m", &[], &["x".repeat(1 << 20)]).is_empty());
    }

    #[test]
    fn nothing_is_said_of_a_model_that_is_not_known() {
        let mut capabilities = Capabilities::default();
        add_matched(&mut capabilities, &words(&["vision"]));
        assert_eq!(capabilities, Capabilities::default());
    }
}
