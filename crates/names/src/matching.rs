//! From a requested name to the models that fit it best.

use crate::name::Name;
use crate::quant::Quant;

/// How many names a list shows before it only counts.
const LISTED: usize = 24;

/// How good a name is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The file's own name, or that of a link to it.
    File,
    /// What the header or the folders say.
    Around,
}

/// What is known of a model's quantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedQuant {
    /// This one; `None` where it has none that is known.
    Quant(Option<Quant>),
    /// Nothing: the model's report leaves it out of its names, so that any may be meant.
    Unstated,
}

/// All names of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNames {
    names: Vec<(Rank, Name)>,
    quant: StatedQuant,
}

impl KnownNames {
    /// A model without names; see [`KnownNames::add`].
    #[must_use]
    pub fn new(quant: StatedQuant) -> Self {
        Self { names: Vec::new(), quant }
    }

    /// The names that follow from the canonical one.
    #[must_use]
    pub fn of(canonical: &str) -> Self {
        let name = Name::parse(canonical);
        let mut known = Self::new(StatedQuant::Quant(name.quant));
        known.put(Rank::File, name);
        known
    }

    /// One more name; whether it is one. One that is there already keeps its rank.
    pub fn add(&mut self, rank: Rank, text: &str) -> bool {
        self.put(rank, Name::parse(text))
    }

    /// Adds the names that the same model has elsewhere, and its quantisation where only the other states one.
    pub fn join(&mut self, other: &Self) {
        for (rank, name) in &other.names {
            self.put(*rank, name.clone());
        }
        if matches!(self.quant, StatedQuant::Unstated | StatedQuant::Quant(None)) && other.states_quant() {
            self.quant = other.quant;
        }
    }

    fn put(&mut self, rank: Rank, name: Name) -> bool {
        let is_new = !name.key.is_empty() && !self.names.iter().any(|(_, known)| known.key == name.key);
        if is_new {
            self.names.push((rank, name));
        }
        is_new
    }

    /// How well the model fits, the best first; `None` where it does not.
    fn fit(&self, requested: &Name) -> Option<(bool, Rank, QuantFit)> {
        let quant = quant_fit(requested.quant, self.quant)?;
        let fits = self.names.iter().filter_map(|(rank, name)| {
            let instruct_left_out = name.key != requested.key;
            (!instruct_left_out || name.is_instruct_of(&requested.key)).then_some((instruct_left_out, *rank, quant))
        });
        fits.min()
    }

    /// Whether it is known which quantisation the model has, or that it has none.
    #[must_use]
    pub fn states_quant(&self) -> bool {
        self.quant != StatedQuant::Unstated
    }

    /// Whether the requested name means this model by one of its names.
    #[must_use]
    pub fn fits(&self, requested: &Name) -> bool {
        self.fit(requested).is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum QuantFit {
    Same,
    Alike,
    NotRequested,
    Unstated,
}

fn quant_fit(requested: Option<Quant>, model: StatedQuant) -> Option<QuantFit> {
    match (requested, model) {
        (None, _) => Some(QuantFit::NotRequested),
        (Some(_), StatedQuant::Unstated) => Some(QuantFit::Unstated),
        (Some(requested), StatedQuant::Quant(Some(model))) if requested == model => Some(QuantFit::Same),
        (Some(requested), StatedQuant::Quant(Some(model))) if requested.is_like(model) => Some(QuantFit::Alike),
        _ => None,
    }
}

/// The models that fit a requested name best: none, the one, or several that fit equally well.
///
/// Each comes with its canonical name.
pub fn best<'a, T>(requested: &str, models: impl Iterator<Item = (T, &'a str, &'a KnownNames)>) -> Vec<T> {
    let canonical = requested.trim().to_lowercase();
    let parsed = Name::parse(requested.trim());
    let mut best = None;
    let mut fitting = Vec::new();
    for (model, name, known) in models {
        let exact = name.to_lowercase() == canonical;
        // An exact name is better than any other fit.
        let Some(fit) = (if exact { Some(None) } else { known.fit(&parsed).map(Some) }) else { continue };
        if best.is_none_or(|best| fit < best) {
            best = Some(fit);
            fitting.clear();
        }
        if best == Some(fit) {
            fitting.push(model);
        }
    }
    fitting
}

/// Names with commas between them, the first few and the number of the others.
#[must_use]
pub fn list(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(requested: &str, models: &[&str]) -> Vec<String> {
        let known: Vec<(String, KnownNames)> =
            models.iter().map(|name| (name.to_string(), KnownNames::of(name))).collect();
        best(requested, known.iter().map(|(name, known)| (name.clone(), name.as_str(), known)))
    }

    #[test]
    fn another_quantisation_is_another_model() {
        assert_eq!(found("qwen-q8_0", &["qwen-q4_k_m"]), [""; 0]);
        assert_eq!(found("qwen-q8_0", &["qwen-q4_k_m", "qwen-q8_0"]), ["qwen-q8_0"]);
        assert_eq!(found("QWEN.Q4KM", &["qwen-q4_k_m", "qwen-q8_0"]), ["qwen-q4_k_m"]);
    }

    #[test]
    fn the_exact_name_comes_first_and_all_equal_ones_are_found() {
        assert_eq!(found("q-7b", &["q-7b-q4_0", "q-7b"]), ["q-7b"]);
        assert_eq!(found("Q-7B", &["q-7b-q4_0", "q-7b-q8_0"]), ["q-7b-q4_0", "q-7b-q8_0"]);
        assert_eq!(found("q7b", &["q-7b-instruct-q4_0", "q-7b-q8_0"]), ["q-7b-q8_0"]);
        assert_eq!(found("", &["q-7b"]), [""; 0]);
        assert_eq!(found("q", &["q-7b"]), [""; 0]);
    }

    #[test]
    fn a_model_without_a_stated_quantisation_may_be_any() {
        let mut known = KnownNames::new(StatedQuant::Unstated);
        known.add(Rank::File, "gemma-3-4b-it");
        let fits = |requested| !best(requested, std::iter::once(((), "gemma-3-4b-it", &known))).is_empty();
        assert!(fits("gemma-3-4b-it-q4_k_s") && fits("Gemma3-4b") && !fits("gemma-3-12b-it-q4_k_s"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
        assert!(list(&names).ends_with("m23 and 6 more"));
        assert_eq!(list(&names[..2]), "m0, m1");
    }
}
