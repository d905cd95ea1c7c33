//! Reads the file of providers.
//!
//! ```toml
//! [[providers]]
//! kind = "gpu"
//! load_wait = "30s"
//!
//! [[providers]]
//! kind = "cloud"
//! name = "openai"
//! api = "openai"
//! url = "https://api.openai.com/v1"
//! key_file = "/etc/auxot/openai-key"
//! models = { "gpt-4o" = "gpt-4o-2024-08-06" }
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use url::Url;

use super::{Environment, size, span};
use crate::{BackendConfig, CliConfig, CliInput, CloudApi, CloudConfig, ProviderConfig};

/// More would be a mistake.
const MOST_PROVIDERS: usize = 32;
const MOST_PARALLEL: u32 = 1024;
const LONGEST_NAME: usize = 64;

/// The providers of a file.
#[derive(Debug, Default)]
pub(super) struct Providers {
    /// How long a request waits for a worker that loads the model.
    pub(super) load_wait: Option<Duration>,
    pub(super) others: Vec<ProviderConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    providers: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gpu {
    load_wait: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cli {
    name: String,
    models: BTreeMap<String, String>,
    max_parallel: Option<u32>,
    first_byte_timeout: Option<Span>,
    total_timeout: Option<Span>,
    command: Vec<String>,
    input: Option<Input>,
    folder: Option<PathBuf>,
    #[serde(default)]
    environment: Vec<String>,
    max_output: Option<Size>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cloud {
    name: String,
    models: BTreeMap<String, String>,
    max_parallel: Option<u32>,
    first_byte_timeout: Option<Span>,
    total_timeout: Option<Span>,
    api: Api,
    url: Url,
    key_file: Option<PathBuf>,
    key_credential: Option<String>,
    connect_timeout: Option<Span>,
    idle_timeout: Option<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Input {
    Text,
    Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Api {
    OpenAi,
    Anthropic,
}

struct Span(Duration);
struct Size(usize);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        span(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        size(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Reads a file of providers.
///
/// # Errors
/// All faults of the file, each with its provider.
pub(super) fn read(path: &Path, environment: &dyn Environment) -> Result<Providers, Vec<String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|fault| vec![format!("cannot read the providers of {shown}: {fault}")])?;
    let file: File = toml::from_str(&text)
        .map_err(|fault| vec![format!("cannot read the providers of {shown}: {}", fault.to_string().trim_end())])?;
    let mut faults = Vec::new();
    if file.providers.len() > MOST_PROVIDERS {
        faults.push(format!("cannot use {} providers: {MOST_PROVIDERS} are allowed", file.providers.len()));
    }
    let mut providers = Providers::default();
    for (at, table) in file.providers.into_iter().enumerate() {
        if let Err(fault) = add(&mut providers, at, table, environment) {
            faults.push(format!("cannot use provider {} of {shown}: {fault}", at + 1));
        }
    }
    if faults.is_empty() { Ok(providers) } else { Err(faults) }
}

fn add(
    providers: &mut Providers,
    at: usize,
    mut table: toml::Table,
    environment: &dyn Environment,
) -> Result<(), String> {
    let kind = table.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    match kind.as_str() {
        "gpu" if at > 0 => return Err("kind `gpu`, the workers, comes first".to_owned()),
        "gpu" => providers.load_wait = fields::<Gpu>(table)?.load_wait.map(|span| span.0),
        "cli" => push(providers, cli(fields(table)?)?)?,
        "cloud" => push(providers, cloud(fields(table)?, environment)?)?,
        _ => return Err("`kind` must be gpu, cli or cloud".to_owned()),
    }
    Ok(())
}

fn fields<T: for<'de> Deserialize<'de>>(table: toml::Table) -> Result<T, String> {
    table.try_into().map_err(|fault: toml::de::Error| fault.message().to_owned())
}

fn push(providers: &mut Providers, provider: ProviderConfig) -> Result<(), String> {
    let name = &provider.name;
    let is_name = |name: &str| {
        (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, b'-' | b'_' | b'.'))
    };
    if !is_name(name) || matches!(name.as_str(), "gpu" | "none") {
        return Err("`name` must be 1 to 64 letters, digits, `-`, `_` and `.`, and not `gpu` or `none`".to_owned());
    }
    if providers.others.iter().any(|other| other.name == *name) {
        return Err(format!("another provider has the name `{name}`"));
    }
    if provider.models.is_empty() || provider.models.iter().any(|(name, own)| name.is_empty() || own.is_empty()) {
        return Err("`models` must name the models that it gets requests for, each with its own name there".to_owned());
    }
    if !(1..=MOST_PARALLEL).contains(&provider.max_parallel) {
        return Err(format!("`max_parallel` must be 1 to {MOST_PARALLEL}"));
    }
    providers.others.push(provider);
    Ok(())
}

fn cli(raw: Cli) -> Result<ProviderConfig, String> {
    if !raw.command.first().is_some_and(|program| program.starts_with('/')) {
        return Err("`command` must begin with the absolute path of a program".to_owned());
    }
    let cli = CliConfig {
        command: raw.command,
        input: match raw.input {
            None | Some(Input::Text) => CliInput::Text,
            Some(Input::Json) => CliInput::Json,
        },
        folder: raw.folder.unwrap_or_else(|| PathBuf::from("/")),
        environment: raw.environment,
        max_output: raw.max_output.map_or(8 << 20, |size| size.0),
    };
    Ok(ProviderConfig {
        name: raw.name,
        models: raw.models.into_iter().collect(),
        max_parallel: raw.max_parallel.unwrap_or(1),
        first_byte_timeout: raw.first_byte_timeout.map_or(Duration::from_mins(1), |span| span.0),
        total_timeout: raw.total_timeout.map_or(Duration::from_mins(10), |span| span.0),
        backend: BackendConfig::Cli(cli),
    })
}

fn cloud(raw: Cloud, environment: &dyn Environment) -> Result<ProviderConfig, String> {
    if !matches!(raw.url.scheme(), "http" | "https") || raw.url.query().is_some() || !raw.url.has_host() {
        return Err("`url` must be an address with http or https, and without a query".to_owned());
    }
    if !raw.url.username().is_empty() || raw.url.password().is_some() {
        return Err("`url` must have no user and no password; use `key_file`".to_owned());
    }
    let is_here = raw.url.host().is_some_and(|host| auxot_localhost::is_loopback(&host));
    let key_file = match (raw.key_file, raw.key_credential) {
        (Some(_), Some(_)) => return Err("`key_file` and `key_credential` cannot both be set".to_owned()),
        (file, None) => file,
        (None, Some(name)) => Some(credential(&name, environment)?),
    };
    if let Some(file) = &key_file {
        std::fs::read_to_string(file).map_err(|fault| format!("its key in {}: {fault}", file.display()))?;
        if raw.url.scheme() == "http" && !is_here {
            return Err("`url` must be https: its key and the prompts would cross the network in clear".to_owned());
        }
    }
    let cloud = CloudConfig {
        api: match raw.api {
            Api::OpenAi => CloudApi::OpenAi,
            Api::Anthropic => CloudApi::Anthropic,
        },
        url: raw.url,
        key_file,
        connect_timeout: raw.connect_timeout.map_or(Duration::from_secs(10), |span| span.0),
        idle_timeout: raw.idle_timeout.map_or(Duration::from_mins(1), |span| span.0),
    };
    Ok(ProviderConfig {
        name: raw.name,
        models: raw.models.into_iter().collect(),
        max_parallel: raw.max_parallel.unwrap_or(16),
        first_byte_timeout: raw.first_byte_timeout.map_or(Duration::from_secs(30), |span| span.0),
        total_timeout: raw.total_timeout.map_or(Duration::from_mins(10), |span| span.0),
        backend: BackendConfig::Cloud(cloud),
    })
}

/// The file of a credential that systemd has loaded.
fn credential(name: &str, environment: &dyn Environment) -> Result<PathBuf, String> {
    let folder = environment.get("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    let folder = folder.ok_or("`key_credential` needs a service with LoadCredential=")?;
    if name.contains('/') || name.is_empty() {
        return Err("`key_credential` must be the name of a credential".to_owned());
    }
    Ok(Path::new(&folder).join(name))
}
