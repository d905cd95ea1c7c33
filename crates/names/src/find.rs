//! From a requested name to its models: as it is written, then without a tag that means nothing, each also by an alias.

use std::borrow::Cow;

use crate::name::Name;
use crate::quant::Quant;

const ANY_TAG: &str = ":latest";

/// The ways to read a requested name, the first that finds something counts: as it is written, and without `:latest`.
fn readings(requested: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let requested = requested.trim();
    std::iter::once(Cow::Borrowed(requested)).chain(without_tag(requested))
}

/// The requested name without `:latest`, which stands at its end or before a quantisation only.
fn without_tag(requested: &str) -> Option<Cow<'_, str>> {
    let at = requested.to_ascii_lowercase().rfind(ANY_TAG)?;
    let (name, rest) = (&requested[..at], &requested[at + ANY_TAG.len()..]);
    if rest.is_empty() {
        return Some(Cow::Borrowed(name));
    }
    let is_quant = Quant::split(rest).1.is_some() && Quant::split(rest).0.is_empty();
    is_quant.then(|| Cow::Owned(format!("{name}{rest}")))
}

/// The models of a requested name, by `look`, which finds the models of one name.
///
/// An alias is replaced by its model once, so that two aliases for each other end; there may be several of one name.
pub fn find<'a, T>(
    requested: &str,
    aliases: impl Iterator<Item = (&'a Name, &'a str)> + Clone,
    look: impl Fn(&str) -> Vec<T>,
) -> Vec<T> {
    let first = |requested: &str| readings(requested).map(|reading| look(&reading)).find(|found| !found.is_empty());
    for reading in readings(requested) {
        let name = Name::parse(&reading);
        let mut meant = aliases.clone().filter(|(alias, _)| !alias.key.is_empty() && **alias == name).peekable();
        if meant.peek().is_some() {
            return meant.filter_map(|(_, model)| first(model)).flatten().collect();
        }
        let found = look(&reading);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KnownNames, best};

    fn found(requested: &str, models: &[&str], aliases: &[(&str, &str)]) -> Vec<String> {
        let known: Vec<(&str, KnownNames)> = models.iter().map(|name| (*name, KnownNames::of(name))).collect();
        let aliases: Vec<(Name, &str)> = aliases.iter().map(|(name, model)| (Name::parse(name), *model)).collect();
        let look = |name: &str| best(name, known.iter().map(|(name, known)| (name.to_string(), *name, known)));
        find(requested, aliases.iter().map(|(name, model)| (name, *model)), look)
    }

    #[test]
    fn the_tag_latest_says_nothing() {
        let models = ["qwen-q4_k_m", "llama-q4_0", "llama-q8_0"];
        for requested in ["qwen:latest", " Qwen:LATEST ", "qwen-q4_k_m:latest", "qwen:latest-q4_k_m", "qwen:q4_k_m"] {
            assert_eq!(found(requested, &models, &[]), ["qwen-q4_k_m"], "{requested}");
        }
        assert_eq!(found("llama:latest", &models, &[]), ["llama-q4_0", "llama-q8_0"], "still several");
        for requested in
            ["qwen:latest-beta", "qwen:latest:latest", ":latest", "qwen-latest", "qwen:later", "qwen:latest-q8_0"]
        {
            assert_eq!(found(requested, &models, &[]), [""; 0], "{requested}");
        }
    }

    #[test]
    fn a_real_name_comes_before_one_without_the_tag() {
        assert_eq!(found("qwen:latest", &["qwen", "qwen-latest-q4_0"], &[]), ["qwen-latest-q4_0"]);
        assert_eq!(found("qwen:latest", &["qwen", "llama"], &[("qwen:latest", "llama")]), ["llama"]);
        assert_eq!(found("gpt:latest", &["gpt-latest", "llama"], &[("gpt", "llama")]), ["gpt-latest"]);
    }

    #[test]
    fn an_alias_means_the_same_with_and_without_the_tag() {
        let aliases = [("gpt-4o", "qwen:latest"), ("a", "b"), ("b", "a"), ("", "qwen")];
        for requested in ["gpt-4o", "GPT 4o:latest"] {
            assert_eq!(found(requested, &["qwen-q4_0", "gpt-4o-mini"], &aliases), ["qwen-q4_0"], "{requested}");
        }
        assert_eq!(found("a:latest", &["qwen-q4_0"], &aliases), [""; 0], "two for each other end");
        assert_eq!(found("", &["qwen-q4_0"], &aliases), [""; 0]);
    }
}
