//! What the key of a request may use: which models, and which providers.

use auxot_access::keys::Key;

use super::{Inner, RequestedJob, WORKERS};
use crate::board::ProviderId;
use crate::failure::Failure;
use crate::key_refusal::KeyRefusal;
use crate::resolver::{Resolution, could_match};

impl Inner {
    /// The providers beside the workers that a request may go to, each with its own name for the model.
    ///
    /// # Errors
    /// The key may not use the model, or none of the providers that have it.
    pub(super) fn allowed_providers(&self, request: &RequestedJob) -> Result<Vec<(ProviderId, String)>, Failure> {
        let key = &request.key;
        self.check_model(key, request.model.as_deref())?;
        let upstream = self.upstream(request);
        let may_go_to = |(id, _): &(ProviderId, String)| {
            self.providers.get(id.0).is_some_and(|provider| {
                let of_scope = |model| key.terms().models.is_none() || self.may_use(key, model);
                key.terms().allow_provider(&provider.name)
                    && request.model.as_deref().and_then(|name| provider.model(name)).is_some_and(of_scope)
            })
        };
        let refused = upstream.iter().find(|provider| !may_go_to(provider));
        let refused = refused.and_then(|(id, _)| self.providers.get(id.0)).map(|provider| provider.name.to_string());
        let allowed: Vec<_> = upstream.into_iter().filter(may_go_to).collect();
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        let is_unknown = request.model.as_deref().is_some_and(|model| self.board.resolve(model) == Resolution::Unknown);
        let refused = match key.terms().allow_provider(WORKERS) {
            true => refused.filter(|_| is_unknown),
            false => refused.filter(|_| is_unknown).or_else(|| Some(WORKERS.to_owned())),
        };
        match (refused, &key.terms().providers) {
            (Some(provider), Some(allowed)) => {
                Err(Failure::Key(KeyRefusal::Provider { provider, allowed: allowed.clone() }))
            }
            _ => Ok(allowed),
        }
    }

    /// Checks that a key may use a model, by any of its names.
    fn check_model(&self, key: &Key, requested: Option<&str>) -> Result<(), Failure> {
        let Some(allowed) = &key.terms().models else { return Ok(()) };
        let Some(requested) = requested else {
            return Err(Failure::Key(KeyRefusal::NoModel { allowed: allowed.clone() }));
        };
        let first = self.resolutions(requested).find(|found| *found != Resolution::Unknown);
        let is_allowed = match first.unwrap_or(Resolution::Unknown) {
            Resolution::Model(model) => self.may_use(key, &model),
            Resolution::Ambiguous(models) => models.iter().any(|model| self.may_use(key, model)),
            // A worker that has it may come; what the name means then is checked then.
            Resolution::Unknown => could_match(requested, allowed.iter().map(String::as_str)),
        };
        match is_allowed {
            true => Ok(()),
            false => Err(Self::model_refused(requested, allowed)),
        }
    }

    fn model_refused(model: &str, allowed: &[String]) -> Failure {
        Failure::Key(KeyRefusal::Model { model: model.to_owned(), allowed: allowed.to_vec() })
    }

    /// Why a job may not have the model of this canonical name.
    pub(super) fn out_of_scope(&self, job: &str, model: &str) -> Option<Failure> {
        let key = &self.entries.get(job)?.request.key;
        let allowed = key.terms().models.as_ref()?;
        (!self.may_use(key, model)).then(|| Self::model_refused(model, allowed))
    }

    /// Whether a key may use the model of this canonical name.
    pub(super) fn may_use(&self, key: &Key, model: &str) -> bool {
        let is_meant = |name: &String| {
            name == model
                || self.resolutions(name).any(|found| match found {
                    Resolution::Model(meant) => meant == model,
                    Resolution::Ambiguous(meant) => meant.iter().any(|meant| meant == model),
                    Resolution::Unknown => false,
                })
        };
        key.terms().models.as_ref().is_none_or(|allowed| allowed.iter().any(is_meant))
    }

    /// What a name means: among the models of the workers, then among those of each other provider.
    fn resolutions(&self, name: &str) -> impl Iterator<Item = Resolution> {
        let others = self.providers.iter().map(move |provider| provider.resolve(name));
        std::iter::once(self.board.resolve(name)).chain(others)
    }

    /// Every model that clients with this key can use, once each, sorted.
    pub(super) fn models_for(&self, key: &Key) -> Vec<String> {
        let of_workers = if key.terms().allow_provider(WORKERS) { self.board.models() } else { Vec::new() };
        let others = self.providers.iter().filter(|provider| key.terms().allow_provider(&provider.name));
        let others = others.flat_map(|provider| provider.models()).map(str::to_owned);
        let mut names: Vec<String> =
            of_workers.into_iter().chain(others).filter(|model| self.may_use(key, model)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
