//! The macros of llama-swap: `${name}` in a text stands for another text.

use std::collections::BTreeMap;

/// Macros may name macros; a text that still has some after so many rounds has a circle.
const MOST_ROUNDS: usize = 16;

/// Texts by their names.
#[derive(Debug, Default, Clone)]
pub(crate) struct Macros(BTreeMap<String, String>);

impl Macros {
    pub(crate) fn set(&mut self, name: &str, text: &str) {
        self.0.insert(name.to_owned(), text.to_owned());
    }

    /// The text with all macros replaced, and the names of those that are unknown.
    pub(crate) fn resolve(&self, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> (String, Vec<String>) {
        let mut text = text.to_owned();
        let mut unknown = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let mut rest = text.as_str();
            let mut out = String::with_capacity(rest.len());
            let mut changed = false;
            unknown.clear();
            while let Some((before, after)) = rest.split_once("${") {
                out.push_str(before);
                let Some((name, behind)) = after.split_once('}') else {
                    out.push_str("${");
                    rest = after;
                    continue;
                };
                let value = match name.strip_prefix("env.") {
                    Some(name) => variable(name),
                    None => self.0.get(name).cloned(),
                };
                match value {
                    Some(value) => {
                        out.push_str(&value);
                        changed = true;
                    }
                    None => {
                        out.push_str(&format!("${{{name}}}"));
                        unknown.push(name.to_owned());
                    }
                }
                rest = behind;
            }
            out.push_str(rest);
            text = out;
            if !changed {
                break;
            }
        }
        (text, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_may_name_macros_and_the_environment() {
        let mut macros = Macros::default();
        macros.set("ctx", "4096");
        macros.set("args", "--ctx-size ${ctx}");
        let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
        let (text, unknown) = macros.resolve("x ${args} -m ${env.HOME}/m ${PORT} ${env.NO} ${", &home);
        assert_eq!(text, "x --ctx-size 4096 -m /home/a/m ${PORT} ${env.NO} ${");
        assert_eq!(unknown, ["PORT", "env.NO"]);
    }

    #[test]
    fn a_circle_ends() {
        let mut macros = Macros::default();
        macros.set("a", "${b}");
        macros.set("b", "${a}");
        let (text, _) = macros.resolve("${a}", &|_| None);
        assert!(text == "${a}" || text == "${b}", "{text}");
    }
}
