//! What `GET /v1/models` says about the one model of an engine.

use serde::Deserialize;

/// The model an engine has loaded. Figures the engine does not give are unknown, never zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelMeta {
    /// The name it answers to.
    pub id: String,
    /// Context of one slot, in tokens.
    pub n_ctx: Option<u64>,
    /// Context it was trained for, in tokens.
    pub n_ctx_train: Option<u64>,
    /// Size of the vocabulary.
    pub n_vocab: Option<u64>,
    /// Width of an embedding.
    pub n_embd: Option<u64>,
    /// Number of parameters.
    pub n_params: Option<u64>,
    /// Bytes of all tensors.
    pub size: Option<u64>,
    /// The file type in words, for example `Q4_K - Medium`.
    pub ftype: Option<String>,
}

impl ModelMeta {
    /// Reads the body of the answer and takes the first model; a child of ours has exactly one.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(body).ok()?;
        let model = wire.data.into_iter().next()?;
        let meta = model.meta.unwrap_or_default();
        Some(Self {
            id: model.id,
            n_ctx: meta.n_ctx,
            n_ctx_train: meta.n_ctx_train,
            n_vocab: meta.n_vocab,
            n_embd: meta.n_embd,
            n_params: meta.n_params,
            size: meta.size,
            ftype: meta.ftype,
        })
    }
}

#[derive(Deserialize)]
struct Wire {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    meta: Option<Meta>,
}

#[derive(Deserialize, Default)]
struct Meta {
    n_ctx: Option<u64>,
    n_ctx_train: Option<u64>,
    n_vocab: Option<u64>,
    n_embd: Option<u64>,
    n_params: Option<u64>,
    size: Option<u64>,
    ftype: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_answer_is_read() {
        let body =
            br#"{"models":[{"name":"alias2","details":{"format":"gguf"}}],"object":"list","data":[{"id":"alias2",
            "aliases":["alias2","m1"],"tags":[],"object":"model","created":1795402313,"owned_by":"llamacpp","meta":
            {"vocab_type":1,"n_vocab":581,"n_ctx":1024,"n_ctx_train":8192,"n_embd":256,"n_params":1478400,
             "size":2959360,"ftype":"F16"}}]}"#;
        let meta = ModelMeta::parse(body).unwrap();
        assert_eq!((meta.id.as_str(), meta.n_ctx, meta.size), ("alias2", Some(1024), Some(2_959_360)));
        assert_eq!(meta.ftype.as_deref(), Some("F16"));
    }

    #[test]
    fn a_sleeping_model_has_no_figures() {
        let meta = ModelMeta::parse(br#"{"data":[{"id":"x","meta":null}]}"#).unwrap();
        assert_eq!((meta.id.as_str(), meta.n_params), ("x", None));
        assert_eq!(ModelMeta::parse(br#"{"data":[]}"#), None);
    }
}
