//! From a wish to what it means: as it is written, then without a tag that says nothing, and each by way of aliases.

use std::borrow::Cow;

use crate::name::Name;
use crate::quant::Quant;

/// The tag of programs that need one where none is meant.
const ANY_TAG: &str = ":latest";

/// The ways to read a wish, the first that finds something counts: as it is written, and without `:latest`.
fn readings(wish: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let wish = wish.trim();
    std::iter::once(Cow::Borrowed(wish)).chain(without_tag(wish))
}

/// The wish without `:latest`, which stands at its end or before a quantisation only.
fn without_tag(wish: &str) -> Option<Cow<'_, str>> {
    let at = wish.to_ascii_lowercase().rfind(ANY_TAG)?;
    let (name, rest) = (&wish[..at], &wish[at + ANY_TAG.len()..]);
    if rest.is_empty() {
        return Some(Cow::Borrowed(name));
    }
    let is_quant = Quant::split(rest).1.is_some() && Quant::split(rest).0.is_empty();
    is_quant.then(|| Cow::Owned(format!("{name}{rest}")))
}

/// What a wish means, by `look`, which finds the models of one name.
///
/// An alias stands for its model once, so that two for each other end; there may be several of one name.
pub fn find<'a, T>(
    wish: &str,
    aliases: impl Iterator<Item = (&'a Name, &'a str)> + Clone,
    look: impl Fn(&str) -> Vec<T>,
) -> Vec<T> {
    let first = |wish: &str| readings(wish).map(|reading| look(&reading)).find(|found| !found.is_empty());
    for reading in readings(wish) {
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
    use crate::{Known, best};

    fn found(wish: &str, models: &[&str], aliases: &[(&str, &str)]) -> Vec<String> {
        let known: Vec<(&str, Known)> = models.iter().map(|name| (*name, Known::of(name))).collect();
        let aliases: Vec<(Name, &str)> = aliases.iter().map(|(name, model)| (Name::parse(name), *model)).collect();
        let look = |name: &str| best(name, known.iter().map(|(name, known)| (name.to_string(), *name, known)));
        find(wish, aliases.iter().map(|(name, model)| (name, *model)), look)
    }

    #[test]
    fn the_tag_latest_says_nothing() {
        let models = ["qwen-q4_k_m", "llama-q4_0", "llama-q8_0"];
        for wish in ["qwen:latest", " Qwen:LATEST ", "qwen-q4_k_m:latest", "qwen:latest-q4_k_m", "qwen:q4_k_m"] {
            assert_eq!(found(wish, &models, &[]), ["qwen-q4_k_m"], "{wish}");
        }
        assert_eq!(found("llama:latest", &models, &[]), ["llama-q4_0", "llama-q8_0"], "still several");
        for wish in
            ["qwen:latest-beta", "qwen:latest:latest", ":latest", "qwen-latest", "qwen:later", "qwen:latest-q8_0"]
        {
            assert_eq!(found(wish, &models, &[]), [""; 0], "{wish}");
        }
    }

    #[test]
    fn what_is_really_called_so_comes_first() {
        assert_eq!(found("qwen:latest", &["qwen", "qwen-latest-q4_0"], &[]), ["qwen-latest-q4_0"]);
        assert_eq!(found("qwen:latest", &["qwen", "llama"], &[("qwen:latest", "llama")]), ["llama"]);
        assert_eq!(found("gpt:latest", &["gpt-latest", "llama"], &[("gpt", "llama")]), ["gpt-latest"]);
    }

    #[test]
    fn an_alias_means_the_same_with_and_without_the_tag() {
        let aliases = [("gpt-4o", "qwen:latest"), ("a", "b"), ("b", "a"), ("", "qwen")];
        for wish in ["gpt-4o", "GPT 4o:latest"] {
            assert_eq!(found(wish, &["qwen-q4_0", "gpt-4o-mini"], &aliases), ["qwen-q4_0"], "{wish}");
        }
        assert_eq!(found("a:latest", &["qwen-q4_0"], &aliases), [""; 0], "two for each other end");
        assert_eq!(found("", &["qwen-q4_0"], &aliases), [""; 0]);
    }
}
