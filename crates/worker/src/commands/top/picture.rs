//! The picture of `auxot-worker top`: what is wrong, devices, models, jobs and events.

use auxot_admin::control::api::{DeviceStatus, Event, JobStatus, Jobs, ModelStatus, Status};
use auxot_placement::bytes_text;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Table, TableState};

use crate::commands::activity::event_text;
use crate::commands::status_text::{state, wrongs};
use auxot_console::{Console, duration, seconds};

/// Faults that are shown; the others are counted.
const SHOWN_WRONGS: usize = 3;
/// Rows of devices at most.
const MOST_DEVICES: u16 = 8;
/// Rows of jobs and events.
const ACTIVITY_ROWS: u16 = 10;
const KEYS: &str = "↑↓ select   l load   u unload   p pin   r reset   q quit";

/// What is shown.
#[derive(Debug)]
pub(super) struct Picture {
    status: Status,
    jobs: Jobs,
    events: Vec<Event>,
    selected: usize,
    /// What came of the last command.
    pub(super) note: String,
}

impl Picture {
    pub(super) fn new(status: Status, jobs: Jobs, events: Vec<Event>) -> Self {
        Self { status, jobs, events, selected: 0, note: String::new() }
    }

    /// The number of the selected model.
    pub(super) fn selected(&self) -> usize {
        self.selected
    }

    /// Selects a model by its number, or the last one.
    pub(super) fn select(&mut self, number: usize) {
        self.selected = number.min(self.status.models.len().saturating_sub(1));
    }

    /// The selected model.
    pub(super) fn model(&self) -> Option<&ModelStatus> {
        self.status.models.get(self.selected)
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let wrongs = wrongs(&picture.status);
    let shown = wrongs.len().min(SHOWN_WRONGS + 1);
    let devices = u16::try_from(picture.status.devices.len()).unwrap_or(MOST_DEVICES).min(MOST_DEVICES);
    let [head, faults, device_area, models, activity, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(shown).unwrap_or(0)),
        Constraint::Length(devices + 2),
        Constraint::Min(4),
        Constraint::Length(ACTIVITY_ROWS),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(headline(&picture.status)), head);
    frame.render_widget(Paragraph::new(fault_lines(&wrongs)), faults);
    draw_devices(frame, device_area, &picture.status.devices);
    draw_models(frame, models, picture);
    let [jobs, events] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(activity);
    draw_jobs(frame, jobs, &picture.jobs);
    draw_events(frame, events, &picture.events);
    let foot_text = if picture.note.is_empty() { KEYS.to_owned() } else { format!("{KEYS}   {}", picture.note) };
    frame.render_widget(Paragraph::new(foot_text).style(faint()), foot);
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn headline(status: &Status) -> Line<'_> {
    let worker = &status.worker;
    let program =
        format!("auxot-worker v{}  pid {}  up {}", worker.version, worker.pid, duration(worker.uptime_seconds));
    let router = match &status.router {
        None => Span::styled("  no router", faint()),
        Some(router) if router.trouble.is_none() => {
            Span::styled(format!("  {} sends jobs", router.url), Style::new().fg(Color::Green))
        }
        Some(router) => Span::styled(format!("  {} sends no jobs", router.url), Style::new().fg(Color::Red)),
    };
    let draining = if worker.draining { "  ends when its jobs are done" } else { "" };
    Line::from(vec![Span::styled(program, Modifier::BOLD), router, Span::styled(draining, Color::Yellow)])
}

fn fault_lines(wrongs: &[String]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> =
        wrongs.iter().take(SHOWN_WRONGS).map(|wrong| Line::styled(format!("! {wrong}"), Color::Red)).collect();
    if let Some(more) = wrongs.len().checked_sub(SHOWN_WRONGS).filter(|more| *more > 0) {
        lines.push(Line::styled(format!("! {more} more; see `auxot-worker status`"), Color::Red));
    }
    lines
}

fn draw_devices(frame: &mut Frame<'_>, area: Rect, devices: &[DeviceStatus]) {
    let block = Block::bordered().title(" devices ");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let rows = Layout::vertical(devices.iter().map(|_| Constraint::Length(1))).split(inside);
    for (device, row) in devices.iter().zip(rows.iter()) {
        let [name, bar] = Layout::horizontal([Constraint::Percentage(40), Constraint::Fill(1)]).areas(*row);
        let text = if device.id == device.name { device.id.clone() } else { format!("{}  {}", device.name, device.id) };
        frame.render_widget(Paragraph::new(text), name);
        match (device.used_bytes, device.total_bytes) {
            (Some(used), Some(total)) if total > 0 => {
                let models = device.models_bytes.map(|bytes| format!(", {} by models", bytes_text(bytes)));
                let label = format!("{} of {}{}", bytes_text(used), bytes_text(total), models.unwrap_or_default());
                let gauge = Gauge::default().ratio((used as f64 / total as f64).min(1.0)).label(label);
                frame.render_widget(gauge.gauge_style(Style::new().fg(Color::Cyan).bg(Color::DarkGray)), bar);
            }
            _ => frame.render_widget(Paragraph::new("memory unknown").style(faint()), bar),
        }
    }
}

fn draw_models(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let head = ["model", "state", "jobs", "waiting", "tokens/s", "first", "memory", ""];
    let rows = picture.status.models.iter().map(|model| {
        let colour = match model.state.as_str() {
            "ready" => Color::Green,
            "failed" | "backoff" => Color::Red,
            "on_disk" => Color::Reset,
            _ => Color::Yellow,
        };
        Row::new([
            Span::raw(model.name.clone()),
            Span::styled(state(model), colour),
            Span::raw(format!("{}/{}", model.slots_busy, model.slots)),
            Span::raw(model.waiting.to_string()),
            Span::raw(model.figures.tokens_per_second.map(|speed| format!("{speed:.1}")).unwrap_or_default()),
            Span::raw(model.figures.first_token_seconds.map(seconds).unwrap_or_default()),
            Span::raw(model.memory_bytes.map(bytes_text).unwrap_or_default()),
            Span::raw(if model.pinned { "pinned" } else { "" }),
        ])
    });
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(16),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(6),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(faint()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(" models "));
    let mut selection = TableState::default().with_selected(Some(picture.selected));
    frame.render_stateful_widget(table, area, &mut selection);
}

fn draw_jobs(frame: &mut Frame<'_>, area: Rect, jobs: &Jobs) {
    let row = |job: &JobStatus| {
        let ending = job.ending.as_deref().unwrap_or(if job.model.is_some() { "runs" } else { "waits" });
        Row::new([
            job.number.to_string(),
            job.model.clone().unwrap_or_default(),
            seconds(job.took_seconds),
            job.tokens_per_second().map(|speed| format!("{speed:.1}/s")).unwrap_or_default(),
            ending.to_owned(),
        ])
    };
    let widths =
        [Constraint::Length(6), Constraint::Fill(2), Constraint::Length(8), Constraint::Length(8), Constraint::Fill(1)];
    let title = format!(" jobs: {} run ", jobs.running.len());
    let table = Table::new(jobs.running.iter().chain(&jobs.ended).map(row), widths);
    frame.render_widget(table.block(Block::bordered().title(title)), area);
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, events: &[Event]) {
    let console = Console::without_colours();
    let rows = usize::from(area.height.saturating_sub(2));
    let newest = events.iter().rev().take(rows).map(|event| Line::raw(event_text(event, &console)));
    frame.render_widget(Paragraph::new(newest.collect::<Vec<_>>()).block(Block::bordered().title(" events ")), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::commands::status_text::tests::status;

    fn drawn(width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let jobs = Jobs { running: Vec::new(), ended: Vec::new() };
        let mut picture = Picture::new(status(), jobs, Vec::new());
        picture.select(9);
        assert_eq!(picture.model().map(|model| model.name.as_str()), Some("b-q4_0"));
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_a_terminal_of_usual_size() {
        let text = drawn(120, 40);
        for part in ["sends jobs", "! b-q4_0 has failed", "8.0 GiB of 16.0 GiB, 3.0 GiB by models", "41.3", "q quit"] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }

    #[test]
    fn no_size_of_the_terminal_is_too_small() {
        for (width, height) in [(1, 1), (20, 5), (40, 12), (300, 3)] {
            drawn(width, height);
        }
    }
}
