//! `auxot-worker jobs`, `events` and `logs`: what runs, what happens, and what engines print.

use std::process::ExitCode;

use auxot_admin::control::api::{Event, EventKind, JobStatus, Jobs, LogLine};
use auxot_admin::control::{client, follow};
use auxot_settings::Settings;

use super::ask::{AskError, ask, end, pretty};
use super::status_text::share_text;
use auxot_console::{Console, Paint, align_right, seconds, time_of_day};

/// Ended jobs that are shown as text; JSON has all.
const SHOWN_JOBS: usize = 20;

/// `auxot-worker jobs`.
pub(super) fn jobs(settings: &Settings, json: bool, console: &Console) -> ExitCode {
    end(console, async {
        let jobs = ask(settings, client::jobs).await?;
        console.print(&if json { pretty(&jobs) } else { jobs_text(&jobs, console) });
        Ok(())
    })
}

fn jobs_text(jobs: &Jobs, console: &Console) -> String {
    if jobs.running.is_empty() && jobs.ended.is_empty() {
        return "No job has come since the start of the worker.".to_owned();
    }
    let mut table = console.table();
    table.set_header(["JOB", "FROM", "MODEL", "ARRIVED", "WAITED", "FIRST", "TOOK", "TOKENS", "TOKENS/S", "ENDING"]);
    for job in jobs.running.iter().chain(jobs.ended.iter().take(SHOWN_JOBS)) {
        table.add_row(job_row(job));
    }
    align_right(&mut table, &[0, 4, 5, 6, 7, 8]);
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn job_row(job: &JobStatus) -> [String; 10] {
    let time = |value: Option<f64>| value.map(seconds).unwrap_or_default();
    let running = if job.model.is_some() { "runs" } else { "waits" };
    [
        job.number.to_string(),
        job.front_end.clone(),
        job.model.clone().unwrap_or_default(),
        time_of_day(job.arrived_ms),
        time(job.waited_seconds),
        time(job.first_token_seconds),
        seconds(job.took_seconds),
        job.tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
        job.tokens_per_second().map(|speed| format!("{speed:.1}")).unwrap_or_default(),
        job.ending.clone().unwrap_or_else(|| running.to_owned()),
    ]
}

/// `auxot-worker events`.
pub(super) fn events(settings: &Settings, is_followed: bool, json: bool, console: &Console) -> ExitCode {
    let print = |event: &Event| {
        let text = if json { serde_json::to_string(event).unwrap_or_default() } else { event_text(event, console) };
        console.print_line(&text)
    };
    end(console, async {
        if is_followed {
            return ask(settings, async |socket| follow::events(socket, |event| print(&event)).await).await;
        }
        let events = ask(settings, client::events).await?;
        _ = events.events.iter().all(print);
        Ok(())
    })
}

pub(super) fn event_text(event: &Event, console: &Console) -> String {
    let because = |cause: &Option<String>| match cause {
        Some(cause) => format!(": {}", console.paint(Paint::Bad, cause)),
        None => String::new(),
    };
    let what = match &event.what {
        EventKind::Model { model, from, to, cause } => {
            let from = from.as_ref().map(|from| format!("{} → ", words(from))).unwrap_or_default();
            format!("{model}  {from}{}{}", words(to), because(cause))
        }
        EventKind::ModelGone { model } => format!("{model}  gone"),
        EventKind::Download { model, to, bytes, total_bytes, reason } => {
            format!("{model}  download {to}{}{}", share_text(*bytes, *total_bytes), because(reason))
        }
        EventKind::EngineStarted { model, pid } => format!("{model}  process {pid} started"),
        EventKind::EngineEnded { model, pid, cause } => format!("{model}  process {pid} ended{}", because(cause)),
        EventKind::Router { trouble: None } => "router  sends jobs".to_owned(),
        EventKind::Router { trouble } => format!("router  sends no jobs{}", because(trouble)),
        EventKind::Command { command, model } => {
            format!("command  {command} {}", model.as_deref().unwrap_or_default()).trim_end().to_owned()
        }
        EventKind::Missed { events: Some(events) } => format!("{events} events were dropped"),
        EventKind::Missed { events: None } => "earlier events were dropped".to_owned(),
    };
    format!("{}  {what}", console.paint(Paint::Faint, &time_of_day(event.at_ms)))
}

fn words(state: &str) -> String {
    state.replace('_', " ")
}

/// `auxot-worker logs`.
pub(super) fn logs(
    settings: &Settings,
    (model, lines, is_followed): (&str, usize, bool),
    json: bool,
    console: &Console,
) -> ExitCode {
    let print = |line: &LogLine| {
        let text = if json { serde_json::to_string(line).unwrap_or_default() } else { log_text(line, console) };
        console.print_line(&text)
    };
    end(console, async {
        if is_followed {
            let followed = ask(settings, async |socket| follow::log(socket, model, lines, |line| print(&line)).await);
            return followed.await;
        }
        let log = ask(settings, async |socket| client::log(socket, model, lines).await).await?;
        if log.lines.is_empty() && !json {
            let text =
                format!("{} has had no engine since the start of the worker: `auxot-worker load {0}`", log.model);
            return Err(AskError::NotDone(text));
        }
        _ = log.lines.iter().all(print);
        Ok(())
    })
}

/// A line of an engine may hold anything; control characters must not reach a terminal.
fn log_text(line: &LogLine, console: &Console) -> String {
    let mut text = String::with_capacity(line.text.len());
    for sign in line.text.chars() {
        if sign.is_control() && sign != '\t' { text.extend(sign.escape_default()) } else { text.push(sign) }
    }
    format!("{} {text}", console.paint(Paint::Faint, &format!("{} {}", time_of_day(line.at_ms), line.process)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_of_an_engine_reaches_the_terminal() {
        let line = LogLine { number: 1, process: 2, at_ms: 0, text: "a\u{1b}[31m\tb\u{7}".into() };
        assert_eq!(log_text(&line, &Console::fixed_width(80)), "00:00:00 2 a\\u{1b}[31m\tb\\u{7}");
    }

    #[test]
    fn events_are_one_line_each() {
        let event = |what| event_text(&Event { id: 1, at_ms: 0, what }, &Console::fixed_width(80));
        let to_failed = EventKind::Model {
            model: "m".into(),
            from: Some("waiting_for_room".into()),
            to: "failed".into(),
            cause: Some("it crashed".into()),
        };
        assert_eq!(event(to_failed), "00:00:00  m  waiting for room → failed: it crashed");
        assert_eq!(event(EventKind::Command { command: "drain".into(), model: None }), "00:00:00  command  drain");
    }
}
