//! The arguments of the `keys` commands.

use std::time::Duration;

use auxot_access::keys::{KeyFile, KeyTerms, NewKeys, WORKERS};
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::{Environment, Faults, SettingsReader, count, keys_file};

/// The word for all providers.
const ALL: &str = "all";

/// The commands for keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create keys, print them once, store their hashes.
    Create(CreateArgs),
    /// List the stored keys; they cannot be shown again.
    List(ListArgs),
    /// Revoke the keys of a name: their workers and requests end within a second.
    Revoke(RevokeArgs),
    /// Create new keys in the place of those of a name, and print them once.
    Rotate(RotateArgs),
}

/// Arguments of `keys create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the keys; it must not be taken.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// One key for a worker, one for clients, or one of each.
    #[arg(long, value_enum, default_value = "pair")]
    pub kind: KindArg,
    /// Models that the API key may use, by any of their names [default: all].
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub models: Vec<String>,
    /// Providers that the API key may use, or `all`: nothing leaves for a program or a cloud unless it is named here.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = WORKERS)]
    pub providers: Vec<String>,
    /// Requests of the API key that run or wait at one time [default: no limit].
    #[arg(long, value_name = "REQUESTS")]
    pub max_parallel: Option<String>,
    /// Requests of the API key in a minute [default: no limit].
    #[arg(long, value_name = "REQUESTS")]
    pub requests_per_minute: Option<String>,
    /// Tokens of the API key in a minute, of requests and answers together [default: no limit].
    #[arg(long, value_name = "TOKENS")]
    pub tokens_per_minute: Option<String>,
    /// A duration such as `30d` or a date such as `2027-01-31` from which on the keys are not good [default: never].
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    /// The key file.
    #[command(flatten)]
    pub file: FileArgs,
}

/// What keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// A worker.
    Worker,
    /// Clients.
    Api,
    /// One key of each kind.
    Pair,
}

/// Arguments of `keys list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The key file.
    #[command(flatten)]
    pub file: FileArgs,
}

/// Arguments of `keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Name of the keys.
    pub name: String,
    /// The key file.
    #[command(flatten)]
    pub file: FileArgs,
}

/// Arguments of `keys rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Name of the keys.
    pub name: String,
    /// How long the old keys of the name stay good, those of earlier rotations included.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub keep_old_for: String,
    /// The key file.
    #[command(flatten)]
    pub file: FileArgs,
}

/// The key file, and the form of what is printed.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Key file, created with mode 0600 [env: AUXOT_ROUTER_KEYS_FILE] [default: ~/.config/auxot/router-keys].
    #[arg(long = "file", value_name = "PATH", visible_alias = "keys-file")]
    pub path: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl FileArgs {
    /// The file.
    ///
    /// # Errors
    /// No file is named and there is no home directory for the default one.
    pub fn file(&self, environment: &dyn Environment) -> Result<KeyFile, Faults> {
        keys_file(self.path.as_deref(), environment).map(KeyFile::of_router)
    }
}

impl CreateArgs {
    /// The keys, and when they expire.
    ///
    /// # Errors
    /// All arguments that cannot be used.
    pub fn keys(&self) -> Result<(NewKeys, Option<Timestamp>), Faults> {
        let mut reading = SettingsReader { environment: &|_: &str| None, faults: Vec::new() };
        let terms = KeyTerms {
            models: (!self.models.is_empty()).then(|| self.models.clone()),
            providers: (self.providers != [ALL]).then(|| self.providers.clone()),
            requests_per_minute: reading.take(self.requests_per_minute.as_deref(), "requests-per-minute", "", count),
            tokens_per_minute: reading.take(self.tokens_per_minute.as_deref(), "tokens-per-minute", "", count),
            max_parallel: reading.take(self.max_parallel.as_deref(), "max-parallel", "", count),
        };
        let expires = reading.take(self.expires.as_deref(), "expires", "", moment);
        if self.kind == KindArg::Worker && terms != KeyTerms::workers_only() {
            let limits = "models, providers, --max-parallel and limits of a minute are for API keys";
            reading.faults.push(format!("cannot limit a worker's key: {limits}"));
        }
        if self.models.iter().chain(&self.providers).any(|name| name.trim().is_empty()) {
            reading.faults.push("cannot use an empty name in --models or --providers".to_owned());
        }
        let keys = match self.kind {
            KindArg::Worker => NewKeys::Worker,
            KindArg::Api => NewKeys::Api(terms),
            KindArg::Pair => NewKeys::Pair(terms),
        };
        reading.finish((keys, expires))
    }
}

impl RotateArgs {
    /// How long the old keys stay good.
    ///
    /// # Errors
    /// It is not a duration.
    pub fn keep_old_for(&self) -> Result<Duration, Faults> {
        let mut reading = SettingsReader { environment: &|_: &str| None, faults: Vec::new() };
        let kept = reading.take(Some(&self.keep_old_for), "keep-old-for", "", days);
        reading.finish(kept.unwrap_or_default())
    }
}

/// A duration, which may have days.
fn days(value: &str) -> Result<Duration, &'static str> {
    let expected = "expected a duration such as `1h` or `7d`";
    let (span, now) = (value.parse::<Span>().map_err(|_| expected)?, Timestamp::now().to_zoned(TimeZone::UTC));
    let until = now.checked_add(span).map_err(|_| expected)?;
    Duration::try_from(until.timestamp().duration_since(now.timestamp())).map_err(|_| expected)
}

/// A moment in the future: after a duration, at the beginning of a day in UTC, or at a time.
fn moment(value: &str) -> Result<Timestamp, &'static str> {
    let expected = "expected a duration such as `30d`, or a date to come such as `2027-01-31`";
    let date = value.parse::<Date>().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let moment = match value.parse::<Timestamp>().ok().or_else(|| date.map(|date| date.timestamp())) {
        Some(moment) => moment,
        None => Timestamp::now().checked_add(days(value).map_err(|_| expected)?).map_err(|_| expected)?,
    };
    let whole = Timestamp::from_second(moment.as_second()).map_err(|_| expected)?;
    if whole > Timestamp::now() { Ok(whole) } else { Err(expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_duration_a_date_or_a_time_to_come() {
        let after = |value| moment(value).unwrap().duration_since(Timestamp::now()).as_hours();
        assert!((719..=720).contains(&after("30d")) && (11..=12).contains(&after("12h")));
        assert_eq!(moment("2999-01-31").unwrap().to_string(), "2999-01-31T00:00:00Z");
        assert_eq!(moment("2999-01-31T12:00:00Z").unwrap().to_string(), "2999-01-31T12:00:00Z");
        for bad in ["", "soon", "2001-01-01", "0s", "-1d", "2999-02-30"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        assert_eq!((days("90m"), days("2d")), (Ok(Duration::from_mins(90)), Ok(Duration::from_hours(48))));
        assert!(days("-1h").is_err());
    }
}
