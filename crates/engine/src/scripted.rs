//! Engines without processes, for tests of the driver and of the code that uses handles.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auxot_llama::{Endpoint, Props};
use tokio::sync::Notify;

use crate::Config;
use crate::exit_reason::{ExitClass, ExitReport};
use crate::handle::EngineHandle;
use crate::state_machine::Ready;
use crate::state_machine::{Policy, Probing, RunId, Signal};
use crate::supervisor::{Process, ProcessEvent, ProcessFactory};

/// Makes a stopped engine: its handle, its driver, and the script that controls its processes.
pub fn engine(model: &str, config: &Config) -> (EngineHandle, impl Future<Output = ()> + Send + use<>, Script) {
    let script = Script::default();
    let (handle, driver) =
        EngineHandle::with_driver(model.into(), Policy::new(config, 1), |_| ScriptedFactory(script.clone()));
    (handle, driver.run(), script)
}

/// Controls the scripted processes of one engine, and records what is done to them; clones are the same script.
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<ScriptState>);

#[derive(Debug, Default)]
struct ScriptState {
    state: Mutex<State>,
    next: Notify,
}

#[derive(Debug, Default)]
struct State {
    actions: VecDeque<Action>,
    calls: Vec<String>,
    exits_on_signal: bool,
}

#[derive(Debug)]
enum Action {
    Emit(ProcessEvent),
    BecomeReady { slots: u32, n_ctx: u32 },
    Panic,
}

impl Script {
    /// From now on a signal ends the process at once.
    pub fn exit_on_signal(&self) {
        self.lock().exits_on_signal = true;
    }

    /// The process of the present run, or of the next one, becomes ready.
    pub fn become_ready(&self, slots: u32, n_ctx: u32) {
        self.push(Action::BecomeReady { slots, n_ctx });
    }

    /// The process exits.
    pub fn exit(&self, class: ExitClass) {
        let report = ExitReport {
            class,
            code: Some(1),
            signal: None,
            reason: None,
            lines: vec!["last".into()],
            blame: crate::Blame::Engine,
        };
        self.emit(ProcessEvent::Exited(report));
    }

    /// The driver panics while it waits for the next event.
    pub fn panic(&self) {
        self.push(Action::Panic);
    }

    /// What was done to the processes since the last call, such as `spawn 1`, `Terminate 1`, `drop 1`.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    pub(crate) fn emit(&self, event: ProcessEvent) {
        self.push(Action::Emit(event));
    }

    fn push(&self, action: Action) {
        self.lock().actions.push_back(action);
        self.0.next.notify_one();
    }

    fn record(&self, call: String) {
        self.lock().calls.push(call);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes processes that a script controls.
pub(crate) struct ScriptedFactory(Script);

/// One scripted process.
pub(crate) struct ScriptedProcess {
    script: Script,
    run: RunId,
}

impl ProcessFactory for ScriptedFactory {
    type Process = ScriptedProcess;

    fn spawn(&mut self, run: RunId) -> ScriptedProcess {
        self.0.record(format!("spawn {run}"));
        ScriptedProcess { script: self.0.clone(), run }
    }
}

impl Process for ScriptedProcess {
    fn signal(&mut self, signal: Signal) {
        self.script.record(format!("{signal:?} {}", self.run));
        if self.script.lock().exits_on_signal {
            self.script.exit(ExitClass::UnexpectedExit);
        }
    }

    fn probe(&mut self, _: Probing) {}

    async fn next_event(&mut self) -> ProcessEvent {
        loop {
            let action = self.script.lock().actions.pop_front();
            match action {
                Some(Action::Emit(event)) => return event,
                Some(Action::BecomeReady { slots, n_ctx }) => {
                    return ProcessEvent::Ready(ready(self.run, slots, n_ctx));
                }
                #[allow(clippy::panic, reason = "a test asks for it")]
                Some(Action::Panic) => panic!("as the script says"),
                None => self.script.0.next.notified().await,
            }
        }
    }
}

impl Drop for ScriptedProcess {
    fn drop(&mut self) {
        self.script.record(format!("drop {}", self.run));
    }
}

fn ready(run: RunId, total_slots: u32, n_ctx: u32) -> Arc<Ready> {
    let props = Props { total_slots, n_ctx, vision: false };
    let (endpoint, load_time) = (Endpoint::Unix("/s".into()), Duration::from_secs(1));
    Arc::new(Ready { run, pid: 7, endpoint, props, load_time })
}
