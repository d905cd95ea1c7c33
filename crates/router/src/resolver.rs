//! Resolves the name of a model among the models of all workers, by the rules of `auxot-names`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use auxot_names::{KnownNames, Name, Rank, StatedQuant, best, find};
use auxot_protocol::{Capabilities, NamesReport};

/// Cached results; the names that clients send must not grow the memory.
const MAX_CACHED: usize = 1024;
/// Longer than any model name; a longer one is resolved and not cached.
const MAX_NAME_LENGTH: usize = 256;

/// Models of one worker that may have further names.
const MAX_NAMED_MODELS: usize = 1024;
/// Names of one such model.
const MAX_NAMES_EACH: usize = 32;

/// What a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// One model, by its canonical name.
    Model(String),
    /// Several models match equally well.
    Ambiguous(Vec<String>),
    /// No model matches.
    Unknown,
}

/// The models of one worker with their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct WorkerModels {
    models: Vec<(String, KnownNames)>,
    aliases: Vec<(Name, String)>,
    /// Further names of models, by canonical name.
    others: HashMap<String, KnownNames>,
}

impl WorkerModels {
    /// The models that a worker announces: the listed ones, or its only one.
    ///
    /// A worker that lists no models omits the quantisation from its name: any quantisation matches.
    pub(crate) fn of<'a>(
        listed: impl Iterator<Item = &'a str>,
        only: Option<&str>,
        capabilities: &Capabilities,
    ) -> Self {
        let mut named = Self {
            aliases: capabilities.aliases.iter().map(|alias| (Name::parse(&alias.name), alias.model.clone())).collect(),
            others: capabilities
                .names
                .iter()
                .take(MAX_NAMED_MODELS)
                .map(|report| (report.model.clone(), known(report)))
                .collect(),
            models: Vec::new(),
        };
        named.rename(listed);
        if let Some(only) = only {
            let known = if Name::parse(only).quant.is_some() {
                KnownNames::of(only)
            } else {
                let mut known = KnownNames::new(StatedQuant::Unstated);
                known.add(Rank::File, only);
                known
            };
            named.models.push((only.to_owned(), known));
        }
        named
    }

    /// Replaces the models and keeps the aliases.
    pub(crate) fn rename<'a>(&mut self, listed: impl Iterator<Item = &'a str>) {
        let known = |name: &str| self.others.get(name).cloned().unwrap_or_else(|| KnownNames::of(name));
        self.models = listed.map(|name| (name.to_owned(), known(name))).collect();
    }

    /// The canonical names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|(name, _)| name.as_str())
    }
}

/// The names of one model, the canonical one first.
fn known(report: &NamesReport) -> KnownNames {
    let quant = match &report.quantization {
        Some(quant) => Name::parse(&format!("m-{quant}")).quant,
        None => Name::parse(&report.model).quant,
    };
    let mut known = KnownNames::new(StatedQuant::Quant(quant));
    known.add(Rank::File, &report.model);
    for (rank, names) in [(Rank::File, &report.files), (Rank::Around, &report.around)] {
        for name in names.iter().filter(|name| name.len() <= MAX_NAME_LENGTH).take(MAX_NAMES_EACH) {
            known.add(rank, name);
        }
    }
    known
}

/// The models of all workers. A worker that joins or leaves costs as much as it has models, however many workers there are.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    models: BTreeMap<String, SharedModel>,
    /// How many workers have each alias.
    aliases: Vec<(Name, String, usize)>,
    cache: RefCell<HashMap<String, Resolution>>,
}

/// A model of one worker or several.
#[derive(Debug)]
struct SharedModel {
    /// Its names on all workers.
    names: KnownNames,
    /// Its names as workers report them, and how many workers report them so; not empty.
    reports: Vec<(KnownNames, usize)>,
}

impl SharedModel {
    fn new(known: &KnownNames) -> Self {
        Self { names: known.clone(), reports: vec![(known.clone(), 1)] }
    }

    /// One more worker has it; whether its names may have changed.
    fn add(&mut self, known: &KnownNames) -> bool {
        if let Some((_, workers)) = self.reports.iter_mut().find(|(reported, _)| reported == known) {
            *workers += 1;
            return false;
        }
        self.reports.push((known.clone(), 1));
        self.names.join(known);
        true
    }

    /// One worker less has it; whether its names may have changed.
    fn remove(&mut self, known: &KnownNames) -> bool {
        let Some(at) = self.reports.iter().position(|(reported, _)| reported == known) else { return false };
        self.reports[at].1 -= 1;
        if self.reports[at].1 > 0 {
            return false;
        }
        self.reports.remove(at);
        let mut reports = self.reports.iter().map(|(reported, _)| reported);
        if let Some(first) = reports.next() {
            self.names = first.clone();
            reports.for_each(|other| self.names.join(other));
        }
        true
    }
}

impl Resolver {
    /// A worker joins with these models.
    pub(crate) fn add(&mut self, worker: &WorkerModels) {
        let mut changed = false;
        for (name, known) in &worker.models {
            changed |= match self.models.get_mut(name) {
                Some(model) => model.add(known),
                None => self.models.insert(name.clone(), SharedModel::new(known)).is_none(),
            };
        }
        for (alias, model) in &worker.aliases {
            match self.alias(alias, model) {
                Some(at) => self.aliases[at].2 += 1,
                None => {
                    self.aliases.push((alias.clone(), model.clone(), 1));
                    changed = true;
                }
            }
        }
        self.forget_results(changed);
    }

    /// The worker that joined with these models leaves.
    pub(crate) fn remove(&mut self, worker: &WorkerModels) {
        let mut changed = false;
        for (name, known) in &worker.models {
            let Some(model) = self.models.get_mut(name) else { continue };
            changed |= model.remove(known);
            if model.reports.is_empty() {
                self.models.remove(name);
            }
        }
        for (alias, model) in &worker.aliases {
            let Some(at) = self.alias(alias, model) else { continue };
            self.aliases[at].2 -= 1;
            if self.aliases[at].2 == 0 {
                self.aliases.remove(at);
                changed = true;
            }
        }
        self.forget_results(changed);
    }

    fn alias(&self, alias: &Name, model: &str) -> Option<usize> {
        self.aliases.iter().position(|(known, target, _)| known == alias && target == model)
    }

    fn forget_results(&mut self, changed: bool) {
        if changed {
            self.cache.get_mut().clear();
        }
    }

    /// Resolves `name`.
    pub(crate) fn resolve(&self, name: &str) -> Resolution {
        if let Some(known) = self.cache.borrow().get(name) {
            return known.clone();
        }
        let resolution = self.look_up(name);
        if name.len() <= MAX_NAME_LENGTH {
            let mut cache = self.cache.borrow_mut();
            if cache.len() >= MAX_CACHED {
                cache.clear();
            }
            cache.insert(name.to_owned(), resolution.clone());
        }
        resolution
    }

    fn look_up(&self, name: &str) -> Resolution {
        // Workers may define an alias differently.
        let aliases = self.aliases.iter().map(|(alias, model, _)| (alias, model.as_str()));
        let models = || self.models.iter().map(|(name, model)| (name.clone(), name.as_str(), &model.names));
        let mut found = find(name, aliases, |name| best(name, models()));
        found.sort_unstable();
        found.dedup();
        match found.len() {
            0 => Resolution::Unknown,
            1 => Resolution::Model(found.remove(0)),
            _ => Resolution::Ambiguous(found),
        }
    }
}

/// Whether `name` could match one of these models, which no connected worker has.
pub(crate) fn could_match<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> bool {
    let known: Vec<(&str, KnownNames)> = names.map(|name| (name, KnownNames::of(name))).collect();
    let models = || known.iter().map(|(name, known)| ((), *name, known));
    !find(name, std::iter::empty(), |name| best(name, models())).is_empty()
}

#[cfg(test)]
mod tests {
    use auxot_protocol::AliasReport;
    use proptest::prelude::*;

    use super::*;

    fn listed(names: &[&str]) -> WorkerModels {
        WorkerModels::of(names.iter().copied(), None, &Capabilities::default())
    }

    fn resolver_of(workers: &[&WorkerModels]) -> Resolver {
        let mut resolver = Resolver::default();
        workers.iter().for_each(|worker| resolver.add(worker));
        resolver
    }

    fn model(name: &str) -> Resolution {
        Resolution::Model(name.to_owned())
    }

    #[test]
    fn quantisations_are_different_models_and_an_ambiguous_name_lists_all() {
        let (one, two) = (listed(&["qwen-q4_k_m"]), listed(&["qwen-q8_0", "qwen-q4_k_m"]));
        let resolver = resolver_of(&[&one, &two]);
        assert_eq!(resolver.resolve("Qwen.Q8-0"), model("qwen-q8_0"));
        assert_eq!(resolver.resolve("qwen-q6_k"), Resolution::Unknown);
        for _ in 0..2 {
            let both = Resolution::Ambiguous(vec!["qwen-q4_k_m".into(), "qwen-q8_0".into()]);
            assert_eq!(resolver.resolve("qwen"), both, "and again from cache");
        }
        assert_eq!(resolver_of(&[&one]).resolve("qwen"), model("qwen-q4_k_m"));
    }

    #[test]
    fn a_worker_that_lists_no_models_may_have_any_quantisation() {
        let only = WorkerModels::of(std::iter::empty(), Some("gemma-3-4b-it"), &Capabilities::default());
        let resolver = resolver_of(&[&only]);
        for name in ["gemma-3-4b-it", "Gemma3 4B it Q4_K_S", "gemma-3-4b", "gemma-3-4b:latest"] {
            assert_eq!(resolver.resolve(name), model("gemma-3-4b-it"), "{name}");
        }
        assert_eq!(resolver.resolve("gemma-3-12b-it"), Resolution::Unknown);
    }

    #[test]
    fn an_alias_resolves_to_its_model() {
        let alias = |name: &str, model: &str| AliasReport { name: name.into(), model: model.into() };
        let capabilities = Capabilities {
            aliases: vec![alias("GPT-4o", "qwen-7b"), alias("a", "b"), alias("b", "a"), alias("", "qwen-7b")],
            ..Capabilities::default()
        };
        let named = WorkerModels::of(["qwen-7b-q4_0"].into_iter(), None, &capabilities);
        let resolver = resolver_of(&[&named]);
        assert_eq!(resolver.resolve("gpt 4o"), model("qwen-7b-q4_0"));
        assert_eq!(resolver.resolve("gpt-4o:latest"), model("qwen-7b-q4_0"));
        assert!(could_match("qwen-7b:latest", ["qwen-7b-q4_0"].into_iter()), "a model that left a moment ago");
        assert_eq!(resolver.resolve("a"), Resolution::Unknown, "two aliases for each other");
        assert_eq!(resolver.resolve(""), Resolution::Unknown);
    }

    #[test]
    fn names_from_headers_and_folders_resolve_as_on_the_worker() {
        let report = |model: &str, quantization: &str, around: &[&str]| NamesReport {
            model: model.into(),
            quantization: Some(quantization.into()),
            files: vec![format!("link-to-{model}")],
            around: around.iter().map(|name| name.to_string()).collect(),
        };
        let capabilities = Capabilities {
            names: vec![
                report("model", "q8_0", &["Hermes 3 8B"]),
                report("weights-q4_k_s", "q4_k_s", &["unsloth_Qwen3-GGUF", "Qwen3-GGUF", "hermes-3-8b"]),
            ],
            ..Capabilities::default()
        };
        let mut named = WorkerModels::of(["model", "weights-q4_k_s"].into_iter(), None, &capabilities);
        for _ in 0..2 {
            let resolver = resolver_of(&[&listed(&["weights-q4_k_s"]), &named]);
            assert_eq!(resolver.resolve("hermes-3-8b:Q8_0"), model("model"));
            assert_eq!(resolver.resolve("model-q8_0"), model("model"), "what its header says");
            assert_eq!(resolver.resolve("model-q4_0"), Resolution::Unknown);
            assert_eq!(resolver.resolve("unsloth/Qwen3-GGUF:Q4_K_S"), model("weights-q4_k_s"));
            assert_eq!(resolver.resolve("qwen3"), model("weights-q4_k_s"));
            assert_eq!(resolver.resolve("link to model"), model("model"));
            assert!(matches!(resolver.resolve("hermes-3-8b"), Resolution::Ambiguous(_)));
            named.rename(["weights-q4_k_s", "model"].into_iter());
        }
    }

    #[test]
    fn requested_names_do_not_grow_the_cache_without_bound() {
        let resolver = Resolver::default();
        for number in 0..MAX_CACHED * 2 {
            resolver.resolve(&format!("m{number}"));
        }
        resolver.resolve(&"m".repeat(MAX_NAME_LENGTH + 1));
        assert!(resolver.cache.borrow().len() <= MAX_CACHED);
    }

    /// A worker with some of four models, which have other names on other workers, and an alias.
    fn some_worker() -> impl Strategy<Value = WorkerModels> {
        let model = (0..4_usize, 0..3_usize);
        (proptest::collection::vec(model, 0..4), 0..3_usize).prop_map(|(models, alias)| {
            let name = |model: &usize| ["a-q4_0", "b-q8_0", "c", "d-q6_k"][*model];
            let report = |(model, kind): &(usize, usize)| NamesReport {
                model: name(model).into(),
                // One quantisation for each model: of several, the first that was reported counts.
                quantization: (*kind > 0 && *model == 1).then(|| "q8_0".into()),
                files: (0..*kind).map(|link| format!("link {link} to {}", name(model))).collect(),
                around: vec![],
            };
            let capabilities = Capabilities {
                aliases: (0..alias)
                    .map(|alias| AliasReport { name: format!("alias {alias}"), model: "c".into() })
                    .collect(),
                names: models.iter().map(report).collect(),
                ..Capabilities::default()
            };
            WorkerModels::of(models.iter().map(|(model, _)| name(model)), None, &capabilities)
        })
    }

    proptest! {
        #[test]
        fn workers_that_have_left_leave_nothing(workers in proptest::collection::vec((some_worker(), any::<bool>()), 0..8)) {
            let mut changed = Resolver::default();
            for (worker, _) in &workers {
                changed.add(worker);
                changed.resolve("a");
            }
            for (worker, _) in workers.iter().filter(|(_, leaves)| *leaves) {
                changed.remove(worker);
                changed.resolve("b");
            }
            let stay: Vec<_> = workers.iter().filter(|(_, leaves)| !leaves).map(|(worker, _)| worker).collect();
            let fresh = resolver_of(&stay);
            for name in ["a", "a-q8_0", "b", "c", "c-q8_0", "d", "link 0 to c", "link 1 to d-q6_k", "alias 0", "alias 1"] {
                prop_assert_eq!(changed.resolve(name), fresh.resolve(name), "{}", name);
            }
        }
    }
}
