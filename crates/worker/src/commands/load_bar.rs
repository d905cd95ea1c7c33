//! The progress of a load, as a bar on a terminal.

use std::time::Duration;

use auxot_admin::control::api::ModelStatus;
use auxot_admin::control::client;
use auxot_settings::Settings;
use indicatif::{ProgressBar, ProgressStyle};

use super::ask::{AskError, ask};
use super::status_text::state;
use auxot_console::Console;

/// Pause between two looks at the model.
const INTERVAL: Duration = Duration::from_millis(100);
/// Steps of the bar.
const STEPS: u64 = 1000;

/// Waits until a model is loaded. Where standard error is a terminal, a bar shows how far it is.
pub(super) async fn wait(settings: &Settings, model: &str, console: &Console) -> Result<(), AskError> {
    let bar = ProgressBar::new(STEPS);
    let style = ProgressStyle::with_template("{spinner} {prefix}  {bar:30.green} {msg}  {elapsed}");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("█▓░"));
    }
    bar.set_prefix(model.to_owned());
    loop {
        let details = ask(settings, async |socket| client::model(socket, model).await).await?;
        match outcome(model, details.status.as_ref()) {
            Some(Ok(())) => {
                bar.finish_and_clear();
                console.print(&format!("{model} is loaded after {:.1} s", bar.elapsed().as_secs_f64()));
                return Ok(());
            }
            Some(Err(why)) => {
                bar.finish_and_clear();
                return Err(AskError::NotDone(why));
            }
            None => {}
        }
        if let Some(status) = &details.status {
            let part = status.load_progress.unwrap_or(0.0).clamp(0.0, 1.0);
            bar.set_position((f64::from(part) * STEPS as f64) as u64);
            bar.set_message(state(status));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// How the load ended; `None` while it goes on.
fn outcome(model: &str, status: Option<&ModelStatus>) -> Option<Result<(), String>> {
    let Some(status) = status else { return Some(Err(format!("{model} is gone: its file was removed"))) };
    match status.state.as_str() {
        "ready" => Some(Ok(())),
        "failed" => {
            let why = status.last_error.as_deref().unwrap_or("no cause is known");
            Some(Err(format!("{model} has failed: {why}; see `auxot-worker logs {model}`")))
        }
        "on_disk" => Some(Err(format!("{model} is not loaded: another command or model has unloaded it"))),
        _ => None,
    }
}
