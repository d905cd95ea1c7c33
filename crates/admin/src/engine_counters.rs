//! The counters of the engines themselves, labelled by model and monotone over the restarts of an engine.
//!
//! A scrape shows the values of the newest reading and requests the next one: it never waits for an engine, and while there
//! are no scrapes no engine is read.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use auxot_fleet::{Endpoint, Fleet};
use auxot_llama::{Forward, ForwardHead};
use axum::http::{HeaderMap, Method};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// The counters that are read, by the engine's name and with a description of the sum over its processes. Other series of an
/// engine are averages over its last scrape by any client, and mean nothing here.
const COUNTERS: [(&str, &str); 6] = [
    ("prompt_tokens_total", "Prompt tokens that engines have processed, as they count them (labels: model)"),
    (
        "prompt_tokens_cached_total",
        "Prompt tokens that engines took from their cache, as they count them (labels: model)",
    ),
    ("prompt_seconds_total", "Seconds in which engines processed prompts, as they count them (labels: model)"),
    ("tokens_predicted_total", "Tokens that engines have generated, as they count them (labels: model)"),
    ("tokens_predicted_seconds_total", "Seconds in which engines generated tokens, as they count them (labels: model)"),
    ("n_decode_total", "Calls of engines to their decoder, as they count them (labels: model)"),
];
/// The prefix of an engine's names.
const THEIRS: &str = "llamacpp:";
/// The prefix of ours.
const OURS: &str = "auxot_worker_llamacpp_";
/// Shortest interval between two readings.
const INTERVAL: Duration = Duration::from_secs(15);
/// The longest reading of one engine.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer of an engine.
const LONGEST_ANSWER: usize = 64 << 10;

/// One value for each of [`COUNTERS`]; `None` where the engine has no such counter.
type Values = [Option<f64>; COUNTERS.len()];

/// The counters of all engines.
#[derive(Debug, Default)]
pub(crate) struct EngineCounters {
    models: Mutex<BTreeMap<String, Counted>>,
    requested: Notify,
}

/// The counters of one model.
#[derive(Debug, Clone, Default)]
struct Counted {
    /// The process that was read last.
    pid: u32,
    /// Its values.
    newest: Values,
    /// The last values of all earlier processes, added up.
    before: Values,
}

impl Counted {
    /// Takes the values of a process.
    fn read(&mut self, pid: u32, values: Values) {
        // A process that was not seen to change may have been replaced by one with the same id: then a value is smaller.
        let is_smaller = |(newest, value): (&Option<f64>, &Option<f64>)| newest.zip(*value).is_some_and(|(a, b)| b < a);
        if pid != self.pid || self.newest.iter().zip(&values).any(is_smaller) {
            for (before, newest) in self.before.iter_mut().zip(&self.newest) {
                *before = newest.map_or(*before, |newest| Some(before.unwrap_or(0.0) + newest));
            }
        }
        (self.pid, self.newest) = (pid, values);
    }

    fn total(&self, counter: usize) -> Option<f64> {
        match (self.before[counter], self.newest[counter]) {
            (None, None) => None,
            (before, newest) => Some(before.unwrap_or(0.0) + newest.unwrap_or(0.0)),
        }
    }
}

impl EngineCounters {
    /// Appends the newest values in Prometheus' text format, and requests the next reading.
    pub(crate) fn render(&self, text: &mut String) {
        self.requested.notify_one();
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        for (counter, (name, about)) in COUNTERS.iter().enumerate() {
            let values = models.iter().filter_map(|(model, counted)| Some((model, counted.total(counter)?)));
            let mut values = values.peekable();
            if values.peek().is_none() {
                continue;
            }
            let _ = writeln!(text, "# HELP {OURS}{name} {about}\n# TYPE {OURS}{name} counter");
            for (model, value) in values {
                let model = model.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
                let _ = writeln!(text, "{OURS}{name}{{model=\"{model}\"}} {value}");
            }
        }
    }

    /// Reads the engines when a scrape requests it.
    pub(crate) async fn run(&self, fleet: &Fleet) -> Infallible {
        loop {
            self.requested.notified().await;
            let due = Instant::now() + INTERVAL;
            let ready =
                fleet.report().models.into_iter().filter_map(|view| Some((view.model.name.clone(), view.ready?)));
            for (model, ready) in ready.collect::<Vec<_>>() {
                // One after the other: an engine answers within milliseconds, also while it decodes.
                let Ok(Some(text)) = timeout(ENGINE_TIMEOUT, read(&ready.endpoint)).await else { continue };
                let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
                models.entry(model).or_default().read(ready.pid, parse(&text));
            }
            sleep_until(due).await;
        }
    }
}

/// The engine's own metrics.
async fn read(endpoint: &Endpoint) -> Option<String> {
    let head = ForwardHead { method: &Method::GET, target: "/metrics", fields: &HeaderMap::new() };
    let mut forward = Forward::send(endpoint, head, &[]).await.ok()?;
    if forward.head().await.ok()?.status != 200 {
        return None;
    }
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = std::future::poll_fn(|context| forward.poll_body(context, &mut buffer)).await.ok()?;
        if read == 0 {
            return String::from_utf8(text).ok();
        }
        text.extend_from_slice(&buffer[..read]);
        if text.len() > LONGEST_ANSWER {
            return None;
        }
    }
}

fn parse(text: &str) -> Values {
    let mut values = [None; COUNTERS.len()];
    for line in text.lines().filter_map(|line| line.strip_prefix(THEIRS)) {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let counter = COUNTERS.iter().position(|(known, _)| *known == name);
        if let (Some(counter), Ok(value)) = (counter, value.trim().parse::<f64>())
            && value.is_finite()
            && value >= 0.0
        {
            values[counter] = Some(value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: u64) -> String {
        format!(
            "# HELP llamacpp:tokens_predicted_total x\n# TYPE llamacpp:tokens_predicted_total counter\n\
             llamacpp:tokens_predicted_total {tokens}\nllamacpp:prompt_seconds_total 1.5\nllamacpp:requests_processing 3\n"
        )
    }

    #[test]
    fn counters_go_on_over_restarts() {
        let counters = EngineCounters::default();
        let read = |pid, tokens| {
            let mut models = counters.models.lock().unwrap();
            models.entry("a\"b".to_owned()).or_default().read(pid, parse(&text(tokens)));
            drop(models);
            let mut text = String::new();
            counters.render(&mut text);
            text
        };
        let line = |tokens| format!("auxot_worker_llamacpp_tokens_predicted_total{{model=\"a\\\"b\"}} {tokens}\n");
        assert!(read(1, 10).contains(&line(10)));
        assert!(read(1, 25).contains(&line(25)));
        assert!(read(2, 5).contains(&line(30)), "another process");
        assert!(read(2, 2).contains(&line(32)), "the same id, and fewer: another process too");
        let text = read(2, 2);
        assert!(text.contains(&line(32)) && text.contains("prompt_seconds_total{model=\"a\\\"b\"} 4.5\n"), "{text}");
        assert!(!text.contains("requests_processing"));
    }

    #[test]
    fn what_is_no_number_is_unknown() {
        assert_eq!(parse("llamacpp:n_decode_total NaN\nllamacpp:prompt_tokens_total -1\nllamacpp:x"), [None; 6]);
        let mut text = String::new();
        EngineCounters::default().render(&mut text);
        assert_eq!(text, "");
    }
}
