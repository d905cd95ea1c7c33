//! `auxot-worker top`: the running worker as a picture that changes, with keys that steer its models.

mod picture;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use auxot_admin::control::client;
use auxot_settings::Settings;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::runtime::Runtime;

use super::ask::{AskError, ask};
use auxot_console::Console;
use picture::{Picture, draw};

/// Pause between two questions to the worker.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Quit,
    Up,
    Down,
    /// A command for the selected model.
    Command(&'static str),
    /// Pins the selected model, or unpins it.
    Pin,
}

pub(super) fn run(settings: &Settings, console: &Console) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        console.print_error("cannot show a picture that changes: this is no terminal; use `auxot-worker status`");
        return ExitCode::FAILURE;
    }
    let shown = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Runtime);
    let shown = shown.and_then(|runtime| {
        // The first answer comes before the picture: without a worker there is none.
        let picture = runtime.block_on(look(settings))?;
        let mut terminal = ratatui::try_init().map_err(AskError::Runtime)?;
        let shown = show(&runtime, settings, &mut terminal, picture);
        ratatui::restore();
        shown
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fault.report(console),
    }
}

/// Shows the worker until a key ends it.
fn show(
    runtime: &Runtime,
    settings: &Settings,
    terminal: &mut DefaultTerminal,
    mut picture: Picture,
) -> Result<(), AskError> {
    let mut due = Instant::now() + INTERVAL;
    loop {
        terminal.draw(|frame| draw(frame, &picture)).map_err(AskError::Runtime)?;
        if event::poll(due.saturating_duration_since(Instant::now())).map_err(AskError::Runtime)? {
            let Input::Key(key) = event::read().map_err(AskError::Runtime)? else { continue };
            match action(key) {
                Some(Action::Quit) => return Ok(()),
                Some(Action::Up) => picture.select(picture.selected().saturating_sub(1)),
                Some(Action::Down) => picture.select(picture.selected() + 1),
                Some(Action::Command(verb)) => {
                    picture.note = runtime.block_on(command(settings, verb, &picture));
                    due = Instant::now();
                }
                Some(Action::Pin) => {
                    let is_pinned = picture.model().is_some_and(|model| model.pinned);
                    let verb = if is_pinned { "unpin" } else { "pin" };
                    picture.note = runtime.block_on(command(settings, verb, &picture));
                    due = Instant::now();
                }
                None => {}
            }
        }
        if Instant::now() >= due {
            let before = picture;
            picture = runtime.block_on(look(settings))?;
            picture.note = before.note.clone();
            picture.select(before.selected());
            due = Instant::now() + INTERVAL;
        }
    }
}

fn action(key: KeyEvent) -> Option<Action> {
    if key.kind != KeyEventKind::Press {
        return None;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Action::Quit),
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Action::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Down),
        KeyCode::Char('l') => Some(Action::Command("load")),
        KeyCode::Char('u') => Some(Action::Command("unload")),
        KeyCode::Char('r') => Some(Action::Command("reset")),
        KeyCode::Char('p') => Some(Action::Pin),
        _ => None,
    }
}

/// Sends a command for the selected model; says what came of it.
async fn command(settings: &Settings, verb: &str, picture: &Picture) -> String {
    let Some(model) = picture.model() else { return String::new() };
    match ask(settings, async |socket| client::command(socket, verb, Some(&model.name)).await).await {
        Ok(_) => format!("{verb} {}", model.name),
        Err(AskError::Control(fault)) => fault.to_string(),
        Err(_) => "the worker is gone".to_owned(),
    }
}

async fn look(settings: &Settings) -> Result<Picture, AskError> {
    let status = ask(settings, client::status).await?;
    let jobs = ask(settings, client::jobs).await?;
    let events = ask(settings, client::events).await?;
    Ok(Picture::new(status, jobs, events.events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_steer_and_leave() {
        let key = |code| action(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(key(KeyCode::Char('l')), Some(Action::Command("load")));
        assert_eq!(key(KeyCode::Char('c')), None);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::Quit));
        assert_eq!(key(KeyCode::Esc), Some(Action::Quit));
    }
}
