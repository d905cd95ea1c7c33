//! The settings of providers beside the workers, as checked values.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// One provider. The order of the list is the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name in headers, logs and metrics.
    pub name: String,
    /// The models that it may be asked for, each with its own name for it. It gets no request for another model.
    pub models: Vec<(String, String)>,
    /// Requests that it may have at once.
    pub max_parallel: u32,
    /// From a request to the first byte of its answer; of a cloud's answer only where that is a stream.
    pub first_byte_timeout: Duration,
    /// From a request to the end of its answer.
    pub total_timeout: Duration,
    /// What it is.
    pub backend: BackendConfig,
}

/// What a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendConfig {
    /// A program that runs once for each request.
    Cli(CliConfig),
    /// A server with an API of a cloud.
    Cloud(CloudConfig),
}

/// A program that answers chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliConfig {
    /// Its absolute path and its arguments; `{model}` in an argument is its name of the model.
    pub command: Vec<String>,
    /// What it reads.
    pub input: CliInput,
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// Variables of the router's environment that it gets besides `PATH`, `HOME`, `USER`, `LANG` and `TMPDIR`.
    pub environment: Vec<String>,
    /// The most bytes of one answer.
    pub max_output: usize,
}

/// What a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CliInput {
    /// The messages as text.
    Text,
    /// The body of the request.
    Json,
}

/// A server with an API of a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// The API that it speaks.
    pub api: CloudApi,
    /// Its address up to the version, such as `https://api.openai.com/v1`.
    pub url: Url,
    /// The file of its key, which is read for each request.
    pub key_file: Option<PathBuf>,
    /// For the connection.
    pub connect_timeout: Duration,
    /// Between two parts of an answer.
    pub idle_timeout: Duration,
}

/// The API of a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudApi {
    /// Chats, completions, embeddings and responses as OpenAI has them.
    OpenAi,
    /// Messages as Anthropic has them.
    Anthropic,
}
