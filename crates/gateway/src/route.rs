//! What a request asks for, by its method and target alone.

use std::borrow::Cow;

use auxot_fleet::JobTask;
use auxot_llama::{Api, ApiPath, decoded, model_of_query};
use http::Method;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// The list of models.
    Models,
    /// One model of the list.
    Model(Cow<'a, str>),
    /// Whether the gateway answers.
    Health,
    /// An endpoint of an engine.
    Engine(EngineRoute<'a>),
    /// There is no such path.
    NotFound,
    /// The path exists, for these methods.
    WrongMethod(&'static str),
}

/// An endpoint of an engine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EngineRoute<'a> {
    /// The engine's own path.
    pub(crate) path: &'static str,
    /// The query as it is written.
    pub(crate) query: Option<&'a str>,
    /// What the model must be for.
    pub(crate) task: JobTask,
    /// The model that the target names; it wins over the one of the body.
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) api: Api,
}

impl<'a> Route<'a> {
    pub(crate) fn of(method: &Method, path: &'a str, query: Option<&'a str>) -> Self {
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        let only_get = |route| if is_get { route } else { Route::WrongMethod("GET, HEAD") };
        match path {
            "/v1/models" | "/models" => return only_get(Route::Models),
            "/health" | "/v1/health" => return only_get(Route::Health),
            _ => {}
        }
        if let Some(found) = ApiPath::of(path) {
            let model = query.and_then(model_of_query);
            return engine(method, found, query, model);
        }
        if let Some(rest) = path.strip_prefix("/models/")
            && let Some((name, found)) = split_name(rest)
        {
            return engine(method, found, query, Some(decoded(name)));
        }
        match path.strip_prefix("/v1/models/") {
            Some(name) if !name.is_empty() => only_get(Route::Model(decoded(name))),
            _ => Route::NotFound,
        }
    }
}

/// `owner/name/v1/completions`: a name may have slashes, so the longest path of an endpoint at its end counts.
fn split_name(rest: &str) -> Option<(&str, &'static ApiPath)> {
    let slashes = rest.match_indices('/').map(|(at, _)| at);
    slashes.filter(|at| *at > 0).find_map(|at| Some((&rest[..at], ApiPath::of(&rest[at..])?)))
}

fn engine<'a>(
    method: &Method,
    endpoint: &'static ApiPath,
    query: Option<&'a str>,
    model: Option<Cow<'a, str>>,
) -> Route<'a> {
    if !endpoint.takes(method) {
        return Route::WrongMethod(match (endpoint.get, endpoint.post) {
            (true, true) => "GET, HEAD, POST",
            (true, false) => "GET, HEAD",
            (false, _) => "POST",
        });
    }
    let (path, task) = (endpoint.path, endpoint.task.into());
    Route::Engine(EngineRoute { path, query, task, model, api: Api::of(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine_route(method: Method, path: &'static str, query: Option<&'static str>) -> EngineRoute<'static> {
        match Route::of(&method, path, query) {
            Route::Engine(route) => route,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn an_endpoint_has_its_task_its_api_and_perhaps_a_model() {
        let chat = engine_route(Method::POST, "/v1/chat/completions", None);
        assert_eq!((chat.task, chat.api, chat.model), (JobTask::Chat, Api::OpenAi, None));
        let messages = engine_route(Method::POST, "/v1/messages/count_tokens", Some("beta=true"));
        assert_eq!((messages.api, messages.query), (Api::Anthropic, Some("beta=true")));
        assert_eq!(engine_route(Method::POST, "/rerank", None).task, JobTask::Rerank);
        let props = engine_route(Method::HEAD, "/props", Some("a=1&model=Qwen%2F3+B%3aq4&b"));
        assert_eq!((props.task, props.model.as_deref()), (JobTask::Any, Some("Qwen/3 B:q4")));
        for (path, name) in [
            ("/models/small/v1/embeddings", "small"),
            ("/models/owner/small:q8/v1/embeddings", "owner/small:q8"),
            ("/models/owner%2Fsmall/v1/embeddings", "owner/small"),
        ] {
            let route = engine_route(Method::POST, path, Some("model=other"));
            assert_eq!((route.path, route.model.as_deref()), ("/v1/embeddings", Some(name)));
        }
    }

    #[test]
    fn other_paths_and_methods_are_not_passed_on() {
        let route = |method: Method, path| Route::of(&method, path, None);
        assert_eq!(route(Method::GET, "/v1/models"), Route::Models);
        assert_eq!(route(Method::GET, "/v1/models/owner/x"), Route::Model("owner/x".into()));
        assert_eq!(route(Method::GET, "/health"), Route::Health);
        assert_eq!(route(Method::POST, "/v1/models"), Route::WrongMethod("GET, HEAD"));
        assert_eq!(route(Method::GET, "/v1/chat/completions"), Route::WrongMethod("POST"));
        assert_eq!(route(Method::POST, "/slots"), Route::WrongMethod("GET, HEAD"));
        assert_eq!(route(Method::DELETE, "/lora-adapters"), Route::WrongMethod("GET, HEAD, POST"));
        for path in ["/", "/v1", "/models/x", "/models//props", "/v1/models/", "/slots/0", "/v1/stream", "/models/load"]
        {
            assert_eq!(route(Method::POST, path), Route::NotFound, "{path}");
        }
    }

    #[test]
    fn percent_signs_are_resolved_where_they_are_valid() {
        for (text, want) in [("a%20b", "a b"), ("%zz%2", "%zz%2"), ("%ff", "%ff"), ("%+1", "%+1"), ("", "")] {
            assert_eq!(decoded(text), want, "{text}");
        }
    }
}
