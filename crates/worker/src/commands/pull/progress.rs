//! How far a download is: bars on a terminal, lines in a log, events as JSON for scripts.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auxot_hub::{Event, Listing, Observer, Variant};
use auxot_placement::bytes_text;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

/// The pause between two events of one file about its bytes.
const BYTES_INTERVAL: Duration = Duration::from_secs(1);
/// Digits of a commit that are shown.
const COMMIT: usize = 12;
const BAR: &str =
    "{wide_msg} {bar:24} {binary_bytes:>10} of {binary_total_bytes:<10} {binary_bytes_per_sec:>11} {eta:>4}";
const COUNTER: &str = "{wide_msg} {binary_bytes:>10} {binary_bytes_per_sec:>11}";

/// Shows the events of a download.
#[derive(Clone)]
pub(super) struct Progress {
    shown: Arc<Mutex<Shown>>,
}

/// How the events are shown.
enum Shown {
    Json(HashMap<String, Instant>),
    Bars(MultiProgress, HashMap<String, ProgressBar>),
    Lines,
}

impl Progress {
    pub(super) fn new(as_json: bool) -> Self {
        let shown = match as_json {
            true => Shown::Json(HashMap::new()),
            false if std::io::stderr().is_terminal() => Shown::Bars(MultiProgress::new(), HashMap::new()),
            false => Shown::Lines,
        };
        Self { shown: Arc::new(Mutex::new(shown)) }
    }

    pub(super) fn observer(&self) -> Observer {
        let own = self.clone();
        Arc::new(move |event| own.shown().show(event))
    }

    /// Shows the model that will be downloaded, and why it is this one.
    pub(super) fn chosen(&self, listing: &Listing, variant: &Variant, reason: Option<&str>) {
        let (repository, commit) = (&listing.repository, listing.commit.get(..COMMIT).unwrap_or(&listing.commit));
        let because = reason.map_or_else(String::new, |reason| format!("\n{reason}"));
        let text = format!("{repository} {} at {commit}: {}{because}", variant.label(), bytes_text(variant.bytes()));
        match &*self.shown() {
            Shown::Json(_) => {
                let files: Vec<&str> = variant.files.iter().map(|file| file.path.as_str()).collect();
                let event = json!({
                    "event": "chosen",
                    "repository": repository.to_string(),
                    "commit": listing.commit,
                    "quantisation": variant.label(),
                    "files": files,
                    "projector": variant.projector.as_ref().map(|file| &file.path),
                    "bytes": variant.bytes(),
                    "reason": reason,
                });
                let _closed = writeln!(std::io::stdout(), "{event}");
            }
            // A terminal that is gone is no reason to stop.
            Shown::Bars(bars, _) => _ = bars.println(text),
            Shown::Lines => _ = writeln!(std::io::stderr(), "{text}"),
        }
    }

    /// Leaves what is shown as it is.
    pub(super) fn end(&self) {
        if let Shown::Bars(_, bars) = &*self.shown() {
            bars.values().for_each(ProgressBar::abandon);
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn show(&mut self, event: &Event<'_>) {
        match self {
            Self::Json(latest) => {
                if is_due(latest, event, Instant::now()) {
                    let line = serde_json::to_string(event).unwrap_or_default();
                    let _closed = writeln!(std::io::stdout(), "{line}");
                }
            }
            Self::Bars(bars, by_file) => draw(bars, by_file, event),
            Self::Lines => {
                if let Some(line) = line(event) {
                    let _closed = writeln!(std::io::stderr(), "{line}");
                }
            }
        }
    }
}

/// Whether an event is passed on: bytes of one file once a second, all else at once.
fn is_due(latest: &mut HashMap<String, Instant>, event: &Event<'_>, now: Instant) -> bool {
    let Event::Received { file, .. } = event else { return true };
    let due = latest.get(*file).is_none_or(|last| now.duration_since(*last) >= BYTES_INTERVAL);
    if due {
        latest.insert((*file).to_owned(), now);
    }
    due
}

fn draw(bars: &MultiProgress, by_file: &mut HashMap<String, ProgressBar>, event: &Event<'_>) {
    match event {
        Event::Started { file, size, have } => {
            let template = if size.is_some() { BAR } else { COUNTER };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = bars.add(ProgressBar::new(size.unwrap_or(0)).with_style(style.progress_chars("█▌·")));
            bar.set_message((*file).to_owned());
            // Speed and remaining time are those of this process.
            bar.set_position(*have);
            bar.reset_eta();
            by_file.insert((*file).to_owned(), bar);
        }
        Event::Received { file, bytes } => {
            if let Some(bar) = by_file.get(*file) {
                bar.set_position(*bytes);
            }
        }
        Event::Verified { file, .. } => {
            if let Some(bar) = by_file.get(*file) {
                bar.abandon();
            }
        }
        _ => {
            if let Some(line) = line(event) {
                let _closed = bars.println(line);
            }
        }
    }
}

/// An event as a sentence; `None` for those that a bar shows better.
fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Planned { files, bytes, have } => {
            let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
            let have = if *have > 0 { format!(", {} of it are here", bytes_text(*have)) } else { String::new() };
            format!("{files}, {}{have}", bytes_text(*bytes))
        }
        Event::Waiting { file } => format!("{file}: another process downloads it; waiting"),
        Event::Started { file, have: 0, .. } => format!("{file}: begins"),
        Event::Started { file, have, .. } => format!("{file}: goes on after {}", bytes_text(*have)),
        Event::Received { .. } => return None,
        Event::Retrying { file, reason, pause } => {
            format!("{file}: {reason}; trying again in {:.1} s", pause.as_secs_f64())
        }
        Event::Verified { file, sha256, stated } => {
            let verified = if *stated { "verified" } else { "not verified: its origin states no SHA-256" };
            format!("{file}: {verified}, sha256 {sha256}")
        }
        Event::Placed { file, unchanged: true, .. } => format!("{file}: was here already"),
        Event::Placed { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_file_are_an_event_once_a_second() {
        let (mut latest, start) = (HashMap::new(), Instant::now());
        let mut due = |file: &str, after: u64| {
            let event = Event::Received { file, bytes: 1 };
            is_due(&mut latest, &event, start + Duration::from_millis(after))
        };
        assert_eq!([due("a", 0), due("b", 1), due("a", 999), due("a", 1000)], [true, true, false, true]);
        assert!(is_due(&mut latest, &Event::Waiting { file: "a" }, start));
    }

    #[test]
    fn the_templates_of_the_bars_can_be_read() {
        for template in [BAR, COUNTER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_log_has_no_line_for_bytes() {
        assert_eq!(line(&Event::Received { file: "a", bytes: 1 }), None);
        let retrying = Event::Retrying { file: "a", reason: "it was cut", pause: Duration::from_millis(1500) };
        assert_eq!(line(&retrying).unwrap(), "a: it was cut; trying again in 1.5 s");
        let planned = Event::Planned { files: 2, bytes: 3 << 30, have: 1 << 30 };
        assert_eq!(line(&planned).unwrap(), "2 files, 3.0 GiB, 1.0 GiB of it are here");
    }
}
