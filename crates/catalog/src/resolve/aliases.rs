//! Operators' aliases that mean no model, or several: reported with what exists, and never refused, because a file may
//! appear later.

use std::collections::HashSet;

use auxot_names::{one_line, same_name};

use crate::scan::Catalog;
use crate::text::SHOWN;

/// So many aliases are looked up; each is compared with every model.
const MOST_ALIASES: usize = 1_000;

impl Catalog {
    /// The aliases that mean no model, or several, one sentence each.
    #[must_use]
    pub fn alias_warnings(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let aliases = || self.aliases().iter().take(MOST_ALIASES);
        let mut warnings = Vec::new();
        for alias in aliases().filter(|alias| seen.insert(&alias.name)) {
            let Err(fault) = self.resolve(&alias.name) else { continue };
            let is_alias = aliases().any(|other| same_name(&other.name, &alias.model));
            let chain = if is_alias { ", and an alias stands for a model, not for another alias" } else { "" };
            let shown = one_line(&alias.name, SHOWN);
            warnings.push(format!("`{shown}` of `catalog.aliases` means no model: {fault}{chain}"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::Tiny;
    use crate::{Catalog, Config};

    #[test]
    fn an_alias_of_no_model_or_several_has_one_warning_with_the_models() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["qwen-q4_0", "qwen-q8_0", "llama-q4_0"] {
            Tiny::llama().write(&folder.path().join(format!("{name}.gguf")));
        }
        let warnings = |aliases: &[&str]| {
            let aliases = aliases.iter().map(|alias| (*alias).to_owned().try_into().unwrap()).collect();
            let models_dir = vec![folder.path().to_owned()];
            Catalog::scan(&Config { models_dir, aliases, ..Config::default() }).alias_warnings()
        };
        assert!(warnings(&["gpt=llama", "chat=qwen-q8_0", "llama=qwen-q4_0", "gpt=llama-q4_0:latest"]).is_empty());
        let [none] = &warnings(&["gpt=mistral"])[..] else { panic!() };
        assert!(
            none.starts_with("`gpt` of `catalog.aliases`") && none.contains("mistral: there is llama-q4_0"),
            "{none}"
        );
        let [several] = &warnings(&["gpt=qwen"])[..] else { panic!() };
        assert!(several.contains("qwen-q4_0, qwen-q8_0"), "{several}");
        let [twice] = &warnings(&["gpt=qwen-q4_0", "gpt=llama"])[..] else { panic!() };
        assert!(twice.contains("llama-q4_0, qwen-q4_0"), "{twice}");
        let [one, other] = &warnings(&["a=b", "b=a"])[..] else { panic!() };
        assert!(one.starts_with("`a`") && other.starts_with("`b`"), "{one} {other}");
        assert!(one.ends_with("not for another alias"), "{one}");
    }
}
