//! `auxot-router status`: what is wrong first, then the queue, the workers with their devices and models, the providers and
//! the keys.

use auxot_console::{Console, Paint, Part, align_right, bar, duration, seconds};
use auxot_router::control::api::{
    Breaker, DeviceStatus, Health, KeyStatus, KeyUse, ModelStatus, ProviderKind, ProviderStatus, Status, Times,
    WorkerStatus,
};
use bytesize::ByteSize;

/// Columns of the bar of a device.
const BAR: usize = 30;
/// Keys that are shown.
const MOST_KEYS: usize = 20;

pub(super) fn text(status: &Status, console: &Console) -> String {
    let mut text: String =
        status.faults.iter().map(|fault| format!("{} {fault}\n", console.paint(Paint::Bad, "!"))).collect();
    if !text.is_empty() {
        text.push('\n');
    }
    let (router, queue) = (&status.router, &status.queue);
    let uptime = duration(router.uptime_seconds);
    let tls = if router.tls { " with TLS" } else { "" };
    text += &format!("router   v{}, pid {}, up {uptime}, {}{tls}\n", router.version, router.pid, router.address);
    if router.stopping {
        text += &console.paint(Paint::Work, "         finishes its jobs and ends\n");
    }
    let oldest = queue.oldest_seconds.map_or_else(String::new, |time| format!(", the oldest for {}", seconds(time)));
    text += &format!(
        "jobs     {} of {} slots, {} at other providers, {} wait{oldest}\n",
        queue.running, queue.slots, queue.provided, queue.waiting
    );
    for worker in &status.workers {
        text.push('\n');
        text += &self::worker(worker, console);
    }
    if !status.providers.is_empty() {
        text.push('\n');
        text += &providers(&status.providers, console);
    }
    if !status.keys.is_empty() {
        text.push('\n');
        text += &keys(&status.keys, status.other_keys, console);
    }
    text.trim_end().to_owned()
}

fn worker(worker: &WorkerStatus, console: &Console) -> String {
    let health = match worker.health {
        Health::Alive => console.paint(Paint::Good, "alive"),
        Health::Draining => console.paint(Paint::Work, "draining"),
        Health::Dead => console.paint(Paint::Bad, "dead"),
    };
    let heartbeat = match worker.heartbeat_seconds {
        Some(age) => format!("heartbeat {} ago", seconds(age)),
        None => "no heartbeat yet".to_owned(),
    };
    let mut text = format!(
        "{}  {health}  {} key {}, up {}, {heartbeat}, {} of {} slots{}\n",
        console.paint(Paint::Strong, &format!("worker {}", worker.id)),
        worker.address,
        worker.key,
        duration(worker.connected_seconds as u64),
        worker.slots_used,
        worker.slots,
        times(&worker.times),
    );
    if let Some(program) = &worker.program {
        text += &format!("  {program}, backend {}\n", worker.backend);
    }
    worker.devices.iter().for_each(|device| text += &device_line(device, console));
    if !worker.models.is_empty() {
        text += &models(&worker.models, console);
    }
    text
}

/// Times for people; nothing where none are known.
fn times(times: &Times) -> String {
    let pair = |p50: Option<f64>, p95: Option<f64>| Some(format!("{}/{}", seconds(p50?), seconds(p95?)));
    let first = pair(times.first_byte.p50, times.first_byte.p95).map(|text| format!(", first byte {text}"));
    let total = pair(times.total.p50, times.total.p95).map(|text| format!(", whole answer {text}"));
    [first, total].into_iter().flatten().collect()
}

fn device_line(device: &DeviceStatus, console: &Console) -> String {
    let name = if device.id == device.name { device.id.clone() } else { format!("{} {}", device.id, device.name) };
    let (Some(total), Some(used)) = (device.total_bytes, device.used_bytes) else {
        return format!("  {name}: memory unknown\n");
    };
    let used_part = Part { bytes: used, sign: '█', paint: Paint::Good };
    format!("  {}  {} of {} used  {name}\n", bar(&[used_part], total, BAR, console), bytes(used), bytes(total))
}

fn bytes(count: u64) -> String {
    ByteSize(count).display().iec().to_string()
}

fn models(models: &[ModelStatus], console: &Console) -> String {
    let mut table = console.table();
    table.set_header(["  MODEL", "STATE", "JOBS", "WAITING", "TOKENS/S", "MEMORY", "LOADS IN", "RESTARTS"]);
    for model in models {
        let slots = model.slots.map_or_else(|| "?".to_owned(), |slots| slots.to_string());
        table.add_row([
            format!("  {}", model.name),
            state(model),
            format!("{}/{slots}", model.slots_used),
            model.queued.to_string(),
            model.tokens_per_second.map(|speed| format!("{speed:.1}")).unwrap_or_default(),
            model.memory_bytes.map(bytes).unwrap_or_default(),
            model.load_seconds.map(seconds).unwrap_or_default(),
            model.restarts.to_string(),
        ]);
    }
    align_right(&mut table, &[2, 3, 4, 5, 6, 7]);
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The state in words; nothing where the worker does not report it.
fn state(model: &ModelStatus) -> String {
    let Some(state) = model.state else { return String::new() };
    let word = serde_json::to_value(state).ok().and_then(|value| Some(value.as_str()?.replace('_', " ")));
    word.unwrap_or_default()
}

fn providers(providers: &[ProviderStatus], console: &Console) -> String {
    let mut table = console.table();
    table.set_header(["PROVIDER", "KIND", "STATE", "JOBS", "FIRST BYTE", "MODELS"]);
    for provider in providers {
        let kind = match provider.kind {
            ProviderKind::Cli => "cli",
            ProviderKind::Cloud => "cloud",
        };
        let state = match (provider.breaker, provider.reopens_seconds) {
            (Breaker::Closed, _) => console.paint(Paint::Good, "gets requests"),
            (Breaker::HalfOpen, _) => console.paint(Paint::Work, "gets a trial"),
            (Breaker::Open, Some(time)) => console.paint(Paint::Bad, &format!("closed for {}", seconds(time))),
            (Breaker::Open, None) => console.paint(Paint::Bad, "closed"),
        };
        table.add_row([
            provider.name.clone(),
            kind.to_owned(),
            state,
            provider.jobs.to_string(),
            provider.times.first_byte.p50.map(seconds).unwrap_or_default(),
            provider.models.join(", "),
        ]);
    }
    align_right(&mut table, &[3, 4]);
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn keys(keys: &[KeyStatus], others: usize, console: &Console) -> String {
    let mut table = console.table();
    table.set_header(["KEY", "KIND", "ID", "MADE", "LAST USED", "STATE", "WORKERS"]);
    let hidden = keys.len().saturating_sub(MOST_KEYS);
    for key in &keys[hidden..] {
        let state = match (key.expired, &key.expires) {
            (true, _) => console.paint(Paint::Bad, "expired"),
            (false, Some(expires)) => format!("until {expires}"),
            (false, None) => console.paint(Paint::Good, "good"),
        };
        let (kind, workers) = match key.kind {
            KeyUse::Worker => ("worker", key.workers.to_string()),
            KeyUse::Api => ("api", String::new()),
        };
        let last_used = key.last_used.clone().unwrap_or_else(|| "-".to_owned());
        let (name, id, created) = (key.name.clone(), key.id.clone(), key.created.clone());
        table.add_row([name, kind.to_owned(), id, created, last_used, state, workers]);
    }
    align_right(&mut table, &[6]);
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    if others + hidden > 0 {
        text += &format!("{} more keys; see `auxot-router keys list`\n", others + hidden);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_shown_with_what_is_wrong_first() {
        let status = serde_json::from_value(serde_json::json!({
            "faults": ["no heartbeat"],
            "router": {"version": "1.0", "pid": 7, "uptime_seconds": 4000, "address": "127.0.0.1:8080", "tls": true, "stopping": false},
            "queue": {"running": 1, "slots": 4, "provided": 0, "waiting": 2, "most_waiting": 9, "oldest_seconds": 3.0},
            "workers": [{
                "id": "gpu_1", "address": "10.0.0.2", "program": "auxot-worker/1.0", "key": "box", "health": "dead", "connected_seconds": 90.0,
                "heartbeat_seconds": 61.0, "backend": "llama.cpp", "slots_used": 1, "slots": 4, "unmet": [],
                "devices": [{"id": "GPU-1", "name": "RTX", "total_bytes": 17179869184_u64, "used_bytes": 8589934592_u64,
                    "free_bytes": null}],
                "models": [{"name": "a-q4_0", "state": "backing_off", "capabilities": [], "slots_used": 1, "slots": 4,
                    "queued": 3, "ctx_size": null, "memory_bytes": null, "tokens_per_second": 41.26, "load_seconds": 2.5,
                    "load_evicts": null, "restarts": 6}],
                "times": {"jobs": 3, "first_byte": {"p50": 0.02, "p95": 0.3, "p99": null},
                    "total": {"p50": 2.0, "p95": 4.0, "p99": null}},
            }],
            "providers": [{"name": "cloud", "kind": "cloud", "models": ["a"], "breaker": "open", "reopens_seconds": 9.0,
                "last_refusal": "key", "jobs": 0, "times": {"jobs": 0, "first_byte": {}, "total": {}}}],
            "keys": [{"name": "box", "kind": "worker", "id": "abc", "created": "2026-01-01T00:00:00Z", "expires": null,
                "expired": false, "workers": 1}],
            "other_keys": 5,
        }));
        let text = text(&status.unwrap(), &Console::fixed_width(120));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "! no heartbeat");
        for part in [
            "up 1 h 6 min, 127.0.0.1:8080 with TLS",
            "1 of 4 slots, 0 at other providers, 2 wait, the oldest for 3.0 s",
            "worker gpu_1  dead  10.0.0.2 key box, up 1 min, heartbeat 61.0 s ago, 1 of 4 slots, first byte 20 ms/300 ms",
            "auxot-worker/1.0, backend llama.cpp",
            "8.0 GiB of 16.0 GiB used  GPU-1 RTX",
            "backing off",
            "closed for 9.0 s",
            "5 more keys",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
