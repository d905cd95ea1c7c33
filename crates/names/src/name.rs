//! How names are cut and compared.

use crate::quant::Quant;
use crate::runs::runs;
use crate::shard::ShardName;

/// A name in the form in which names are compared: a base and a quantisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The base's runs of letters and of digits, in lower case, with `-` between them:
    /// `qwen-2-5-coder-32-b` for `Qwen2.5-Coder-32B` as well as for `qwen_2.5 coder 32b`.
    pub key: String,
    /// The quantisation, where the name ends with a known one.
    pub quant: Option<Quant>,
}

impl Name {
    /// Cuts a name as a person, a router or a file wrote it. A shard suffix, `.gguf` and a `-GGUF`
    /// at the end of the base say nothing about the model.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (base, quant) = Quant::split(stem(text));
        let key = key(base);
        let key = key.strip_suffix("-gguf").map(str::to_string).unwrap_or(key);
        Self { key, quant }
    }

    /// Whether this model's base is `requested` once its own `instruct` or `it` is left out.
    #[must_use]
    pub fn is_instruct_of(&self, requested: &str) -> bool {
        let plain = self.key.split('-').filter(|run| !matches!(*run, "instruct" | "it"));
        self.key != requested && plain.eq(requested.split('-'))
    }
}

/// Whether two names differ in case and punctuation only, so that they always mean the same model.
#[must_use]
pub fn same_name(one: &str, other: &str) -> bool {
    Name::parse(one) == Name::parse(other)
}

/// A file name without `.gguf` and without a shard suffix.
#[must_use]
pub fn stem(file_name: &str) -> &str {
    if let Some(shard) = ShardName::parse(file_name) {
        return shard.prefix;
    }
    let cut = file_name.len().saturating_sub(".gguf".len());
    match file_name.get(cut..) {
        Some(end) if end.eq_ignore_ascii_case(".gguf") => &file_name[..cut],
        _ => file_name,
    }
}

/// The `model` of a report to the router: the stem without quantisation, in its own case.
#[must_use]
pub fn base_name(stem: &str) -> &str {
    match Quant::split(stem) {
        ("", _) => stem,
        (base, _) => base.trim_end_matches(['-', '_']),
    }
}

fn key(text: &str) -> String {
    let mut key = String::with_capacity(text.len() + 8);
    for (_, run) in runs(text) {
        if !key.is_empty() {
            key.push('-');
        }
        key.extend(run.chars().flat_map(char::to_lowercase));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_and_glued_digits_make_no_difference() {
        let expected = Name::parse("qwen-2.5-coder-32b-q6_k");
        for text in [
            "Qwen2.5-Coder-32B-Q6_K.gguf",
            "QWEN_2.5 CODER 32B.q6-k",
            "qwen-2-5-coder-32-b-q6k",
            "Qwen2.5-Coder-32B-GGUF:Q6_K",
            "Qwen2.5-Coder-32B-Q6_K-00001-of-00003.gguf",
        ] {
            assert_eq!(Name::parse(text), expected, "{text}");
            assert!(same_name(text, "qwen-2.5-coder-32b-q6_k") && !same_name(text, "qwen-2.5-coder-32b"));
        }
    }

    #[test]
    fn different_numbers_stay_different() {
        assert_ne!(Name::parse("qwen-1.5b"), Name::parse("qwen-15b"));
        assert_ne!(Name::parse("llama-3-70b"), Name::parse("llama-370b"));
        assert_ne!(Name::parse("v3.1"), Name::parse("v31"));
    }

    #[test]
    fn instruct_may_be_left_out_of_a_requested_name_only() {
        let instruct = Name::parse("Qwen2.5-Coder-32B-Instruct");
        let gemma = Name::parse("gemma-3-4b-it");
        assert!(instruct.is_instruct_of(&Name::parse("qwen-2.5-coder-32b").key));
        assert!(gemma.is_instruct_of(&Name::parse("gemma3-4b").key));
        assert!(!Name::parse("qwen-2.5-coder-32b").is_instruct_of(&instruct.key));
        assert!(!gemma.is_instruct_of(&gemma.key));
    }

    #[test]
    fn base_names_follow_the_router_s_rule() {
        for (file, base) in [
            ("Qwen3-Coder-30B-A3B-Instruct-Q4_K_S.gguf", "Qwen3-Coder-30B-A3B-Instruct"),
            ("gemma-3-4b-it.Q4_K_M.gguf", "gemma-3-4b-it"),
            ("Kimi-K2.5-Q6_K-00001-of-00018.gguf", "Kimi-K2.5"),
            ("Foo_-Q2_K.gguf", "Foo"),
            ("plain.GGUF", "plain"),
            ("Q8_0.gguf", "Q8_0"),
        ] {
            assert_eq!(base_name(stem(file)), base, "{file}");
        }
    }
}
