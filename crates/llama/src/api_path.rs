//! The paths of the engine's HTTP interface that are for callers.

/// A path of the engine that requests of callers may have.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiPath {
    /// The path, without a query.
    pub path: &'static str,
    /// Whether it can be read, with `GET` and `HEAD`.
    pub get: bool,
    /// Whether it takes `POST`.
    pub post: bool,
    /// What the model must be for.
    pub task: PathTask,
}

/// What a model must be for to serve a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathTask {
    /// Text.
    Chat,
    /// Vectors of texts.
    Embedding,
    /// Scores of texts against a query.
    Rerank,
    /// Anything: tokens of a text, for example.
    Any,
}

const FORM: &[u8] = b"multipart/form-data";

const fn post(path: &'static str, task: PathTask) -> ApiPath {
    ApiPath { path, get: false, post: true, task }
}

const fn get(path: &'static str) -> ApiPath {
    ApiPath { path, get: true, post: false, task: PathTask::Any }
}

/// Every path that is passed on. What is missing here ends or reconfigures an engine, or is a page of its own.
const API_PATHS: &[ApiPath] = &[
    post("/v1/chat/completions", PathTask::Chat),
    post("/chat/completions", PathTask::Chat),
    post("/v1/completions", PathTask::Chat),
    post("/completions", PathTask::Chat),
    post("/completion", PathTask::Chat),
    post("/infill", PathTask::Chat),
    post("/v1/responses", PathTask::Chat),
    post("/v1/messages", PathTask::Chat),
    post("/v1/messages/count_tokens", PathTask::Chat),
    post("/v1/audio/transcriptions", PathTask::Chat),
    post("/v1/audio/translations", PathTask::Chat),
    post("/v1/audio/speech", PathTask::Chat),
    post("/v1/embeddings", PathTask::Embedding),
    post("/embeddings", PathTask::Embedding),
    post("/embedding", PathTask::Embedding),
    post("/v1/rerank", PathTask::Rerank),
    post("/rerank", PathTask::Rerank),
    post("/v1/reranking", PathTask::Rerank),
    post("/reranking", PathTask::Rerank),
    post("/tokenize", PathTask::Any),
    post("/detokenize", PathTask::Any),
    post("/apply-template", PathTask::Any),
    get("/props"),
    get("/slots"),
    ApiPath { path: "/lora-adapters", get: true, post: true, task: PathTask::Any },
];

impl ApiPath {
    /// All paths.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        API_PATHS.iter()
    }

    /// The path of this text, if it is one.
    #[must_use]
    pub fn of(path: &str) -> Option<&'static Self> {
        API_PATHS.iter().find(|known| known.path == path)
    }

    /// Whether it takes the method.
    #[must_use]
    pub fn takes(&self, method: &http::Method) -> bool {
        match *method {
            http::Method::GET | http::Method::HEAD => self.get,
            http::Method::POST => self.post,
            _ => false,
        }
    }

    /// Whether a body of this type is a form, with a recording. The engine reads every other body as JSON, whatever type it
    /// states, so that [`crate::Peek`] must look into it.
    #[must_use]
    pub fn is_form(&self, headers: &http::HeaderMap) -> bool {
        self.takes_form(headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default())
    }

    /// The same of a content type.
    #[must_use]
    pub fn takes_form(&self, content_type: &[u8]) -> bool {
        let kind = content_type.trim_ascii_start().get(..FORM.len());
        let is_form = kind.is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
        is_form && self.path.starts_with("/v1/audio/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_its_path_and_its_type() {
        let is_form = |path: &str, kind: &'static str| {
            let kind = http::HeaderValue::from_static(kind);
            ApiPath::of(path)
                .is_some_and(|path| path.is_form(&[(http::header::CONTENT_TYPE, kind)].into_iter().collect()))
        };
        assert!(is_form("/v1/audio/transcriptions", "Multipart/Form-Data; boundary=x"));
        assert!(!is_form("/v1/audio/transcriptions", "application/json"));
        assert!(!is_form("/v1/audio/transcriptions", ""));
        assert!(!is_form("/v1/chat/completions", "multipart/form-data; boundary=x"), "the engine reads it as JSON");
    }
}
