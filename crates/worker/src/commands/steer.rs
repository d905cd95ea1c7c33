//! The commands that steer the running worker: `load`, `unload`, `pin`, `unpin`, `reset`, `drain`, `reload`, `log-level`.

use std::process::ExitCode;

use auxot_admin::control::api::{LogLevel, Reloaded};
use auxot_admin::control::client;
use auxot_settings::Settings;

use super::ask::{ask, end, pretty};
use super::load_bar;
use auxot_console::Console;

/// `auxot-worker drain`.
pub(super) fn drain(settings: &Settings, json: bool, console: &Console) -> ExitCode {
    end(console, async {
        let draining = ask(settings, client::drain).await?;
        console.print(&match json {
            true => pretty(&draining),
            false => format!("drain: jobs that may finish: {}; the worker ends then", draining.jobs),
        });
        Ok(())
    })
}

/// `auxot-worker page`.
pub(super) fn page(settings: &Settings, token: bool, json: bool, console: &Console) -> ExitCode {
    end(console, async {
        if token {
            let token = ask(settings, client::token).await?;
            let text = format!("address  {}\nmcp      {}\ntoken    {}", token.url, token.mcp_url, token.token);
            console.print(&if json { pretty(&token) } else { text });
            return Ok(());
        }
        let link = ask(settings, client::page).await?;
        console.print(&if json { pretty(&link) } else { link.url });
        Ok(())
    })
}

/// `auxot-worker reload`.
pub(super) fn reload(settings: &Settings, json: bool, console: &Console) -> ExitCode {
    end(console, async {
        let reloaded = ask(settings, client::reload).await?;
        console.print(&if json { pretty(&reloaded) } else { reload_text(&reloaded) });
        Ok(())
    })
}

fn reload_text(reloaded: &Reloaded) -> String {
    let mut text = match (reloaded.applied.is_empty(), reloaded.at_next_start.is_empty()) {
        (true, true) => "reload: no setting has changed".to_owned(),
        (true, false) => "reload: nothing that a running worker can apply has changed".to_owned(),
        (false, _) => format!("reload: applied {}", reloaded.applied.join(", ")),
    };
    if !reloaded.at_next_start.is_empty() {
        text.push_str(&format!("; restart the worker to apply {}", reloaded.at_next_start.join(", ")));
    }
    if reloaded.reset > 0 {
        text.push_str(&format!("; failed models that may be loaded again: {}", reloaded.reset));
    }
    text
}

/// `auxot-worker log-level`.
pub(super) fn log_level(settings: &Settings, level: Option<&str>, json: bool, console: &Console) -> ExitCode {
    end(console, async {
        let level = ask(settings, async |socket| match level {
            Some(level) => client::set_log_level(socket, &LogLevel { level: level.to_owned() }).await,
            None => client::log_level(socket).await,
        });
        let level = level.await?;
        console.print(&if json { pretty(&level) } else { level.level });
        Ok(())
    })
}

/// `auxot-worker load`, `unload`, `pin`, `unpin`, `reset`.
pub(super) fn models(
    settings: &Settings,
    verb: &'static str,
    model: Option<&str>,
    wait: bool,
    json: bool,
    console: &Console,
) -> ExitCode {
    end(console, async {
        let done = ask(settings, async |socket| client::command(socket, verb, model).await).await?;
        let follow = if wait {
            ""
        } else if matches!(verb, "load" | "unload" | "reset") {
            "; see `auxot-worker status`"
        } else {
            ""
        };
        console.print(&match json {
            true => pretty(&done),
            false if done.models.is_empty() => format!("{verb}: no model has failed"),
            false => format!("{verb}: {}{follow}", done.models.join(", ")),
        });
        match done.models.first().filter(|_| wait) {
            Some(model) => load_bar::wait(settings, model, console).await,
            None => Ok(()),
        }
    })
}
