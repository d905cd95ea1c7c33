//! What is wrong, each with what to do.

use super::api::{Breaker, Health, ModelState, ModelStatus, ProviderStatus, QueueStatus, Status, WorkerStatus};

/// A job that waits for longer is a fault.
const LONG_WAIT: f64 = 10.0;
/// Models of one worker that are named.
const MOST_NAMED: usize = 8;

/// The faults of a state, the worst first.
pub(super) fn faults(status: &Status) -> Vec<String> {
    let mut faults = Vec::new();
    if status.workers.is_empty() && status.providers.is_empty() {
        faults.push(format!(
            "no worker is connected; make a key with `auxot-router keys create --kind worker --name NAME` and start \
             `auxot-worker` with it as AUXOT_GPU_KEY and with AUXOT_ROUTER_URL={}://{}",
            if status.router.tls { "https" } else { "http" },
            status.router.address
        ));
    }
    faults.extend(queue(&status.queue));
    faults.extend(status.workers.iter().flat_map(worker));
    faults.extend(status.providers.iter().filter_map(provider));
    faults
}

fn queue(queue: &QueueStatus) -> Option<String> {
    let QueueStatus { waiting, most_waiting, slots, .. } = *queue;
    if waiting >= most_waiting && waiting > 0 {
        return Some(format!(
            "the queue is full: {waiting} jobs wait, and further ones are refused; add slots or a worker, or raise \
             AUXOT_MAX_WAITING"
        ));
    }
    let oldest = queue.oldest_seconds.filter(|time| *time >= LONG_WAIT)?;
    let remedy = match slots {
        0 => "no live worker has a model loaded that takes jobs: see the models below",
        _ => "add slots or a worker, or let the workers load further models",
    };
    Some(format!("{waiting} jobs wait, the oldest for {oldest:.0} s; {remedy}"))
}

fn worker(worker: &WorkerStatus) -> Vec<String> {
    let name = format!("worker {} ({}, key {})", worker.id, worker.address, worker.key);
    let mut faults = Vec::new();
    if worker.health == Health::Dead {
        let since = worker.heartbeat_seconds.unwrap_or(worker.connected_seconds);
        faults.push(format!(
            "{name} has sent no heartbeat for {since:.0} s and gets no jobs; see `auxot-worker status` on its host, and the \
             network between"
        ));
    }
    let failed = worker.models.iter().filter(|model| model.state == Some(ModelState::Failed));
    for ModelStatus { name: model, .. } in failed.clone().take(MOST_NAMED) {
        let cause = worker.unmet.iter().find_map(|unmet| unmet.strip_prefix(&failure_of(model))).unwrap_or_default();
        faults.push(format!(
            "{model} has failed on {name}{cause}; `auxot-worker logs {model}` on its host shows what its engine printed, \
             `auxot-worker reset {model}` tries again"
        ));
    }
    let further = failed.clone().count().saturating_sub(MOST_NAMED);
    if further > 0 {
        faults.push(format!("{further} more models have failed on {name}"));
    }
    // A failed model that is listed is unmet too.
    let is_new = |unmet: &&String| !failed.clone().any(|model| unmet.starts_with(&failure_of(&model.name)));
    faults.extend(worker.unmet.iter().filter(is_new).take(MOST_NAMED).map(|unmet| format!("{name}: {unmet}")));
    faults
}

/// How a worker's sentence about a failed model begins.
fn failure_of(model: &str) -> String {
    format!("{model} has failed")
}

fn provider(provider: &ProviderStatus) -> Option<String> {
    if provider.breaker == Breaker::Closed {
        return None;
    }
    let gets = match (provider.breaker, provider.reopens_seconds) {
        (Breaker::HalfOpen, _) => "gets one request as a trial".to_owned(),
        (_, Some(seconds)) => format!("gets no requests for {seconds:.0} s"),
        (_, None) => "gets no requests".to_owned(),
    };
    let reason = provider.last_refusal.as_deref().unwrap_or("unknown");
    Some(format!("provider `{}` {gets}, reason: {reason}; {}", provider.name, remedy(reason)))
}

/// What to do about a refusal of a provider.
fn remedy(reason: &str) -> &'static str {
    match reason {
        "key" => "put a key that it accepts into its key file, which is read for each request",
        "unreachable" => "check its `url` in the providers file, its name's address and the network",
        "rate_limited" => "it says how long to wait: use less of it, or buy more",
        "not_started" => "check its `command` in the providers file, and that the router's user may run it",
        "silent" | "timeout" => "see whether it is overloaded; its time-outs are in the providers file",
        _ => "the log of the router has the cause; it is tried again by itself",
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::{ProviderKind, RouterStatus, Times};
    use super::*;

    fn status() -> Status {
        Status {
            faults: vec![],
            router: RouterStatus {
                version: "1".into(),
                pid: 1,
                uptime_seconds: 1,
                address: "127.0.0.1:8080".into(),
                tls: false,
                stopping: false,
            },
            queue: QueueStatus { running: 0, slots: 2, provided: 0, waiting: 0, most_waiting: 4, oldest_seconds: None },
            workers: vec![WorkerStatus {
                id: "gpu_1".into(),
                address: "10.0.0.2".into(),
                program: None,
                key: "box".into(),
                health: Health::Alive,
                connected_seconds: 300.0,
                heartbeat_seconds: Some(1.0),
                backend: "llama.cpp".into(),
                devices: vec![],
                models: vec![model("a", ModelState::Ready)],
                slots_used: 0,
                slots: 2,
                times: Times::default(),
                unmet: vec![],
            }],
            providers: vec![],
            keys: vec![],
            other_keys: 0,
        }
    }

    fn model(name: &str, state: ModelState) -> ModelStatus {
        ModelStatus { name: name.into(), state: Some(state), ..ModelStatus::default() }
    }

    /// The only fault after a change of a state without faults.
    fn only(change: impl FnOnce(&mut Status)) -> String {
        let mut status = status();
        assert_eq!(faults(&status), [""; 0]);
        change(&mut status);
        let found = faults(&status);
        assert_eq!(found.len(), 1, "{found:?}");
        found.concat()
    }

    #[test]
    fn each_fault_has_its_remedy() {
        let text = only(|status| status.workers.clear());
        assert!(text.contains("keys create") && text.ends_with("AUXOT_ROUTER_URL=http://127.0.0.1:8080"), "{text}");
        let text = only(|status| status.workers[0].health = Health::Dead);
        assert!(text.starts_with("worker gpu_1 (10.0.0.2, key box) has sent no heartbeat for 1 s"), "{text}");
        let text = only(|status| status.workers[0].models.push(model("b", ModelState::Failed)));
        assert!(text.starts_with("b has failed on worker gpu_1") && text.contains("`auxot-worker reset b`"), "{text}");
        let text = only(|status| {
            status.workers[0].models.push(model("b", ModelState::Failed));
            status.workers[0].unmet.push("b has failed: no room".into());
        });
        assert!(
            text.starts_with("b has failed on worker gpu_1 (10.0.0.2, key box): no room; `auxot-worker logs"),
            "{text}"
        );
        let text = only(|status| status.workers[0].unmet.push("no model `c` here".into()));
        assert!(text.ends_with("no model `c` here"), "{text}");
        let text = only(|status| status.queue.waiting = 4);
        assert!(text.contains("AUXOT_MAX_WAITING"), "{text}");
        let text = only(|status| {
            status.queue.waiting = 2;
            status.queue.oldest_seconds = Some(61.0);
        });
        assert!(text.starts_with("2 jobs wait, the oldest for 61 s; add slots"), "{text}");
        let text = only(|status| {
            status.workers[0].models = (0..20).map(|n| model(&format!("m{n}"), ModelState::Failed)).collect();
            status.workers[0].models.truncate(1);
        });
        assert!(text.starts_with("m0 has failed"), "{text}");
    }

    #[test]
    fn a_provider_with_an_open_breaker_is_a_fault_with_the_remedy_of_its_reason() {
        let text = only(|status| {
            status.providers.push(ProviderStatus {
                name: "cloud".into(),
                kind: ProviderKind::Cloud,
                models: vec![],
                breaker: Breaker::Open,
                reopens_seconds: Some(14.2),
                last_refusal: Some("key".into()),
                jobs: 0,
                times: Times::default(),
            });
        });
        assert!(text.starts_with("provider `cloud` gets no requests for 14 s, reason: key; put a key"), "{text}");
    }
}
