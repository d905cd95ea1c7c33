//! `auxot-worker status`: what is wrong first, then the router, the devices with bars, and the models.

use auxot_admin::control::api::{DeviceStatus, DownloadStatus, ModelStatus, Status};
use auxot_placement::bytes_text;

use auxot_console::{Console, Paint, Part, align_right, bar, duration, grouped, seconds};

/// Columns of the bar of a device.
const BAR: usize = 30;

pub(super) fn text(status: &Status, console: &Console) -> String {
    let mut text = String::new();
    for wrong in wrongs(status) {
        text.push_str(&format!("{} {wrong}\n", console.paint(Paint::Bad, "!")));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let worker = &status.worker;
    let uptime = duration(worker.uptime_seconds);
    text.push_str(&format!("worker   v{}, pid {}, up {uptime}\n", worker.version, worker.pid));
    if worker.draining {
        text.push_str(&console.paint(Paint::Work, "         finishes its jobs and ends\n"));
    }
    let router = match &status.router {
        None => "none is configured".to_owned(),
        Some(router) if router.trouble.is_none() => {
            format!("{} {}", router.url, console.paint(Paint::Good, "sends jobs"))
        }
        Some(router) => format!("{} {}", router.url, console.paint(Paint::Bad, "sends no jobs")),
    };
    text.push_str(&format!("router   {router}\n\n"));
    for device in &status.devices {
        text.push_str(&device_line(device, console));
    }
    if !status.devices.is_empty() {
        text.push('\n');
    }
    if !status.models.is_empty() {
        text.push_str(&models(&status.models, console));
        text.push('\n');
    }
    for download in &status.downloads {
        text.push_str(&format!("{}\n", console.paint(Paint::Work, &download_line(download))));
    }
    text.push_str(&match status.other_models {
        0 if status.models.is_empty() => {
            "There are no models here: put GGUF files into a folder of AUXOT_MODELS_DIR.".to_owned()
        }
        0 => String::new(),
        1 => "1 more model in the folders; see `auxot-worker models`.".to_owned(),
        count => format!("{count} more models in the folders; see `auxot-worker models`."),
    });
    text.trim_end().to_owned()
}

/// What is wrong, each with what to do.
pub(super) fn wrongs(status: &Status) -> Vec<String> {
    let mut wrongs = Vec::new();
    if let Some(trouble) = status.router.as_ref().and_then(|router| router.trouble.as_ref()) {
        wrongs.push(format!("{trouble}; check AUXOT_ROUTER_URL and AUXOT_GPU_KEY, and that the router runs"));
    }
    if let Some(trouble) = &status.metrics.trouble {
        wrongs.push(format!("{trouble}; tried again every few seconds; or set another one in AUXOT_METRICS_PORT"));
    }
    for model in status.models.iter().filter(|model| model.state == "failed") {
        let why = model.last_error.as_deref().unwrap_or("no cause is known");
        wrongs.push(format!("{} has failed: {why}; `auxot-worker reset {}` tries again", model.name, model.name));
    }
    // A failed model that is listed is unmet too.
    let is_new =
        |unmet: &&String| !status.models.iter().any(|model| unmet.starts_with(&format!("{} has failed", model.name)));
    wrongs.extend(status.unmet.iter().filter(is_new).cloned());
    wrongs
}

fn download_line(download: &DownloadStatus) -> String {
    let share = share_text(download.bytes, download.total_bytes);
    let pause =
        download.pause_seconds.map_or_else(String::new, |pause| format!("; tried again after {}", seconds(pause)));
    let reason = download.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("download {}  {}{share}{reason}{pause}", download.model, download.state)
}

/// The part of a download that is here.
pub(super) fn share_text(bytes: Option<u64>, total: Option<u64>) -> String {
    let (Some(bytes), Some(total)) = (bytes, total) else { return String::new() };
    let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or_default();
    format!(" {percent} % of {}", bytes_text(total))
}

fn device_line(device: &DeviceStatus, console: &Console) -> String {
    let (Some(total), Some(used)) = (device.total_bytes, device.used_bytes) else {
        return format!("{}  {}: memory unknown\n", device.id, device.name);
    };
    let ours = device.models_bytes.unwrap_or(0).min(used);
    let parts = [
        Part { bytes: ours, sign: '█', paint: Paint::Good },
        Part { bytes: used - ours, sign: '░', paint: Paint::Faint },
    ];
    let unusable = if device.usable { "" } else { ", which the engine cannot use" };
    let models = match device.models_bytes {
        Some(bytes) if bytes > 0 => format!(", {} by models", bytes_text(bytes)),
        Some(_) | None => String::new(),
    };
    format!(
        "{}  {} of {} used{models}  {}{unusable}\n",
        bar(&parts, total, BAR, console),
        bytes_text(used),
        bytes_text(total),
        if device.id == device.name { device.id.clone() } else { format!("{} {}", device.id, device.name) },
    )
}

fn models(models: &[ModelStatus], console: &Console) -> String {
    let mut table = console.table();
    table.set_header(["MODEL", "STATE", "JOBS", "WAITING", "TOKENS/S", "FIRST", "CONTEXT", "MEMORY", "RESTARTS", ""]);
    for model in models {
        table.add_row([
            model.name.clone(),
            state(model),
            format!("{}/{}", model.slots_busy, model.slots),
            model.waiting.to_string(),
            model.figures.tokens_per_second.map(|speed| format!("{speed:.1}")).unwrap_or_default(),
            model.figures.first_token_seconds.map(seconds).unwrap_or_default(),
            grouped(model.ctx_size.into()),
            model.memory_bytes.map(bytes_text).unwrap_or_default(),
            model.restarts.to_string(),
            if model.pinned { "pinned".to_owned() } else { String::new() },
        ]);
    }
    align_right(&mut table, &[2, 3, 4, 5, 6, 7, 8]);
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The state in words, with the progress of a load.
pub(super) fn state(model: &ModelStatus) -> String {
    let state = model.state.replace('_', " ");
    match model.load_progress {
        Some(part) => format!("{state} {:.0} %", part * 100.0),
        None => state,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use auxot_admin::control::api::{Figures, MetricsStatus, RouterStatus, WorkerStatus};

    use super::*;

    /// A worker with a device, and with two models, one of which has failed.
    pub(in crate::commands) fn status() -> Status {
        let model = |name: &str, state: &str| ModelStatus {
            name: name.into(),
            task: "chat".into(),
            state: state.into(),
            load_progress: None,
            slots: 4,
            slots_busy: 1,
            waiting: 2,
            ctx_size: 8192,
            memory_bytes: Some(3 << 30),
            place: vec![],
            memory: vec![],
            pid: Some(7),
            restarts: 0,
            pinned: false,
            last_error: None,
            figures: Figures { jobs: 3, tokens_per_second: Some(41.26), ..Figures::default() },
        };
        Status {
            worker: WorkerStatus { version: "1.0.0".into(), pid: 1, uptime_seconds: 4000, draining: false },
            router: Some(RouterStatus { url: "wss://router/ws".into(), trouble: None }),
            metrics: MetricsStatus { address: Some("127.0.0.1:9090".into()), trouble: None },
            devices: vec![DeviceStatus {
                id: "GPU-1".into(),
                name: "card".into(),
                total_bytes: Some(16 << 30),
                used_bytes: Some(8 << 30),
                models_bytes: Some(3 << 30),
                usable: true,
            }],
            models: vec![model("a-q4_0", "ready"), model("b-q4_0", "failed")],
            downloads: vec![],
            other_models: 12,
            unmet: vec!["b-q4_0 has failed: it crashed".into(), "no model `c` here".into()],
        }
    }

    #[test]
    fn a_download_has_its_share_or_its_failure() {
        let mut status = status();
        let download = |state: &str| DownloadStatus {
            model: "c".into(),
            state: state.into(),
            bytes: None,
            total_bytes: None,
            reason: None,
            pause_seconds: None,
        };
        status.downloads = vec![
            DownloadStatus { bytes: Some(1 << 30), total_bytes: Some(4 << 30), ..download("receiving") },
            DownloadStatus { reason: Some("no disk".into()), pause_seconds: Some(300.0), ..download("failed") },
        ];
        let text = text(&status, &Console::fixed_width(100));
        assert!(text.contains("download c  receiving 25 % of 4.0 GiB\n"), "{text}");
        assert!(text.contains("download c  failed: no disk; tried again after "), "{text}");
    }

    #[test]
    fn what_is_wrong_comes_first_and_once_with_what_to_do() {
        let mut status = status();
        status.models[1].last_error = Some("it crashed".into());
        let text = text(&status, &Console::fixed_width(100));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "! b-q4_0 has failed: it crashed; `auxot-worker reset b-q4_0` tries again");
        assert_eq!(lines[1], "! no model `c` here");
        assert_eq!(text.matches("b-q4_0 has failed").count(), 1);
    }

    #[test]
    fn devices_and_models_are_shown() {
        let text = text(&status(), &Console::fixed_width(100));
        assert!(text.contains("up 1 h 6 min") && text.contains("wss://router/ws sends jobs"), "{text}");
        assert!(text.contains("8.0 GiB of 16.0 GiB used, 3.0 GiB by models"), "{text}");
        assert!(
            text.contains("a-q4_0") && text.contains("1/4") && text.contains("41.3") && text.contains("8,192"),
            "{text}"
        );
        assert!(text.ends_with("12 more models in the folders; see `auxot-worker models`."), "{text}");
    }
}
